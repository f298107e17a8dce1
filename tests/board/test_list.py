"""Tests of the page of one list, in a browser."""

from playwright.sync_api import expect

from tests.board.conftest import Open
from tests.board.world import STORAGE_GONE, World, at, list_id, problem, summary


def test_a_list_is_watched_until_it_has_ended(world: World, open_page: Open) -> None:
    """The end is announced."""
    world.add(summary(1, status="triggered", label="July", counts={"completed": 4, "yet_to_start": 6}))
    page = open_page(f"/#/list/{list_id(1)}")
    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_attribute("aria-valuetext", "4 of 10 batches")
    counts = world.lists[list_id(1)]["counts"] | {"completed": 10, "yet_to_start": 0}
    world.lists[list_id(1)] |= {"status": "completed", "counts": counts, "ended_at": at(), "forecast": None}
    expect(bar).to_have_attribute("aria-valuetext", "10 of 10 batches")
    expect(page.locator("#announcement")).to_have_text("The list is now completed.")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_failed_batches_show_attempts_and_error_and_can_be_retried(world: World, open_page: Open) -> None:
    """The retry opens the page of the new list."""
    world.add(summary(1, status="failed", counts={"completed": 8, "failed": 2, "yet_to_start": 0}))
    page = open_page(f"/#/list/{list_id(1)}")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("failed")
    expect(row.get_by_text("the API answered 500")).to_have_count(1)
    expect(row.locator("td").nth(1)).to_have_text("5")
    page.get_by_role("button", name="Retry what is missing").click()
    expect(page.get_by_role("link", name=list_id(1))).to_be_visible()
    assert page.url.endswith(list_id(2))


def test_a_cancel_names_what_is_lost_and_takes_a_reason(world: World, open_page: Open) -> None:
    """It happens once it is confirmed."""
    world.add(summary(1, counts={"yet_to_start": 10}))
    page = open_page(f"/#/list/{list_id(1)}")
    page.get_by_role("button", name="Cancel …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("10 batches will never start.")
    assert world.lists[list_id(1)]["status"] == "yet_to_start"
    dialog.get_by_label("Reason").fill("wrong file")
    dialog.get_by_role("button", name="Cancel the list").click()
    expect(page.locator(".status").first).to_have_text("\N{MINUS SIGN} cancelled")
    expect(page.locator("dl")).to_contain_text("wrong file")
    expect(page.locator("main")).to_be_focused()


def test_a_cancel_that_fails_is_explained_in_the_dialog(world: World, open_page: Open) -> None:
    """In the words of the API, or simply, if storage is gone; the focus stays where it was."""
    world.add(summary(1))
    path = f"/ingestions/{list_id(1)}/cancel"
    world.problems["POST", path] = problem(
        409, "ingestion-ended", "Ingestion has ended", "It can no longer be changed."
    )
    page = open_page(f"/#/list/{list_id(1)}")
    page.get_by_role("button", name="Cancel …").click()
    button = page.get_by_role("button", name="Cancel the list")
    button.press("Enter")
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_have_text("Ingestion has ended. It can no longer be changed.")
    expect(button).to_be_focused()
    world.trouble = STORAGE_GONE
    button.press("Enter")
    expect(alert).to_have_text("Storage cannot be reached. Try again in a moment.")


def test_a_list_moves_to_another_lane(world: World, open_page: Open) -> None:
    """A choice that was not sent yet survives the refreshes."""
    world.add(summary(1, priority="LOW"))
    page = open_page(f"/#/list/{list_id(1)}")
    page.get_by_label("Lane").select_option("HIGH")
    page.wait_for_timeout(1500)
    expect(page.get_by_label("Lane")).to_have_value("HIGH")
    page.get_by_role("button", name="Move").click()
    expect(page.locator("#announcement")).to_have_text("The list is in lane HIGH now.")
    assert world.lists[list_id(1)]["priority"] == "HIGH"


def test_an_unknown_list_is_no_outage(open_page: Open) -> None:
    """The page says that it may have been deleted."""
    page = open_page(f"/#/list/{list_id(9)}")
    expect(page.locator("main")).to_contain_text(f"No list has the ID {list_id(9)}")
    expect(page.locator("#alert")).to_be_hidden()


def test_failed_batches_are_found_among_thousands(world: World, open_page: Open) -> None:
    """The page asks for the whole status only when it is told to."""
    counts = {"batches": 90, "completed": 88, "failed": 2, "yet_to_start": 0}
    world.add(summary(1, status="failed", counts=counts, failed_batches=[47, 88]))
    page = open_page(f"/#/list/{list_id(1)}")
    for number in ("41", "81", "41"):
        page.get_by_role("button", name="Next failed").click()
        expect(page.locator("tbody tr th").first).to_have_text(number)
        expect(page.locator("tbody tr .failed")).to_have_count(1)


def test_batches_come_in_pages(world: World, open_page: Open) -> None:
    """A list may have 33 334 of them."""
    world.add(summary(1, counts={"batches": 45, "ids": 135, "yet_to_start": 45}))
    page = open_page(f"/#/list/{list_id(1)}")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(20)
    page.get_by_role("button", name="Next →").click()
    page.get_by_role("button", name="Next →").click()
    expect(rows).to_have_count(5)
    expect(rows.first.locator("th")).to_have_text("41")
    expect(page.get_by_role("button", name="Next →")).to_be_disabled()


def test_the_focus_stays_on_the_buttons_that_turn_pages(world: World, open_page: Open) -> None:
    """Also where they lead no further."""
    world.add(summary(1, counts={"batches": 45, "ids": 135, "yet_to_start": 45}))
    page = open_page(f"/#/list/{list_id(1)}")
    first = page.locator("tbody tr th").first
    for name, shown in (("Next →", "21"), ("← Previous", "1"), ("Next →", "21"), ("Where it is now", "1")):
        button = page.get_by_role("button", name=name)
        button.press("Enter")
        expect(first).to_have_text(shown)
        page.wait_for_timeout(100)  # a button that cannot be used any more loses the focus a little later
        expect(button).to_be_focused()


def test_batches_that_could_not_be_read_are_read_later(world: World, open_page: Open) -> None:
    """Although the list itself is unchanged by then."""
    world.add(summary(1, status="completed", counts={"completed": 10, "yet_to_start": 0}))
    path = f"/status/{list_id(1)}/batches"
    world.problems["GET", path] = STORAGE_GONE
    page = open_page(f"/#/list/{list_id(1)}")
    expect(page.locator("#alert")).to_contain_text("its storage cannot be reached")
    del world.problems["GET", path]
    expect(page.locator("tbody tr")).to_have_count(10)


def test_an_unchanged_list_is_not_sent_again(world: World, open_page: Open) -> None:
    """The page sends the ETag that it has, and then asks for no batches."""
    world.add(summary(1))
    page = open_page(f"/#/list/{list_id(1)}")
    expect(page.locator("tbody tr")).to_have_count(10)
    page.wait_for_timeout(2500)
    path = f"/ingestions/{list_id(1)}"
    asked = [one.headers.get("if-none-match") for one in world.asked if one.path == path]
    assert len(asked) >= 2
    assert asked[0] is None
    assert all(asked[1:])
    assert world.count("GET", f"/status/{list_id(1)}/batches") == 1
