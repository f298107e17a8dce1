"""Tests of compressed answers, and of headers that only look like trouble."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_core.errors import AttemptFailed, ItemRejected, SourceUnavailable
from ingest_core.ports import Answer
from ingest_core.source.encoding import compressions, decompress
from tests.core.api_server import RAW, ApiServer, Behaviour
from tests.core.test_source_http import source_of

gzipped = partial(gzip.compress, mtime=0)
"""Without the time, which would be part of the test's name: every worker must find tests of the same name."""

LIMIT = 1000
TEXT = b'{"id":7,"name":"item 7"}'


def bare_deflate(body: bytes) -> bytes:
    """Deflate without the frame of zlib, as some servers send it."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(body) + squeeze.flush()


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    """The external API."""
    async with ApiServer() as server:
        yield server


async def answer(api: ApiServer, headers: Sequence[str], body: bytes, *, status: str = "200 OK") -> Answer:
    """What a source with a limit of 1000 bytes makes of this answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    api.behave(Behaviour(mode=RAW, body="\r\n".join(lines) + body.decode("latin-1")))
    source = source_of(api.url)
    [found] = await source.fetch_batch([7], timeout_seconds=20)
    await source.close()
    return found


@pytest.mark.parametrize(
    ("encodings", "body"),
    [
        ([""], TEXT),
        (["identity"], TEXT),
        (["Identity "], TEXT),
        (["utf-8"], TEXT),
        (["UTF-8"], TEXT),
        (["none"], TEXT),
        (["binary"], TEXT),
        (["aws-chunked"], TEXT),
        (["application/json"], TEXT),
        ([","], TEXT),
        (["identity", "identity"], TEXT),
        (["x" * 60_000], TEXT),
        (["gzip"], gzipped(TEXT)),
        (["GZIP"], gzipped(TEXT)),
        (["x-gzip"], gzipped(TEXT)),
        (["utf-8, gzip"], gzipped(TEXT)),
        (["gzip", "identity"], gzipped(TEXT)),
        (["gzip"], gzipped(TEXT, 0)),
        (["gzip"], gzipped(TEXT[:5]) + gzipped(TEXT[5:])),
        (["gzip"], gzipped(TEXT) + b"\0" * 100),
        (["deflate"], zlib.compress(TEXT)),
        (["deflate"], bare_deflate(TEXT)),
        (["deflate, gzip"], gzipped(zlib.compress(TEXT))),
        (["deflate, gzip"], gzipped(bare_deflate(TEXT))),
        (["gzip", "gzip"], gzipped(gzipped(TEXT))),
        (["gzip"], TEXT),
        (["gzip"], b"\xef\xbb\xbf \n" + TEXT),
        (["deflate"], TEXT),
        (["gzip, gzip"], TEXT),
        (["gzip, gzip"], gzipped(TEXT)),
        (["deflate, gzip"], zlib.compress(TEXT)),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_good_answer_is_read_whatever_its_encoding_is_called(
    api: ApiServer, encodings: list[str], body: bytes
) -> None:
    """Nothing compressed was asked for; what can be decoded is."""
    assert await answer(api, [f"Content-Encoding: {name}" for name in encodings], body) == TEXT.decode()


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("br", TEXT, "compressed with br"),
        ("zstd", b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        ("gzip, BR", TEXT, "compressed with br"),
        ("compress", TEXT, "compressed with compress"),
        ("x-compress", TEXT, "compressed with compress"),
        ("gzip, gzip, gzip", TEXT, "more than 2 times"),
        ("gzip", b"<html>", "not the gzip"),
        ("gzip", TEXT[:-1], "not JSON"),
        ("gzip", b"", "not the gzip"),
        ("gzip", gzipped(TEXT)[:-1], "not the gzip"),
        ("gzip", gzipped(TEXT)[:-5] + b"\0" * 5, "not the gzip"),
        ("gzip", gzipped(TEXT) + b"garbage", "not the gzip"),
        ("gzip", b"\x1f\x8b" + b"\xff" * 50, "not the gzip"),
        ("gzip", gzipped(b"") * 50 + b"\x1f", "not the gzip"),
        ("deflate", b"<html>", "not the deflate"),
        ("deflate", bare_deflate(TEXT)[:-1], "not the deflate"),
        ("utf-8", gzipped(TEXT), "not valid Unicode"),
        ("gzip", gzipped(b"<html>"), "not JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_what_cannot_be_decoded_costs_an_attempt(
    api: ApiServer, encoding: str, body: bytes, message: str
) -> None:
    """The line says what is wrong."""
    found = await answer(api, [f"Content-Encoding: {encoding}"], body)
    assert isinstance(found, AttemptFailed)
    assert message in str(found)


def test_too_many_members_are_not_read_to_the_end() -> None:
    """Each costs a copy of what follows it."""
    with pytest.raises(AttemptFailed):
        decompress(gzipped(b"") * 30_000, ["gzip"], max_bytes=LIMIT)


@pytest.mark.parametrize("squeeze", [gzipped, zlib.compress, bare_deflate])
async def test_a_decompression_bomb_ends_at_the_limit(api: ApiServer, squeeze: type) -> None:
    """At the limit the answer is whole; a byte more is refused for good, and so it is if nothing was compressed."""
    encoding = "gzip" if squeeze is gzipped else "deflate"
    for size, kind in ((LIMIT, str), (LIMIT + 1, ItemRejected), (900_000, ItemRejected)):
        text = b'"' + b"x" * (size - 2) + b'"'
        for body in (squeeze(text), text):
            assert isinstance(await answer(api, [f"Content-Encoding: {encoding}"], body), kind)


@pytest.mark.parametrize("squeeze", [gzipped, zlib.compress, bare_deflate])
def test_a_bomb_is_never_held_in_memory(squeeze: type) -> None:
    """A hundred megabytes of blanks: what comes out is at most a byte over the limit, also through two layers."""
    name = "gzip" if squeeze is gzipped else "deflate"
    bomb = squeeze(b" " * 100_000_000)
    tracemalloc.start()
    for body, names in ((bomb, [name]), (gzipped(bomb), [name, "gzip"])):
        with pytest.raises(ItemRejected):
            decompress(body, names, max_bytes=LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


async def test_content_that_does_not_shrink_fits_all_the_same(api: ApiServer) -> None:
    """Its compressed form is longer than the limit, its text is not."""
    text = b'"' + bytes(33 + (i * 7919 % 89) for i in range(LIMIT - 2)).replace(b'"', b"!").replace(b"\\", b"!") + b'"'
    body = gzipped(text, 0)
    assert len(body) > LIMIT
    assert await answer(api, ["Content-Encoding: gzip"], body) == text.decode()


@pytest.mark.parametrize("length", [8_190, 20_000, 60_000, 64 * 1024 - 40])
async def test_long_headers_are_read(api: ApiServer, length: int) -> None:
    """Real Content-Security-Policies exceed what the client allows by default."""
    policy = f"Content-Security-Policy: {'x' * length}"
    assert await answer(api, [policy, f"X-Other: {'y' * length}"], TEXT) == TEXT.decode()


async def test_many_headers_are_read(api: ApiServer) -> None:
    """The client's default is 128 lines."""
    assert await answer(api, [f"X-Rule-{number}: passed" for number in range(900)], TEXT) == TEXT.decode()


async def test_of_two_retry_afters_the_longer_wait_counts(api: ApiServer) -> None:
    """The shorter one may be a proxy's."""
    found = await answer(api, ["Retry-After: 5", "Retry-After: 120"], b"", status="429 X")
    assert isinstance(found, SourceUnavailable)
    assert found.retry_after_seconds == 120


@given(st.binary(max_size=200), st.lists(st.sampled_from(["gzip", "deflate"]), max_size=2))
def test_any_bytes_are_decoded_or_refused(body: bytes, names: list[str]) -> None:
    """No other exception, and never more than the limit."""
    for layer in reversed(names[:1]):
        body = gzipped(body) if layer == "gzip" else zlib.compress(body)
    try:
        assert len(decompress(body, names, max_bytes=LIMIT)) <= LIMIT
    except (AttemptFailed, ItemRejected):
        return


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_names_of_encodings_are_read_or_refused(lines: list[str]) -> None:
    """What is no compression is harmless."""
    try:
        assert set(compressions(lines)) <= {"gzip", "deflate"}
    except AttemptFailed:
        return
