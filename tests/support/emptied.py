"""A storage account as if it were new."""

from contextlib import suppress

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

from ingest_core.storage.azure import QUEUE_API_VERSION


def empty(connection_string: str) -> None:
    """Delete all its tables and queues. A deletion that the client repeats finds nothing any more: that is as well."""
    with TableServiceClient.from_connection_string(connection_string) as tables:
        for table in list(tables.list_tables()):
            with suppress(ResourceNotFoundError):
                tables.delete_table(table.name)
    with QueueServiceClient.from_connection_string(connection_string, api_version=QUEUE_API_VERSION) as queues:
        for queue in list(queues.list_queues()):
            with suppress(ResourceNotFoundError):
                queues.delete_queue(queue)
