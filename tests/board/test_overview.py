"""Tests of the board's first page, in a browser."""

from playwright.sync_api import expect

from tests.board.conftest import Open
from tests.board.world import World, at, list_id, problem, summary


def test_every_lane_shows_its_lists_in_order(world: World, open_page: Open) -> None:
    """Each has its progress, its position and its earliest end."""
    forecast = {"ingestions_ahead": 1, "batches_ahead": 411, "starts_at": at(600), "ends_at": at(1200)}
    counts = {"completed": 4, "failed": 1, "yet_to_start": 5}
    world.add(
        summary(1, priority="HIGH", status="triggered", label="July", counts=counts),
        summary(2, priority="HIGH", forecast=forecast),
        summary(3, priority="LOW"),
    )
    page = open_page()
    cards = page.get_by_role("region", name="HIGH").get_by_role("listitem")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("July")
    expect(cards.nth(0)).to_contain_text("5 of 10 batches, 1 failed")
    expect(cards.nth(1)).to_contain_text("1 list, 411 batches ahead")
    expect(cards.nth(1)).to_contain_text("earliest start")
    expect(page.get_by_role("region", name="MEDIUM")).to_contain_text("Empty")


def test_the_running_batch_is_shown(world: World, open_page: Open) -> None:
    """With its list, its number and since when it runs."""
    world.add(summary(1, status="triggered", label="July"))
    one = {"ingestion_id": list_id(1), "label": "July", "priority": "MEDIUM", "batch": 3, "of": 10, "since": at(-4)}
    world.running = [one]
    running = open_page().get_by_role("region", name="Running now")
    expect(running).to_contain_text("July")
    expect(running).to_contain_text("Batch 3 of 10, since")


def test_ended_lists_show_their_outcome_newest_first(world: World, open_page: Open) -> None:
    """A list that ended leaves a trace."""
    world.add(
        summary(1, status="completed", counts={"completed": 10, "yet_to_start": 0}),
        summary(2, status="failed", counts={"completed": 8, "failed": 2, "yet_to_start": 0}),
        summary(3),
    )
    rows = open_page().get_by_role("region", name="Recent lists").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("failed")
    expect(rows.nth(0)).to_contain_text("10 of 10 batches, 2 failed")
    expect(rows.nth(1)).to_contain_text("completed")


def test_filters_are_kept_in_the_address(world: World, open_page: Open) -> None:
    """So they survive a reload and can be sent to somebody."""
    world.add(summary(1, status="completed"), summary(2, status="failed"), summary(3, status="failed", priority="LOW"))
    page = open_page()
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("region", name="Recent lists").get_by_label("Lane").select_option("LOW")
    rows = page.get_by_role("region", name="Recent lists").locator("tbody tr")
    expect(rows).to_have_count(1)
    assert page.url.endswith("#/?status=failed&priority=LOW")
    page.reload()
    expect(rows).to_have_count(1)
    expect(page.get_by_label("Status")).to_have_value("failed")
    page.evaluate("location.hash = '#/?status=bogus'")
    expect(rows).to_have_count(3)


def test_older_lists_are_fetched_on_request(world: World, open_page: Open) -> None:
    """The first page has 20. When another list ends, none between the pages gets lost."""
    world.add(*(summary(number, status="completed") for number in range(1, 26)))
    page = open_page()
    rows = page.get_by_role("region", name="Recent lists").locator("tbody tr")
    expect(rows).to_have_count(20)
    page.get_by_role("button", name="Show older lists").click()
    expect(rows).to_have_count(25)
    expect(page.get_by_role("button", name="Show older lists")).to_be_hidden()
    expect(page.get_by_role("link", name="List 5", exact=True)).to_be_focused()
    world.add(summary(26, status="completed"), summary(27))
    expect(page.get_by_role("link", name="List 26")).to_be_visible()
    expect(rows).to_have_count(26)


def test_focus_and_selection_survive_refreshes(world: World, open_page: Open) -> None:
    """The node under the focus is kept while lists move around it."""
    world.add(summary(1, label="First"), summary(2, label="Second"))
    page = open_page()
    page.get_by_role("link", name="Second").focus()
    page.evaluate("getSelection().selectAllChildren(document.activeElement)")
    world.lists = {list_id(2): world.lists[list_id(2)], list_id(3): summary(3, label="Third")}
    expect(page.get_by_role("link", name="Third")).to_be_visible()
    world.lists = dict(reversed(world.lists.items()))
    expect(page.get_by_role("region", name="MEDIUM").get_by_role("link")).to_have_text(["Third", "Second"])
    expect(page.get_by_role("link", name="Second")).to_be_focused()
    assert page.evaluate("getSelection().toString()") == "Second"


def test_a_list_is_found_by_its_id(world: World, open_page: Open) -> None:
    """What is not an ID is refused beside the field."""
    world.add(summary(1, label="July"))
    page = open_page()
    search = page.get_by_role("searchbox", name="Find a list by its ID")
    search.fill("July")
    search.press("Enter")
    assert page.evaluate("document.querySelector('#search-id').validationMessage").startswith("Give a whole ID")
    search.fill(list_id(1).upper())
    search.press("Enter")
    expect(page.get_by_role("heading", name="July")).to_be_visible()


def test_a_lane_is_paused_with_a_reason_and_resumed(world: World, open_page: Open) -> None:
    """Everybody sees the reason; a screen reader hears of it."""
    page = open_page()
    lane = page.get_by_role("region", name="LOW")
    lane.get_by_role("button", name="Pause lane LOW").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("the API is being moved")
    dialog.get_by_label("Until").select_option("3600")
    dialog.get_by_role("button", name="Pause lane LOW").click()
    expect(lane).to_contain_text("the API is being moved")
    expect(page.locator("#announcement")).to_have_text("Lane LOW is paused.")
    assert world.pauses["LOW"]["until"] > at(3500)
    lane.get_by_role("button", name="Change pause of lane LOW").click()
    expect(dialog.get_by_label("Reason")).to_have_value("the API is being moved")
    errors = [{"pointer": "/until", "detail": "Must be in the future."}]
    world.problems["PUT", "/lanes/LOW/pause"] = problem(422, "invalid-request", "Wrong", "Fix it.", errors=errors)
    dialog.get_by_role("button", name="Pause lane LOW").click()
    expect(dialog.get_by_label("Time")).to_be_focused()
    expect(dialog.get_by_label("Time")).to_have_accessible_description("On this device's clock. Must be in the future.")
    dialog.get_by_role("button", name="Back").click()
    lane.get_by_role("button", name="Resume lane LOW").click()
    expect(lane.get_by_role("button", name="Pause lane LOW")).to_be_focused()
    assert world.pauses == {}


def test_pausing_everything_is_a_switch_of_its_own(world: World, open_page: Open) -> None:
    """It leaves paused lanes paused."""
    world.pauses["LOW"] = {"reason": None, "since": at(-60), "until": None}
    page = open_page()
    page.get_by_role("button", name="Pause all lanes").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause all lanes").click()
    expect(page.locator("main")).to_contain_text("All lanes: Paused since")
    page.get_by_role("button", name="Resume all lanes").click()
    expect(page.locator("main")).not_to_contain_text("All lanes: Paused since")
    assert list(world.pauses) == ["LOW"]


def test_escape_leaves_a_dialog_and_returns_the_focus(world: World, open_page: Open) -> None:
    """Nothing is sent."""
    page = open_page()
    button = page.get_by_role("button", name="Pause lane HIGH")
    button.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
    assert world.count("PUT", "/lanes/HIGH/pause") == 0
