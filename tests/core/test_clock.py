from ingest_core.clock import FINE_SECONDS, SystemClock


async def test_a_sleep_never_ends_early() -> None:
    """The event loop alone may wake up early, and a slot would begin too soon."""
    clock = SystemClock()
    for seconds in (0, FINE_SECONDS / 4, FINE_SECONDS, 5 * FINE_SECONDS) * 5:
        began = clock.monotonic()
        await clock.sleep(seconds)
        assert clock.monotonic() - began >= seconds
