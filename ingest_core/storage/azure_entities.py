"""Rows with a value that is not of the type that it claims, as in `{"a": "x", "a@odata.type": "Edm.Int64"}`.

Azurite stores such values, and the SDK fails on the whole answer. Read with this hook, the row comes with the value as
its JSON has it, and whoever decodes the row refuses what is no value of the property.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

SDK_ERRORS = (ValueError, TypeError, AttributeError)
"""What the SDK raises if it cannot convert a value."""

_TYPE = "@odata.type"
_CONVERSIONS: dict[str, Callable[[Any], object]] = {"Edm.Binary": b64decode, "Edm.Double": float}
"""The types that the service's own rows claim in JSON; the others are written without one."""


def drop_wrong_types(response: Any) -> None:  # noqa: ANN401 # the SDK's pipeline response
    """Take types away that a value does not have, and those that the service never uses: a `raw_response_hook`."""
    response.http_response = _Untyped(response.http_response)


class _Untyped:
    """An answer of storage whose JSON claims fewer types."""

    def __init__(self, response: Any) -> None:  # noqa: ANN401 # the SDK's HTTP response
        self._response = response

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # whatever the response has
        return getattr(self._response, name)

    def text(self, encoding: str | None = None) -> str:
        """The body, which the SDK parses."""
        return json.dumps(_untyped(json.loads(self._response.text(encoding))))


def _untyped(value: Any) -> Any:  # noqa: ANN401 # JSON
    if isinstance(value, list):
        return [_untyped(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _untyped(one)
        for name, one in value.items()
        if not name.endswith(_TYPE) or _is_of_type(value.get(name.removesuffix(_TYPE)), one)
    }


def _is_of_type(value: object, name: str) -> bool:
    try:
        _CONVERSIONS[name](value)
    except (*SDK_ERRORS, KeyError):
        return False
    return True
