"""The board in front of the real service: the emulator, Azurite, and an external API that misbehaves on demand."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from devtools.azurite import Azurite, azurite
from tests.board.conftest import Open
from tests.soak.api import Api, running_api
from tests.support.hosts import FunctionHost

LONG_MS = 30_000


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One external API for the module; each test uses IDs of its own."""
    with running_api(tmp_path_factory.mktemp("api")) as one:
        yield one


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Storage that nobody else uses."""
    with azurite(tmp_path_factory.mktemp("storage")) as one:
        yield one


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, storage: Azurite, api: Api) -> Iterator[FunctionHost]:
    """One service for the module, with a batch a second."""
    one = FunctionHost(
        "emulator",
        tmp_path_factory.mktemp("host"),
        storage.connection_string,
        INGEST_INTERVAL_SECONDS="1",
        INGEST_SCHEDULE="*/1 * * * * *",
        INGEST_SOURCE="http",
        INGEST_SOURCE_URL=api.url("host"),
        INGEST_SOURCE_TIMEOUT_SECONDS="2",
        INGEST_MAX_ATTEMPTS="2",
    )
    one.start()
    yield one
    one.stop()


@pytest.fixture
def board_url(host: FunctionHost) -> str:
    """The real service, in place of the scripted one."""
    return f"http://127.0.0.1:{host.port}"


def _submit(page: Page, ids: str, *, lane: str, label: str) -> None:
    page.get_by_role("link", name="New list").click()
    page.get_by_label("IDs", exact=True).fill(ids)
    page.get_by_role("radio", name=lane).check()
    page.get_by_label("Label").fill(label)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name=label)).to_be_visible()


def _ids(first: int, count: int) -> str:
    return "\n".join(str(first + place) for place in range(count))


def test_the_board_leads_to_the_docs_and_a_problem_to_its_explanation(open_page: Open) -> None:
    """The address of a problem's type is where it is explained."""
    page = open_page()
    page.get_by_role("link", name="API").click()
    expect(page.locator("#operation-ingest")).to_contain_text("POST /ingest")
    page = open_page("/problems/unknown-ingestion")
    expect(page).to_have_url(re.compile("/docs#problem-unknown-ingestion$"))
    expect(page.locator(":target")).to_contain_text("404 Unknown ingestion")


def test_a_list_is_submitted_and_watched_to_its_end(open_page: Open) -> None:
    """It runs on the board, and leaves a trace there when it has ended."""
    page = open_page()
    _submit(page, _ids(1001, 9), lane="HIGH", label="Watched")
    expect(page.locator(".status").first).to_have_text("✓ completed", timeout=LONG_MS)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "3 of 3 batches")
    expect(page.locator("tbody tr").last).to_contain_text("1009")
    expect(page.locator("tbody .data").last).not_to_be_empty()
    page.get_by_role("link", name="Board", exact=True).click()
    row = page.get_by_role("region", name="Recent lists").locator("tbody tr", has_text="Watched")
    expect(row).to_contain_text("completed")
    expect(page.locator("figure.plot figcaption")).to_contain_text("that this page saw")


def test_a_list_is_cancelled(open_page: Open) -> None:
    """What has not started never does; the reason is shown."""
    page = open_page()
    _submit(page, _ids(2001, 300), lane="LOW", label="Sent twice")
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("sent twice")
    page.get_by_role("button", name="Cancel the list").click()
    expect(page.locator(".status").first).to_have_text("\N{MINUS SIGN} cancelled", timeout=LONG_MS)
    expect(page.locator("dl")).to_contain_text("sent twice")


def test_a_lane_is_paused_and_resumed(open_page: Open) -> None:
    """Its lists wait meanwhile, and another lane can take them."""
    page = open_page()
    page.get_by_role("button", name="Pause lane LOW").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("the API is being moved")
    page.get_by_role("dialog").get_by_role("button", name="Pause lane LOW").click()
    lane = page.get_by_role("region", name="LOW")
    expect(lane).to_contain_text("the API is being moved")
    _submit(page, _ids(3001, 3), lane="LOW", label="Held up")
    expect(page.locator("dl")).to_contain_text("no forecast while paused")
    page.get_by_label("Lane").select_option("MEDIUM")
    page.get_by_role("button", name="Move").click()
    expect(page.locator(".status").first).to_have_text("✓ completed", timeout=LONG_MS)
    page.get_by_role("link", name="Board", exact=True).click()
    lane.get_by_role("button", name="Resume lane LOW").click()
    expect(lane.get_by_role("button", name="Pause lane LOW")).to_be_visible()


def test_a_failed_batch_is_explained_and_retried(open_page: Open, api: Api) -> None:
    """The retry succeeds once the API has recovered."""
    api.behave(4001, status=500, times=2)
    page = open_page()
    _submit(page, _ids(4001, 4), lane="HIGH", label="Unlucky")
    expect(page.locator(".status").first).to_have_text("✕ failed", timeout=LONG_MS)
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("500")
    expect(row.locator("td").nth(1)).to_have_text("2")
    first = page.url
    page.get_by_role("button", name="Retry what is missing").click()
    expect(page.locator("dl")).to_contain_text("Retry of")
    assert page.url != first
    expect(page.locator(".status").first).to_have_text("✓ completed", timeout=LONG_MS)


def test_storage_goes_and_comes_back(open_page: Open, storage: Azurite) -> None:
    """The page says so in words for people, and goes on by itself."""
    page = open_page()
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    storage.stop()
    expect(page.locator("#alert")).to_contain_text("its storage cannot be reached", timeout=LONG_MS)
    expect(page.locator("#age")).to_contain_text("Last seen")
    storage.start()
    expect(page.locator("#alert")).to_be_hidden(timeout=2 * LONG_MS)
    expect(page.locator("#announcement")).to_have_text("The service answers again.")
