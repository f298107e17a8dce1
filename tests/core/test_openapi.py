"""Tests of the OpenAPI document, and of what leads to its page."""

import json

import pytest
from openapi_spec_validator import validate

from ingest_core.api.messages import Answer, Request
from ingest_core.api.openapi.document import answer_openapi, document
from ingest_core.api.pages import BOARD, DOCS, answer_page, answer_problem_type
from ingest_core.api.problems import KINDS, Kind
from tests.support.document import check_answer, check_examples


def test_the_document_is_valid() -> None:
    """By the schema of OpenAPI 3.1, references included."""
    validate(document())


def test_its_examples_match_its_schemas() -> None:
    """They are written by hand."""
    check_examples()


def test_operations_have_names_of_their_own_and_links_lead_to_them() -> None:
    """The docs page makes anchors of the names."""
    operations = [
        operation for item in document()["paths"].values() for name, operation in item.items() if name != "parameters"
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    links = [
        link
        for operation in operations
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert {"status", "ingestion", "cancel", "retry"} <= {link["operationId"] for link in links} <= set(names)


def test_every_problem_is_explained_and_some_operation_has_it() -> None:
    """But the one for methods that no operation has."""
    listed = document()["x-problem-types"]
    assert [one["slug"] for one in listed] == [kind.slug for kind in KINDS]
    assert all(one["description"] for one in listed)
    paths = json.dumps(document()["paths"])
    assert [kind.slug for kind in KINDS if f'"/problems/{kind.slug}"' not in paths] == ["method-not-allowed"]


def test_it_is_served_once_and_then_not_again() -> None:
    """As long as it is the same."""
    first = answer_openapi(Request())
    check_answer("/openapi.json", "GET", status=first.status, headers=_headers(first), body=first.body)
    assert json.loads(first.body) == document()
    again = answer_openapi(Request(headers={"if-none-match": first.headers["ETag"]}))
    assert (again.status, again.body, again.headers["ETag"]) == (304, "", first.headers["ETag"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.slug)
def test_a_type_of_problem_leads_to_its_explanation(kind: Kind) -> None:
    """On the docs page."""
    answer = answer_problem_type(kind.slug, Request())
    assert (answer.status, answer.headers["Location"]) == (303, f"/docs#problem-{kind.slug}")


@pytest.mark.parametrize("slug", ["", "x", "Unknown-Page", "\r\nX: y"])
def test_an_unknown_type_of_problem_is_404(slug: str) -> None:
    """Nothing of it is repeated."""
    answer = answer_problem_type(slug, Request())
    assert json.loads(answer.body)["type"] == "/problems/unknown-page"
    check_answer("/problems/{slug}", "GET", status=404, headers=_headers(answer), body=answer.body)


@pytest.mark.parametrize(
    ("template", "name"),
    [("/", BOARD), ("/docs", DOCS), *(("/pages/{file}", name) for name in ("style.css", "board.js", "icon.svg", "x"))],
)
def test_the_pages_answer_as_documented(template: str, name: str) -> None:
    """Also to a caller who has the file, and for a name that is not there."""
    first = answer_page(name, Request())
    again = answer_page(name, Request(headers={"if-none-match": "*"}))
    assert {first.status, again.status} == ({404} if name == "x" else {200, 304})
    for answer in (first, again):
        check_answer(template, "GET", status=answer.status, headers=_headers(answer), body=answer.body)


def test_they_are_only_read() -> None:
    """As the pages are."""
    for answer in (answer_openapi(Request(method="POST")), answer_problem_type("x", Request(method="PUT"))):
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def _headers(answer: Answer) -> dict[str, str]:
    return {"Content-Type": answer.content_type, **answer.headers}
