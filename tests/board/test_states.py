"""Tests of what the board says when something is wrong, in a browser."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.world import STORAGE_GONE, World, at, list_id, problem, summary


def test_storage_that_is_gone_is_named_and_its_return_too(world: World, open_page: Open) -> None:
    """What was seen before stays, greyed, with its age."""
    world.add(summary(1, label="July"))
    page = open_page()
    expect(page.get_by_role("link", name="July")).to_be_visible()
    world.trouble = STORAGE_GONE
    expect(page.get_by_role("alert").first).to_contain_text("its storage cannot be reached")
    expect(page.locator("#age")).to_contain_text("Last seen")
    expect(page.locator("main.stale")).to_contain_text("July")
    world.trouble = None
    expect(page.locator("#alert")).to_be_hidden()
    expect(page.locator("main.stale")).to_have_count(0)
    expect(page.locator("#announcement")).to_have_text("The service answers again.")


def test_a_service_without_an_answer_is_not_alive(world: World, open_page: Open) -> None:
    """The age of what is shown grows."""
    page = open_page()
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    world.is_silent = True
    expect(page.locator("#alert")).to_contain_text("The service does not answer")
    expect(page.locator("#age")).to_contain_text("Last seen 3 s ago")
    expect(page.get_by_role("timer")).to_have_text("What follows is not up to date.")


def test_another_problem_is_shown_in_the_words_of_the_service(world: World, open_page: Open) -> None:
    """Such as a wrong setting."""
    world.trouble = problem(503, "wrong-setting", "A setting is wrong", "Fix INGEST_INTERVAL.")
    expect(open_page().locator("#alert")).to_have_text("A setting is wrong. Fix INGEST_INTERVAL.")


def test_the_key_is_asked_for_once_and_sent_as_a_header(world: World, open_page: Open) -> None:
    """It is in no address, and another load of the page in the same tab needs no question."""
    world.key = "secret"
    page = open_page()
    _enter_key(page, "schlüssel")  # no header can carry it
    _enter_key(page, "wrong")
    expect(page.get_by_role("dialog")).to_contain_text("does not accept this key")
    _enter_key(page, "secret")
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    assert "secret" not in page.content() + page.url
    assert not any("secret" in str((one.path, one.query)) for one in world.asked)


def test_who_has_no_key_is_not_asked_again_and_again(world: World, open_page: Open) -> None:
    """The page says how to enter it later."""
    world.key = "secret"
    page = open_page()
    page.get_by_role("dialog").press("Escape")
    expect(page.locator("#alert")).to_contain_text("Load the page again to enter it.")
    seen = len(world.asked)
    _wait_until(page, lambda: len(world.asked) > seen)
    expect(page.get_by_role("dialog")).to_have_count(0)


def _enter_key(page: Page, key: str) -> None:
    page.get_by_role("dialog").get_by_label("Function key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_the_key_works_where_the_browser_keeps_nothing(world: World, open_page: Open) -> None:
    """Where its settings forbid storage, even reading the property fails. The key then lives as long as the page."""
    page = open_page(locale="en-GB")
    forbidden = "{ get() { throw new DOMException('forbidden') } }"
    for name in ("localStorage", "sessionStorage"):
        page.add_init_script(f"Object.defineProperty(window, '{name}', {forbidden})")
    world.key = "secret"
    page.reload()
    _enter_key(page, "secret")
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    page.get_by_role("button", name="Stop live updates").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_throttle_is_told_with_its_reason_and_a_countdown(world: World, open_page: Open) -> None:
    """Also to a screen reader, once."""
    page = open_page()
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    world.throttled = {"until": at(50), "reason": "the API answered 429"}
    expect(page.locator("main")).to_contain_text("the API answered 429")
    expect(page.get_by_role("timer")).to_contain_text("Throttled: goes on in")
    expect(page.locator("#announcement")).to_have_text("Throttled: the API answered 429")


def test_a_countdown_is_right_while_other_answers_are_slow(world: World, open_page: Open) -> None:
    """The service's time is that of its answer, not that of the last one."""
    world.throttled = {"until": at(60), "reason": "the API answered 429"}
    world.delays["/ingestions"] = 3
    page = open_page()
    timer = page.get_by_role("timer")
    expect(timer).to_contain_text("goes on in")
    assert re.search("goes on in 5[0-7] s", timer.inner_text())


