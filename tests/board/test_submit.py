"""Tests of the form for a new list, in a browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.board.conftest import Open
from tests.board.world import World, problem


def _posted(world: World) -> list[dict]:
    return [one.body for one in world.asked if one.method == "POST"]


def test_a_list_is_submitted_and_its_page_opens(world: World, open_page: Open) -> None:
    """With its lane and its label; a look at the board before does not lose what was typed."""
    page = open_page("/#/new")
    page.get_by_label("IDs", exact=True).fill("id\n3\n1\n2\n2")
    page.get_by_role("link", name="Board", exact=True).click()
    page.get_by_role("link", name="New list").click()
    page.get_by_role("radio", name="LOW").check()
    page.get_by_label("Label").fill("July customers")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="July customers")).to_be_visible()
    assert _posted(world) == [{"ids": [3, 1, 2, 2], "priority": "LOW", "label": "July customers"}]


def test_counts_duplicates_and_wrong_lines_are_shown_before_sending(world: World, open_page: Open) -> None:
    """Wrong lines hold the list back until they are corrected or left out."""
    page = open_page("/#/new")
    page.get_by_label("IDs", exact=True).fill("id,name\n7,a\nabc,b\n7,c\n0,d\n8,e")
    review = page.locator(".review")
    expect(review).to_contain_text("3 IDs")
    expect(review).to_contain_text("Line 1 (“id”) was taken for a header.")
    expect(review).to_contain_text("Line 3: “abc” is not an ID")
    expect(review).to_contain_text("Line 5: 0 is not between 1 and 1000000007")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("main")).to_contain_text("Correct the wrong lines, or leave them out.")
    page.get_by_label("Leave out 2 wrong lines").check()
    page.get_by_label("Leave out 1 duplicate").check()
    expect(review).to_contain_text("2 IDs")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    assert _posted(world) == [{"ids": [7, 8], "priority": "MEDIUM"}]


def test_a_double_click_makes_one_list(world: World, open_page: Open) -> None:
    """The second click finds the first one under way."""
    page = open_page("/#/new")
    page.get_by_label("IDs", exact=True).fill("1")
    page.get_by_role("button", name="Submit").dblclick()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    assert len(_posted(world)) == 1


def test_a_repeat_after_a_lost_answer_has_the_same_key(world: World, open_page: Open) -> None:
    """So the service can tell that it is the same list; another list gets another key."""
    page = open_page("/#/new")
    page.get_by_label("IDs", exact=True).fill("1 2 3")
    world.is_silent = True
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("main")).to_contain_text("may have been accepted all the same")
    world.is_silent = False
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    page.get_by_role("link", name="New list").click()
    page.get_by_label("IDs", exact=True).fill("1 2 3")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    keys = [one.headers["idempotency-key"] for one in world.asked if one.method == "POST"]
    assert len(set(keys)) == 2
    assert keys[-2] == keys[0] != keys[-1]


def test_the_words_of_the_api_stand_at_the_field(world: World, open_page: Open) -> None:
    """With the line of a wrong ID."""
    errors = [{"pointer": "/ids/1", "detail": "Must be an integer."}, {"pointer": "/label", "detail": "Too long."}]
    world.problems["POST", "/ingest"] = problem(422, "invalid-request", "Wrong", "Fix `errors`.", errors=errors)
    page = open_page("/#/new")
    page.get_by_label("IDs", exact=True).fill("id\n5\n6")
    page.get_by_role("button", name="Submit").click()
    expect(_error_of(page, "IDs")).to_have_text("Line 3: Must be an integer.")
    expect(_error_of(page, "Label")).to_have_text("Too long.")
    expect(page.get_by_label("IDs", exact=True)).to_be_focused()


def _error_of(page: Page, label: str) -> object:
    name = page.get_by_label(label, exact=True).get_attribute("id")
    return page.locator(f"#{name}-error")


def test_a_file_can_be_chosen(open_page: Open) -> None:
    """Its name becomes the label. It may be Excel's, and a quoted address may have several lines."""
    page = open_page("/#/new")
    content = 'customer;address\r\n11;"Zoë\r\n99"\r\n12;Al\r\n'.encode("utf-16")
    page.get_by_label("Or a file").set_input_files(
        {"name": "july.csv", "mimeType": "text/csv", "buffer": content},
    )
    expect(page.locator(".review")).to_contain_text("2 IDs")
    expect(page.get_by_label("Label")).to_have_value("july.csv")


