"""Tests of sources of one's own: what may go wrong in them, and what it costs."""

import asyncio
import re
from collections import UserDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest

from devtools.azurite import ROOT
from ingest_core.errors import AttemptFailed, InvalidSettings, ItemRejected, SourceError, SourceUnavailable
from ingest_core.ports import Answer
from ingest_core.source.custom import CustomSource, load_class
from tests.core import custom_sources

LIMIT = 1000
HERE = "tests.core.custom_sources"


class Api:
    """A source that returns, for any ID, what `value` says; a callable is called with the ID."""

    def __init__(self, value: object) -> None:
        self._value = value

    async def fetch(self, item_id: int) -> object:
        return self._value(item_id) if callable(self._value) else self._value


class BatchApi(Api):
    async def fetch_batch(self, ids: Sequence[int]) -> object:
        return self._value(ids) if callable(self._value) else self._value


def throw(error: BaseException) -> object:
    """Something that raises when it is called."""

    def raising(_: object) -> object:
        raise error

    return raising


async def ask(api: object, *ids: int, timeout_seconds: float = 20) -> list[Answer]:
    """What a source that asks this object answers."""
    source = CustomSource(make=lambda: api, max_answer_bytes=LIMIT)
    answers = await source.fetch_batch(ids or (7,), timeout_seconds=timeout_seconds)
    await source.close()
    for answer in answers:
        assert type(answer) in (str, ItemRejected, AttemptFailed, SourceUnavailable)
        assert str(answer).isprintable()
        assert len(str(answer)) <= LIMIT
    return list(answers)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), ("a\x7f", r'"a\u007f"'), ({"ä": [1, 2.5, True]}, r'{"\u00e4":[1,2.5,true]}'), ((), "[]"),
        (10**400, "1" + "0" * 400), (Colour.RED, '"red"'), ("x" * (LIMIT - 2), f'"{"x" * (LIMIT - 2)}"'),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_json_value_becomes_compact_ascii(value: object, text: str) -> None:
    """The same for one ID per call and for several."""
    assert await ask(Api(value)) == [text]
    assert await ask(BatchApi({7: value})) == [text]


loop: list[object] = []
loop.append(loop)
deep: list[object] = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), {1, 2}, b"{}", datetime.now(UTC), object(), {(1, 2): 3}, {1: "a", "1": "b"}, loop,
        10**5000, "\ud800", Api(1), [UserDict()],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
async def test_what_is_no_json_value_costs_an_attempt(value: object, caplog: pytest.LogCaptureFixture) -> None:
    """With a line that says so; nothing was unexpected, so no trace is logged."""
    fetch = Api(lambda _: value)
    for answers in (await ask(fetch), await ask(BatchApi({7: value}))):
        assert [type(answer) for answer in answers] == [AttemptFailed]
    assert not caplog.records


async def test_a_value_that_is_nested_too_deeply_costs_an_attempt() -> None:
    """Python refuses to follow it."""
    assert "nested" in str((await ask(BatchApi({7: deep})))[0])


async def test_a_value_over_the_limit_is_refused_for_good() -> None:
    """As with the HTTP source."""
    for api in (Api("x" * (LIMIT - 1)), BatchApi({7: "x" * (LIMIT - 1)})):
        [answer] = await ask(api)
        assert isinstance(answer, ItemRejected)
        assert "1000 bytes" in str(answer)


