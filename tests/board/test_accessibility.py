"""axe-core finds no violation, in light and dark, with the pages' own security policy in force."""

import pytest
from playwright.sync_api import Page, expect

from ingest_core.api.openapi.document import document
from tests.board.conftest import Open, axe_source
from tests.board.world import World, at, list_id, summary


@pytest.fixture
def axe() -> str:
    """The text of axe-core."""
    found = axe_source()
    if found is None:
        pytest.skip("axe-core is missing: npm install axe-core")
    return found


def _violations(page: Page, axe: str) -> list[str]:
    """In both schemes; in the second one, only what depends on colours is judged again."""
    page.evaluate(axe)  # the debugger's scripts are not subject to the page's policy
    page.emulate_media(color_scheme="light")
    run = "options => axe.run(document, {resultTypes: ['violations'], ...options})"  # the rest takes longest to report
    found = page.evaluate(run, {})["violations"]
    page.emulate_media(color_scheme="dark")
    found += page.evaluate(run, {"runOnly": {"type": "rule", "values": ["color-contrast"]}})["violations"]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("address", ["/", f"/#/list/{list_id(2)}", "/#/new", "/docs"])
def test_no_page_has_a_violation(world: World, open_page: Open, axe: str, address: str) -> None:
    """With lists of every status, a paused lane and a throttle."""
    world.openapi = document()
    world.pauses["LOW"] = {"reason": "the API is being moved", "since": at(-60), "until": None}
    world.throttled = {"until": at(60), "reason": "the API answered 429"}
    counts = {"completed": 3, "failed": 2, "cancelled": 5, "yet_to_start": 0}
    world.add(summary(1, status="triggered"), summary(2, status="failed", counts=counts), summary(3))
    world.add(summary(4, status="cancelled", counts=counts), summary(5, status="completed", counts=counts))
    page = open_page(address)
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    expect(page.locator("main h2").first).to_be_visible()
    assert _violations(page, axe) == []


def test_a_dialog_and_an_outage_have_no_violation(world: World, open_page: Open, axe: str) -> None:
    """What is greyed can still be read."""
    world.add(summary(1), summary(2, status="failed"))
    page = open_page()
    expect(page.get_by_role("link", name="List 1")).to_be_visible()
    world.is_silent = True
    expect(page.locator("#alert")).to_be_visible()
    assert _violations(page, axe) == []
    page.get_by_role("button", name="Pause lane HIGH").click()
    assert _violations(page, axe) == []


def test_less_motion_is_respected(world: World, open_page: Open) -> None:
    """The slot's bar moves in steps, without a transition."""
    world.add(summary(1))
    page = open_page(reduced_motion="reduce")
    bar = page.locator(".slot i")
    assert bar.evaluate("node => getComputedStyle(node).transitionDuration") == "0s"
    assert open_page().locator(".slot i").evaluate("node => getComputedStyle(node).transitionDuration") == "0.25s"