def test_a_file_can_be_dropped(open_page: Open) -> None:
    """The browser does not open it instead of the page."""
    page = open_page("/#/new")
    data = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['[4, 5, 6]'], 'ids.json')); return data; }"
    )
    page.get_by_label("IDs", exact=True).dispatch_event("drop", {"dataTransfer": data})
    expect(page.locator(".review")).to_contain_text("3 IDs")


def test_a_file_that_misses_the_form_does_not_replace_the_page(open_page: Open) -> None:
    """What was typed would be gone."""
    page = open_page("/#/new")
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    drop = (
        "() => { const data = new DataTransfer(); data.items.add(new File(['4'], 'ids.txt'));"
        " const options = {dataTransfer: data, bubbles: true, cancelable: true};"
        " return document.body.dispatchEvent(new DragEvent('drop', options)); }"
    )
    assert page.evaluate(drop) is False


def test_a_file_that_is_no_text_is_refused(open_page: Open) -> None:
    """Not each of its lines, which nobody can read."""
    page = open_page("/#/new")
    content = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
    page.get_by_label("Or a file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": content})
    expect(_error_of(page, "IDs")).to_have_text("a.png cannot be read: it is no text file.")
    expect(page.locator(".review")).to_contain_text("No IDs yet.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('1,"never closed\n' + "\n".join(f'{one},"a b"' for one in range(2, 50_001)), "50,000 IDs"),
        ('1,"never closed\n2\n3', "3 IDs"),
        ('id;name\n1;"a ""b"";\nc"\n2;6" pipe\n3;', "3 IDs"),
        ('"7", "8"', "2 IDs"),
        ("\ufeff[1, 2]", "2 IDs"),
    ],
    ids=["wrongly closed", "never closed", "doubled", "one line", "byte order mark"],
)
def test_quotation_marks_lose_no_line(open_page: Open, text: str, shown: str) -> None:
    """Also one that is never closed, in a text so long that reading on from each mark would take minutes."""
    page = open_page("/#/new")
    data = {"name": "ids.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.get_by_label("Or a file").set_input_files(data)
    expect(page.locator(".counts")).to_have_text(shown)
    expect(page.locator(".wrong-lines li")).to_have_count(0)


def test_a_large_file_is_kept_beside_the_text_area(world: World, open_page: Open) -> None:
    """A text area would lay out every line. How many IDs a list takes is the service's setting, so it decides."""
    page = open_page("/#/new")
    content = "\n".join(map(str, range(1, 100_002))).encode()
    page.get_by_label("Or a file").set_input_files({"name": "all.txt", "mimeType": "text/plain", "buffer": content})
    expect(page.locator(".review")).to_contain_text("100,001 IDs")
    detail = "Give 1 to 100000 IDs, not 100001."
    errors = [{"pointer": "/ids", "detail": detail}]
    world.problems["POST", "/ingest"] = problem(422, "invalid-request", "Wrong", "Fix `errors`.", errors=errors)
    page.get_by_role("button", name="Submit").click()
    expect(_error_of(page, "IDs")).to_have_text(detail)
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_label("IDs", exact=True)).to_be_focused()
    expect(page.locator(".review")).to_contain_text("No IDs yet.")


def test_a_large_text_can_be_pasted(open_page: Open) -> None:
    """It joins what was typed before."""
    page = open_page("/#/new")
    page.get_by_label("IDs", exact=True).fill("700001\n")
    page.get_by_label("IDs", exact=True).evaluate(
        "area => { area.setSelectionRange(7, 7); const data = new DataTransfer();"
        " data.setData('text', Array.from({length: 20000}, (_, at) => at + 1).join('\\n'));"
        " area.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})); }"
    )
    expect(page.locator(".review")).to_contain_text("20,001 IDs")
