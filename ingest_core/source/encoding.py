"""The content encodings of the API's answers: gzip and deflate are decoded, harmless encodings are ignored.

The request asks for no compression, but some servers and proxies compress all the same. Others decode a body and keep
the header, so a body that cannot be decoded and begins as JSON is read as it is. Decoding stops at the size limit, so a
small answer that expands to gigabytes costs no more than any other answer that is too large.
"""

import re
import zlib
from collections.abc import Iterable, Sequence

from ingest_core.errors import AttemptFailed
from ingest_core.source.answer import too_large

GZIP, DEFLATE = "gzip", "deflate"

#: A compressed answer may be this much longer than its content, because content that does not shrink gets a frame.
OVERHEAD_BYTES = 1024

_ALIASES = {"x-gzip": GZIP, "x-compress": "compress"}
_NOT_SUPPORTED = frozenset(("br", "zstd", "compress", "dcb", "dcz"))
_MOST_ENCODINGS = 2
_MOST_GZIP_MEMBERS = 100

# No gzip and no zlib frame begins like this. A bare deflate stream may, but what is left of a damaged one is no JSON.
_BEGINS_AS_JSON = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*[{\["0-9tfn-]')

# zlib's window bits: a zlib or gzip frame, recognised by its first bytes, or a bare deflate stream.
_FRAMED, _BARE = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS


def compressions(content_encodings: Iterable[str]) -> Sequence[str]:
    """Return the compressions that the values of `Content-Encoding` name, in the order in which they were applied.

    `identity`, an empty value and names that are no compression (`utf-8`, `none`, `aws-chunked`) are left
    out, because they do not compress. Raises `AttemptFailed` for compressions that cannot be decoded.
    """
    names = [name.strip().lower() for line in content_encodings for name in line.split(",")]
    names = [_ALIASES.get(name, name) for name in names]
    for name in names:
        if name in _NOT_SUPPORTED:
            raise AttemptFailed(f"the API's answer is compressed with {name}, which the request did not ask for")
    applied = [name for name in names if name in (GZIP, DEFLATE)]
    if len(applied) > _MOST_ENCODINGS:
        raise AttemptFailed(f"the API's answer is compressed more than {_MOST_ENCODINGS} times")
    return applied


def decompress(body: bytes, names: Sequence[str], *, max_bytes: int) -> bytes:
    """Undo these compressions, the last one first.

    Raises `AttemptFailed` if the body is damaged, and `ItemRejected` if more than `max_bytes` come out.
    """
    for place, name in reversed(list(enumerate(names))):
        # What is still compressed may be a little longer than its content.
        most = max_bytes + place * OVERHEAD_BYTES
        try:
            body = _inflate(body, name, most=most)
        except zlib.error:
            if not _BEGINS_AS_JSON.match(body):
                raise AttemptFailed(f"the API's answer is not the {name} that its header says") from None
        if len(body) > most:
            raise too_large(max_bytes)
    return body


def _inflate(body: bytes, name: str, *, most: int) -> bytes:
    """Decode one compression, and stop one byte after `most`. Raises `zlib.error` if the body is damaged."""
    try:
        return _inflate_members(body, _FRAMED, most=most)
    except zlib.error:
        if name != DEFLATE:
            raise
    return _inflate_members(body, _BARE, most=most)


def _inflate_members(body: bytes, window_bits: int, *, most: int) -> bytes:
    """Decode a stream. A gzip file may consist of several members, and zeros may follow them (RFC 1952 §2.2)."""
    content = b""
    for _ in range(_MOST_GZIP_MEMBERS):
        member = zlib.decompressobj(window_bits)
        content += member.decompress(body, most + 1 - len(content))
        if len(content) > most:
            return content
        if not member.eof:
            raise zlib.error("the end is missing")
        body = member.unused_data.lstrip(b"\0")
        if not body:
            return content
    raise zlib.error("too many members")
