"""What a caller accepts and already has: the headers `Accept` and `If-None-Match`."""

import hashlib
import re
from collections.abc import Sequence

from ingest_core.api.messages import JSON, JSONL, NDJSON, Request

RESULT_TYPES = (NDJSON, JSONL, JSON)
"""In the order in which the service prefers them."""

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_RANGE = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;(.*))?", re.DOTALL)
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def preferred_type(accept: str, offered: Sequence[str] = RESULT_TYPES) -> str:
    """The media type that suits an `Accept` header best (RFC 9110, section 12.5.1).

    A type has the quality of the most specific range that matches it. Among equal qualities, the more specific
    range wins, then the service's own order. If no type suits, the header is ignored, as the RFC allows.
    """
    ranges = _ranges(accept)
    best, best_rank = offered[0], (0.0, -1)
    for media_type in offered:
        kind = media_type.partition("/")[0]
        for specificity, name in ((2, media_type), (1, f"{kind}/*"), (0, "*/*")):
            if name in ranges:
                rank = (ranges[name], specificity)
                if rank > best_rank and ranges[name] > 0:
                    best, best_rank = media_type, rank
                break
    return best


def entity_tag(text: str) -> str:
    """An ETag that changes with the text."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def has_already(request: Request, etag: str) -> bool:
    """Whether the caller has this version (RFC 9110, section 13.1.2: a weak comparison)."""
    header = request.headers.get("if-none-match", "").strip()
    return header == "*" or etag in _ENTITY_TAG.findall(header)


def _ranges(accept: str) -> dict[str, float]:
    """The quality of each media range; a range that cannot be read is left out."""
    ranges: dict[str, float] = {}
    for element in _ELEMENT.findall(accept):
        match = _RANGE.fullmatch(element)
        if match is None:
            continue
        quality = 1.0
        for parameter in (match[2] or "").split(";"):
            name, _, value = parameter.strip().partition("=")
            if name.lower() == "q":
                quality = float(value) if _QUALITY.fullmatch(value) else 0.0
        ranges[match[1].lower()] = quality
    return ranges
