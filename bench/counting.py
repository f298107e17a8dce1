"""Storage calls, counted where they leave the SDK, its own retries included."""

from typing import Any

from ingest_core.storage.transport import connect


class Calls:
    """Counts what its transports send."""

    def __init__(self) -> None:
        self.count = 0

    def transport(self) -> Any:  # noqa: ANN401 # the SDK's type has parameters that are its own
        """What a storage client takes as `transport`: the service's own, and a count."""
        inner = connect()
        send = inner.send

        async def counted(request: Any, **options: Any) -> Any:  # noqa: ANN401 # as above
            self.count += 1
            return await send(request, **options)

        inner.send = counted  # type: ignore[method-assign] # it is this object's alone
        return inner
