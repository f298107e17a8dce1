"""A running service for end-to-end tests: Azurite, and the function app under every kind of host that is present."""

from collections.abc import Callable, Iterator

import pytest

from devtools.azurite import Azurite, azurite
from tests.support.hosts import FunctionHost, hosts_present

INTERVAL = 1.0

Start = Callable[..., FunctionHost]


@pytest.fixture(scope="module", params=hosts_present())
def kind(request: pytest.FixtureRequest) -> str:
    """Every test runs on every host."""
    return request.param


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, kind: str) -> Iterator[Azurite]:
    """Storage that nobody else uses: one gate for one test module and host."""
    with azurite(tmp_path_factory.mktemp(f"{kind}-storage")) as one:
        yield one


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, kind: str, storage: Azurite) -> Iterator[Start]:
    """Start hosts on the storage, with a shortened interval unless told otherwise."""
    started: list[FunctionHost] = []

    def start_one(**settings: str) -> FunctionHost:
        values = {"INGEST_INTERVAL_SECONDS": str(INTERVAL), "INGEST_SCHEDULE": "*/1 * * * * *"}
        values |= {"INGEST_SOURCE_DELAY_SECONDS": "0.05", "INGEST_SOURCE_TIMEOUT_SECONDS": "2"}
        host = FunctionHost(kind, tmp_path_factory.mktemp("host"), storage.connection_string, **{**values, **settings})
        started.append(host)
        host.start()
        return host

    yield start_one
    for host in started:
        host.stop()


@pytest.fixture(scope="module")
def host(start: Start) -> FunctionHost:
    """One service for the module's tests."""
    return start()
