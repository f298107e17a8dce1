"""A check of schemathesis: which requests that match the document may be refused all the same."""

from typing import Any

import schemathesis


@schemathesis.check
def refused_for_what_no_schema_can_say(_: object, response: Any, case: Any) -> None:
    """A key that was used with other values, a cursor that no page has given, a time that is over, the integer 1.0."""
    if response.status_code != 422 or not case.meta or not case.meta.generation.mode.is_positive:
        return
    problem = response.json()
    pointers = {error["pointer"] for error in problem.get("errors", ())}
    body = case.body if isinstance(case.body, dict) else {}
    floats = {f"/ids/{index}" for index, one in enumerate(body.get("ids", ())) if isinstance(one, float)}
    may_be_refused = {
        "/problems/idempotency-key-reused": True,
        "/problems/invalid-query": "cursor" in problem["detail"],
        "/problems/invalid-request": pointers <= {"/until"} | floats,
    }
    assert may_be_refused.get(problem["type"]), f"a request that matches the document was refused: {problem}"