class Forgetful(SourceUnavailable):
    """A subclass that forgets to call what it inherits."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ItemRejected("no\r\nsuch\x1b[31m \ud800 item"), ItemRejected, "no such [31m item"),
        (AttemptFailed("x" * 5000), AttemptFailed, "x" * 200),
        (SourceError("odd"), AttemptFailed, "odd"),
        (SourceUnavailable("Überlast"), SourceUnavailable, "Überlast"),
        (Forgetful(), SourceUnavailable, "Forgetful"),
    ],
)
async def test_its_errors_are_the_services_own(error: SourceError, kind: type[SourceError], message: str) -> None:
    """Raised for one ID, raised for a whole call, or given as a value; each is one printable line."""
    for api in (Api(throw(error)), Api(lambda _: error), BatchApi(throw(error)), BatchApi({7: error})):
        [answer] = await ask(api)
        assert type(answer) is kind
        assert str(answer) == message


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(7, 7.0), (0.5, 0.5), (-3, 0.0), (float("inf"), 2.0**31), (float("nan"), None), ("soon", None), (None, None)],
)
async def test_a_wait_that_is_no_number_counts_as_none(given: object, seconds: float | None) -> None:
    """Another part of the service calculates with it."""
    [answer] = await ask(Api(throw(SourceUnavailable("wait", retry_after_seconds=given))))  # type: ignore[arg-type]
    assert isinstance(answer, SourceUnavailable)
    assert answer.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "error",
    [
        KeyError("secret"), TimeoutError(), SystemExit(1), asyncio.CancelledError(), StopIteration(),
        ExceptionGroup("g", [ItemRejected("x")]), BaseExceptionGroup("g", [SystemExit()]),
    ],
    ids=repr,
)  # fmt: skip
async def test_an_unexpected_exception_costs_an_attempt(error: BaseException) -> None:
    """Its trace is for the log, and its text, which may hold anything, stays out of the answer."""
    for api in (Api(throw(error)), BatchApi(throw(error))):
        answers = await ask(api, 1, 2)
        assert [type(answer) for answer in answers] == [AttemptFailed] * 2
        assert "secret" not in str(answers[0])
        assert "trace" in str(answers[0])
        for answer in answers:
            assert isinstance(answer, AttemptFailed)
            assert answer.log_text.startswith("source.call_failed ")
            assert f"{type(error).__name__}" in answer.log_text
            assert "custom.py" in answer.log_text


async def test_one_id_that_raises_leaves_the_others_alone() -> None:
    """They were asked for in calls of their own."""
    answers = await ask(Api(lambda item_id: 1 // (item_id - 2)), 1, 2, 3)
    assert [type(answer) for answer in answers] == [str, AttemptFailed, str]


class Trap(UserDict[int, object]):
    """A mapping that raises when it is read."""

    def __getitem__(self, key: int) -> object:
        raise ZeroDivisionError


@pytest.mark.parametrize("found", [None, [1, 2], "text", {}, {"7": 1}, Trap({7: 1})], ids=repr)
async def test_a_batch_that_does_not_bring_the_id_costs_an_attempt(found: object) -> None:
    """No mapping, an empty one, keys that are texts, or one that cannot be read."""
    assert [type(answer) for answer in await ask(BatchApi(found))] == [AttemptFailed]


async def test_a_batch_is_one_call_with_each_id_once() -> None:
    """What it returns beyond the IDs is ignored."""
    calls: list[Sequence[int]] = []

    def note(ids: Sequence[int]) -> Mapping[int, object]:
        calls.append(ids)
        return dict.fromkeys([*ids, 99], "x")

    assert await ask(BatchApi(note), 3, 1, 3) == ['"x"'] * 3
    assert calls == [[3, 1]]


async def test_a_call_that_ignores_its_end_is_left_alone() -> None:
    """The batch ends all the same, and what arrives late is not taken for an answer."""
    let_go = asyncio.Event()

    class Stubborn:
        async def fetch(self, _item_id: int) -> object:
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue
            return 1

    async with asyncio.timeout(20):
        [answer] = await ask(Stubborn(), timeout_seconds=0.01)
    assert "did not answer within 0.01 s" in str(answer)
    let_go.set()
    await asyncio.sleep(0.01)


async def test_one_that_cannot_be_constructed_costs_an_attempt() -> None:
    """It is tried again at the next fetch."""
    source = CustomSource(make=custom_sources.CannotStart, max_answer_bytes=LIMIT)
    for _ in range(2):
        answers = await source.fetch_batch([1, 2], timeout_seconds=1)
        assert [type(answer) for answer in answers] == [AttemptFailed] * 2
        assert "secret" not in str(answers[0])
        assert isinstance(answers[0], AttemptFailed)
        assert answers[0].log_text.startswith("source.not_constructed Traceback")


async def test_closing_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A `close` without `async` is fine; one that fails is logged."""
    closed = []

    class Sync(Api):
        def close(self) -> None:
            closed.append(1)

    class Failing(Api):
        async def close(self) -> None:
            raise OSError

    await ask(Sync(1))
    assert closed
    assert not caplog.records
    await ask(Failing(1))
    assert [record.exc_info is not None for record in caplog.records] == [True]


@pytest.mark.parametrize("name", ["PerId", "PerBatch", "Decorated"])
def test_a_class_that_can_be_a_source_is_found(name: str) -> None:
    """Also if a decorator hides the `async`."""
    assert load_class(f"{HERE}:{name}") is getattr(custom_sources, name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module_here:Name", "there is no module no_such_module_here"),
        ("tests.core.no_such:Name", "there is no module tests.core.no_such"),
        ("json.decoder.x:Name", "there is no module json.decoder.x"),
        ("tests.core.broken_source:Name", "cannot be imported (ZeroDivisionError)"),
        ("tests.core.needy_source:Name", "imports not_installed_anywhere, which is not installed"),
        (f"{HERE}:Missing", "has no class Missing"),
        (f"{HERE}:an_instance", "has no class an_instance"),
        (f"{HERE}:error_of", "has no class error_of"),
        (f"{HERE}:Neither", "has neither"),
        (f"{HERE}:NotAsync", "must be an `async def`"),
        (f"{HERE}:Constant", "must be an `async def`"),
        (f"{HERE}:NeedsArguments", "without arguments"),
        (f"{HERE}:Abstract", "without arguments"),
        (f"{HERE}:TakesNothing", "must take one argument"),
    ],
)
def test_a_class_that_cannot_be_a_source_is_a_setting_error(name: str, problem: str) -> None:
    """In one line that begins with the setting's name."""
    with pytest.raises(InvalidSettings) as caught:
        load_class(name)
    [line] = caught.value.problems
    assert line.startswith("INGEST_SOURCE: ")
    assert problem in line
    assert "secret" not in line


async def test_the_readmes_source_works_as_it_is_shown() -> None:
    """In ten lines or so; its client is what a reader has."""
    (code,) = re.findall(r"```python\n(from ingest_core\.errors .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

    class Client:
        status = 200

        async def items(self, _: Sequence[int]) -> SimpleNamespace:
            return SimpleNamespace(status=self.status, items={1: {"n": 1}})

    client = Client()
    names: dict[str, Any] = {"my_client": client}
    exec(code, names)  # noqa: S102 # what readers are told to copy
    found, unknown = await ask(names["Catalogue"](), 1, 2)
    assert (found, str(unknown)) == ('{"n":1}', "unknown")
    client.status = 429
    (busy, _) = await ask(names["Catalogue"](), 1, 2)
    assert isinstance(busy, SourceUnavailable)
    assert busy.retry_after_seconds == 30
