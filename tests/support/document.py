"""Holds answers against the OpenAPI document, so that what is written by hand cannot drift from what is documented."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from ingest_core.api.openapi.document import document

Node = dict[str, Any]

HOST_STATUSES = {400, 401, 404, 414, 431}
"""What the host may answer by itself, without a body."""

CHECKED_HEADERS = {"location", "retry-after", "etag", "link", "allow"}
"""An answer that has one of these must be documented with it."""


def check_answer(template: str, method: str, *, status: int, headers: Mapping[str, str], body: str | bytes) -> None:
    """Fail if the document has no such answer to this method on the path of this template."""
    found = {name.lower(): value for name, value in headers.items()}
    item = _document()["paths"][template]
    operation = item.get("get" if method == "HEAD" else method.lower())
    if operation is None:
        served = {name.upper() for name in item if name != "parameters"}
        served |= {"HEAD"} & {"HEAD" if "GET" in served else ""}
        assert (status, set(found["allow"].split(", "))) == (405, served), f"{method} {template}: {status} {found}"
        _validator(json.dumps({"$ref": "#/components/schemas/ProblemDetails"})).validate(json.loads(body))
        return
    what = f"{operation['operationId']}: {status} is not as documented"
    assert str(status) in operation["responses"], what
    answer = operation["responses"][str(status)]
    if not body and (status in HOST_STATUSES or method == "HEAD"):
        return
    _check_headers(answer, found, what)
    content = answer.get("content")
    if content is None:
        assert not body, what
        return
    _check_body(content, found["content-type"].partition(";")[0], body, what)


def check_reply(path: str, method: str, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail if the document has no such answer to this method on this path; the host answers for paths that it lacks."""
    for template in _document()["paths"]:
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path.partition("?")[0]):
            check_answer(template, method, status=status, headers=headers, body=body)
            return
    assert (status, body) == (404, b""), f"{path} is not documented"


def check_examples() -> None:
    """Fail if an example does not match its schema."""
    for item in _document()["paths"].values():
        for operation in (value for name, value in item.items() if name != "parameters"):
            request = operation.get("requestBody", {}).get("content", {})
            answers = [answer.get("content", {}) for answer in operation["responses"].values()]
            for content in (request, *answers):
                for media_type, media in content.items():
                    examples = [media["example"]] if "example" in media else []
                    examples += [example["value"] for example in media.get("examples", {}).values()]
                    for example in examples:
                        text = example if isinstance(example, str) else json.dumps(example)
                        _check_body(content, media_type, text, operation["operationId"])


def _check_headers(answer: Node, found: Mapping[str, str], what: str) -> None:
    documented: dict[str, Node] = {}
    for name, reference in answer.get("headers", {}).items():
        documented[name.lower()] = _document()["components"]["headers"][reference["$ref"].rpartition("/")[2]]
    for name, header in documented.items():
        assert name in found or not header.get("required"), f"{what}: {name} is missing"
        if name in found:
            value = int(found[name]) if header["schema"]["type"] == "integer" else found[name]
            _validator(json.dumps(header["schema"])).validate(value)
    assert CHECKED_HEADERS & set(found) <= set(documented), f"{what}: undocumented headers in {found}"


def _check_body(content: Node, media_type: str, body: str | bytes, what: str) -> None:
    assert media_type in content, f"{what}: {media_type}"
    media = content[media_type]
    text = body.decode() if isinstance(body, bytes) else body
    if "x-line-schema" in media:
        for line in text.splitlines():
            _validator(json.dumps(media["x-line-schema"])).validate(json.loads(line))
    value = json.loads(text) if media_type.endswith("json") and "x-line-schema" not in media else text
    _validator(json.dumps(media["schema"])).validate(value)


@cache
def _document() -> Node:
    return document()


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _document()["components"]}, validate_formats=True)
