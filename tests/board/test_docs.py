"""Tests of the docs page, in a browser."""

from typing import Any

from playwright.sync_api import expect

from ingest_core.api.openapi.document import document
from ingest_core.api.problems import KINDS
from tests.board.conftest import Open
from tests.board.world import World

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Ingestion service", "version": "1.0", "description": "Takes `ids`.\n\nOne batch at a time."},
    "security": [{"key": []}],
    "paths": {
        "/ingest": {
            "post": {
                "operationId": "ingest",
                "tags": ["Lists"],
                "summary": "Accept a list",
                "parameters": [{"$ref": "#/components/parameters/Key"}],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/IngestRequest"},
                            "example": {"ids": [1, 2], "priority": "HIGH"},
                        }
                    }
                },
                "responses": {
                    "202": {"description": "Accepted"},
                    "422": {
                        "description": "Not valid",
                        "content": {
                            "application/problem+json": {
                                "schema": {"type": "object"},
                                "example": {"type": "/problems/invalid-request", "title": "Wrong", "status": 422},
                            }
                        },
                    },
                },
            }
        },
        "/health": {"get": {"operationId": "health", "security": [], "responses": {"200": {"description": "Well"}}}},
    },
    "components": {
        "parameters": {
            "Key": {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}, "description": "A key."}
        },
        "schemas": {
            "IngestRequest": {
                "type": "object",
                "required": ["ids"],
                "properties": {
                    "ids": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 100000},
                    "label": {"anyOf": [{"type": "string", "maxLength": 100}, {"type": "null"}]},
                },
            }
        },
    },
}


def test_operations_schemas_and_problems_are_shown(world: World, open_page: Open) -> None:
    """From the service's own document, at anchors that stay."""
    world.openapi = DOCUMENT
    page = open_page("/docs#problem-invalid-request")
    operation = page.locator("#operation-ingest")
    expect(operation).to_contain_text("POST /ingest")
    expect(operation).to_contain_text("Idempotency-Key")
    expect(operation.locator("summary").last).to_contain_text("422 Not valid")
    fields = page.locator("#schema-IngestRequest tbody tr")
    expect(fields.nth(0)).to_contain_text("list of integer maxItems 100000, minimum 1")
    expect(fields.nth(1)).to_contain_text("string or null maxLength 100")
    expect(page.locator("#problem-invalid-request:target")).to_contain_text("422 Wrong")


def test_the_real_document_is_shown_whole(world: World, open_page: Open) -> None:
    """Every link of the contents leads somewhere, and every problem is explained."""
    world.openapi = document()
    page = open_page("/docs")
    expect(page.locator(".problem-type > p:last-child")).to_have_count(len(KINDS))
    assert page.locator(".problem-type > p:nth-of-type(2)").count() == len(KINDS)
    operations = [name for item in document()["paths"].values() for name in item if name != "parameters"]
    assert page.locator(".operation").count() == len(operations)
    dead = "links => links.filter(link => !document.getElementById(link.hash.slice(1))).map(link => link.hash)"
    assert page.locator("#contents a, .schema a").evaluate_all(dead) == []


def test_a_command_can_be_copied(world: World, open_page: Open) -> None:
    """It has the present address, and the key only where one is needed."""
    world.openapi = DOCUMENT
    page = open_page("/docs", permissions=["clipboard-read", "clipboard-write"])
    page.locator("#operation-ingest > .copyable").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    origin = page.evaluate("location.origin")
    assert page.evaluate("navigator.clipboard.readText()") == (
        f"curl -X POST '{origin}/ingest' \\\n  -H \"x-functions-key: $INGEST_KEY\" \\\n"
        '  -H \'Content-Type: application/json\' \\\n  -d \'{"ids":[1,2],"priority":"HIGH"}\''
    )
    expect(page.locator("#operation-health pre").last).to_have_text(f"curl '{origin}/health'")


def test_a_service_without_a_document_says_so(open_page: Open) -> None:
    """It is no empty page."""
    expect(open_page("/docs").locator("#alert")).to_contain_text("This service has no /openapi.json")
