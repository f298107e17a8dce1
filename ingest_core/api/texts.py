"""Texts that people write for people: labels and reasons."""

import unicodedata
from collections.abc import Sequence

MAX_LABEL = 100
MAX_REASON = 200

NO_CONTROL_CHARACTER = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
"""The rule of `has_only_characters` as the OpenAPI document writes it; surrogates are no characters there anyway."""


def enumerated(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def has_only_characters(text: str) -> bool:
    """Whether a text has neither a control character nor half of a surrogate pair, which cannot be stored."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
