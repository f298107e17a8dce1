"""Counts storage calls as the SDK sends them, including its retries."""

from typing import Any

from ingest_core.storage.transport import connect


class Calls:
    """Counts the requests that its transports send."""

    def __init__(self) -> None:
        self.count = 0

    def transport(self) -> Any:  # noqa: ANN401 # the SDK's type has private type parameters
        """Return a `transport` for a storage client: the service's own, with a counter."""
        inner = connect()
        send = inner.send

        async def counted(request: Any, **options: Any) -> Any:  # noqa: ANN401 # as above
            self.count += 1
            return await send(request, **options)

        inner.send = counted  # type: ignore[method-assign] # only this object is changed
        return inner
