"""The designs that the service is compared with give the same results for the same requests."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from bench import reference
from bench.bodies import body_of, ids_of
from bench.counting import Calls
from bench.loader import drive
from bench.plain_app.plain import PlainDesign, Unknown
from bench.service import Service, service_on
from devtools.azurite import Azurite, azurite
from ingest_core.api import handlers as api
from ingest_core.dispatch.dispatcher import Tick


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite without ingestions of other tests, because these tests process all lanes to the end."""
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def counted() -> Calls:
    """A counter of storage calls."""
    return Calls()


@pytest.fixture
async def plain(storage: Azurite, counted: Calls) -> AsyncIterator[PlainDesign]:
    """The plain design on a real Azurite."""
    design = PlainDesign(storage.connection_string, transport=counted.transport)
    await design.create()
    yield design
    await design.close()


@pytest.fixture
async def ours(storage: Azurite, counted: Calls) -> AsyncIterator[Service]:
    """The service on the same Azurite."""
    service = service_on(storage.connection_string, transport=counted.transport)
    yield service
    await service.storage.close()


def seen(status: object) -> object:
    """The parts of a status that must be equal in all designs: everything but the random IDs."""
    assert isinstance(status, dict)
    return status["status"], [(batch["ids"], batch["status"]) for batch in status["batches"]]


async def finish_ours(service: Service, body: bytes) -> object:
    """Let the service accept and process a list; return its status."""
    accepted = json.loads((await api.ingest(service.parts.context, api.Request(method="POST", body=body))).body)
    assert await service.parts.dispatcher.tick() is Tick.IDLE
    return json.loads((await api.status(service.parts.context, api.Request(path=accepted))).body)


async def finish_plain(plain: PlainDesign, ids: list[int]) -> object:
    """Let the plain design accept and process a list; return its status."""
    ingestion_id = await plain.accept(ids, "HIGH")
    assert (await plain.status(ingestion_id))["status"] == "yet_to_start"
    while await plain.dispatch(delay_seconds=0):
        continue
    return await plain.status(ingestion_id)


async def test_the_plain_design_ends_as_ours_does(plain: PlainDesign, ours: Service) -> None:
    """Both complete the same batches of the same IDs."""
    assert seen(await finish_plain(plain, ids_of(7))) == seen(await finish_ours(ours, body_of(7)))


async def test_the_plain_design_has_no_status_for_an_unknown_id(plain: PlainDesign) -> None:
    """It raises `Unknown`."""
    with pytest.raises(Unknown):
        await plain.status("no such ingestion")


async def test_the_plain_design_costs_calls_for_every_batch(plain: PlainDesign, counted: Calls) -> None:
    """A transaction has a hundred rows, and each batch has a message."""
    before = counted.count
    await plain.accept(ids_of(303), "LOW")
    assert counted.count - before == 2 + 101


async def test_the_reference_in_memory_makes_the_same_batches() -> None:
    """It accepts a list and shows its status as the other designs do."""
    accepted = await reference.ingest(reference.Body.model_validate_json(body_of(7)))
    shown = seen(await reference.status(accepted["ingestion_id"]))
    ids = ids_of(7)
    assert shown == ("yet_to_start", [(ids[start : start + 3], "yet_to_start") for start in (0, 3, 6)])


async def test_a_load_ends_with_its_count_and_with_its_time() -> None:
    """A job ends at the first of its two limits."""

    async def send() -> str:
        return "answer"

    counted = await drive(send, connections=3, count=10, seconds=60)
    assert len(list(counted["milliseconds"])) == 10  # type: ignore[call-overload] # a list, in an answer of many types
    timed = await drive(send, connections=1, count=10**9, seconds=0.01)
    assert timed["last"] == "answer"
