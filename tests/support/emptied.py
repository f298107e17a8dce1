"""A storage account as if it were new."""

from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

from ingest_core.adapters.azure import QUEUE_API_VERSION


def empty(connection_string: str) -> None:
    """Delete all its tables and queues."""
    with TableServiceClient.from_connection_string(connection_string) as tables:
        for table in list(tables.list_tables()):
            tables.delete_table(table.name)
    with QueueServiceClient.from_connection_string(connection_string, api_version=QUEUE_API_VERSION) as queues:
        for queue in list(queues.list_queues()):
            queues.delete_queue(queue)