def test_the_live_region_stays_quiet_while_nothing_changes(world: World, open_page: Open) -> None:
    """Clocks and counters are not announced."""
    world.add(summary(1))
    page = open_page()
    seen = world.count("GET", "/lanes")
    world.last_start_at = at()
    _wait_until(page, lambda: world.count("GET", "/lanes") >= seen + 3)
    expect(page.locator("#announcement")).to_have_text("")
    expect(page.get_by_role("timer")).to_have_attribute("aria-live", "off")


def test_an_empty_board_says_what_to_do(open_page: Open) -> None:
    """It leads to the form."""
    page = open_page()
    page.get_by_role("link", name="Submit a list of IDs").click()
    expect(page.get_by_role("heading", name="New list")).to_be_visible()


def test_nothing_is_asked_while_the_tab_is_hidden(world: World, open_page: Open) -> None:
    """And everything at once when it is seen again."""
    page = open_page("/", has_clock=True)
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    _set_hidden(page, hidden=True)
    page.wait_for_timeout(300)  # for an answer that is under way
    seen = len(world.asked)
    page.clock.run_for(60_000)
    page.wait_for_timeout(100)
    assert len(world.asked) == seen
    _set_hidden(page, hidden=False)
    _wait_until(page, lambda: len(world.asked) > seen)


def test_live_updates_can_be_stopped(world: World, open_page: Open) -> None:
    """The choice is remembered."""
    page = open_page("/", has_clock=True)
    expect(page.get_by_role("region", name="HIGH")).to_contain_text("Empty")
    page.get_by_role("button", name="Stop live updates").click()
    page.wait_for_timeout(300)
    seen = world.count("GET", "/lanes")
    page.clock.run_for(60_000)
    page.wait_for_timeout(100)
    assert world.count("GET", "/lanes") == seen
    page.reload()
    expect(page.get_by_role("button", name="Resume live updates")).to_be_visible()


def test_the_gaps_between_starts_are_plotted(world: World, open_page: Open) -> None:
    """With words for those who do not see the bars; the time while nothing waits is no gap."""
    world.last_start_at = at(-300)
    page = open_page()
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    world.add(summary(1))
    for _ in range(3):
        world.last_start_at = at()
        one = {"ingestion_id": list_id(1), "label": None, "priority": "LOW", "batch": 1, "of": 2, "since": at(0.002)}
        world.running = [one]  # the same start, written a little later
        seen = world.count("GET", "/lanes")
        _wait_until(page, lambda seen=seen: world.count("GET", "/lanes") > seen)
    world.last_start_at = one["since"]  # the planned time becomes the exact one
    seen = world.count("GET", "/lanes")
    _wait_until(page, lambda: world.count("GET", "/lanes") > seen + 1)
    expect(page.locator("figure.plot figcaption")).to_contain_text("2 gaps between starts that this page saw")
    expect(page.locator("figure.plot figcaption")).not_to_contain_text("least 0.00")


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_every_page_fits_its_window(world: World, open_page: Open, width: int) -> None:
    """Nothing scrolls sideways, not even a table."""
    label = "A label with AVeryLongWordThatHasNoPlaceToBreakAndGoesOnForQuiteAWhileUntilTheHundredthOne"
    world.add(summary(1, label=label), summary(2, status="failed", label=label, counts={"failed": 2, "completed": 8}))
    page = open_page(viewport={"width": width, "height": 800})
    for address in ("#/", f"#/list/{list_id(2)}", "#/new"):
        page.evaluate("address => { location.hash = address; }", address)
        expect(page.locator("main")).to_have_attribute("aria-busy", "false")
        assert (
            page.evaluate(
                "[document.documentElement, ...document.querySelectorAll('.scroll')]"
                ".filter(one => one.scrollWidth > one.clientWidth).map(one => one.outerHTML)"
            )
            == []
        )


def _set_hidden(page: Page, *, hidden: bool) -> None:
    """Tell the page that its tab is hidden: a headless browser never hides one."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def _wait_until(page: Page, is_so: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end
        page.wait_for_timeout(50)
