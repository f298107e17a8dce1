#!/usr/bin/env python3
"""Send lists of IDs to the ingestion service, watch them, steer them, and fetch their results.

Data goes to stdout, everything for people to stderr. It needs Python 3.11 or newer and nothing else.
"""

import argparse
import csv
import email.utils
import http.client
import io
import json
import math
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

DEFAULT_URL = "http://127.0.0.1:7071"
COMPLETED, FAILED, USAGE, CANCELLED, REFUSED, TIMED_OUT, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 4, 124, 130, 141
SUMMARY = ("ingestion_id", "status", "priority", "created_at", "counts")  # fields that every summary has
ENDED = {"completed": COMPLETED, "failed": FAILED, "cancelled": CANCELLED}
EPILOG = f"""\
environment:
  INGEST_URL  where the service is (default: {DEFAULT_URL})
  INGEST_KEY  the function key, where the service needs one

exit codes:
  0    it worked; after wait, results and submit --wait: the ingestion is completed
  1    the ingestion has failed batches
  2    wrong usage, or a file that cannot be used
  3    the ingestion was cancelled
  4    the API refused the request
  124  the time was up, or the ingestion has not ended yet
  130  Ctrl-C: the ingestion goes on
  141  the reader of the output has gone away

examples:
  python3 ingest.py submit customers.csv --priority LOW --label "July customers" --wait
  python3 ingest.py results ID -o july.ndjson
  python3 ingest.py pause LOW --reason "the API is being moved" --until 2030-01-31T18:00:00+01:00
"""

MAX_IDS = 100_000
MAX_INPUT_BYTES = 64 * 1024 * 1024
MAX_ERRORS_SHOWN = 20
PATIENCE_SECONDS = 60.0  # for one call, unless --timeout says otherwise
LAST_LOOK_SECONDS = 1.0  # that a request gets when --timeout has just ended a wait
SILENCE_SECONDS = 30.0  # after which a connection is given up
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
TRIED_AGAIN = {429, 502, 503, 504}  # every call of this program may be repeated
DEFAULT_POLL_SECONDS, LONGEST_POLL_SECONDS = 5.0, 60.0
CLOCKS_AGREE_SECONDS = 2.0  # the Date header has whole seconds only
BAR_WIDTH = 24


class Failure(Exception):
    """The program ends with this message and this exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Clock:
    """The time, so that tests can bring their own."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Return the time of day."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


# --- Output ----------------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Return text without control characters, so that text from elsewhere cannot control the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def say(text: str) -> None:
    """Write lines for people to stderr. Where that cannot be written, the data on stdout still matters."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def show(text: str) -> None:
    """Write lines of data to stdout. What its encoding lacks, such as on a Windows code page, is escaped."""
    write(sys.stdout.buffer, f"{text}\n".encode(sys.stdout.encoding, "backslashreplace"))


def write(output: IO[bytes], data: bytes) -> None:
    """Write all data at once. With PYTHONUNBUFFERED, one call of `write` may take only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[output.write(rest) :]
    output.flush()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align the columns of all rows."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def again(*words: str) -> str:
    """Return a command to copy."""
    return " ".join(["python3", sys.argv[0], *words])


def instant(value: object) -> datetime | None:
    """Read a time of the API's; None if there is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def local(value: object) -> str:
    """Show a time of the API's on this machine's clock."""
    moment = instant(value)
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else "-"


def duration(seconds: float) -> str:
    """Show a duration as precisely as people want it."""
    for unit, size, least in (("days", 86400, 2 * 86400), ("h", 3600, 2 * 3600), ("min", 60, 120)):
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


# --- Input -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class IdList:
    """IDs with the line of the input on which each stands, and what was skipped or left out."""

    ids: Sequence[int] = ()
    lines: Sequence[int] = ()
    note: str = ""


def read_input(name: str) -> IdList:
    """Read IDs from a file, or from stdin if the name is `-`. Raises `Failure` with line numbers."""
    shown = "stdin" if name == "-" else name
    if name == "-" and sys.stdin.isatty():
        say("Type one ID per line; end with Ctrl-D (on Windows: Ctrl-Z and Enter).")
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as source:
            data = source.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise Failure(USAGE, f"{shown} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_INPUT_BYTES:
        raise Failure(USAGE, f"{shown} is too large: the service takes {MAX_IDS} IDs in one list.")
    try:
        id_list = parse_ids(_decoded(data))
    except ValueError as error:
        raise Failure(USAGE, f"{shown} cannot be used: {error}") from None
    say(f"Read {len(id_list.ids)} IDs from {shown}{id_list.note}.")
    return id_list


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"  # PowerShell's `>` writes UTF-16
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text. Save the file as UTF-8.") from None


def parse_ids(text: str) -> IdList:
    """Read JSON, CSV or plain text with one ID per line. Raises `ValueError`."""
    is_json = text.lstrip()[:1] in {"[", "{"}
    entries = list(_json_entries(text) if is_json else _first_column(text))
    note = ""
    if entries and not is_json and _is_header(entries[0][1]):
        line, header = entries.pop(0)
        note = f"; line {line} ({header[:40]!r}) was taken for a header"
    wrong = [f"line {line}: {value[:40]!r} is not an ID" for line, value in entries if not _is_id(value)]
    if wrong:
        more = [f"and {len(wrong) - MAX_ERRORS_SHOWN} more"] if len(wrong) > MAX_ERRORS_SHOWN else []
        raise ValueError("\n  ".join(["an ID is a positive integer.", *wrong[:MAX_ERRORS_SHOWN], *more]))
    if not entries:
        raise ValueError("it has no IDs. Write one per line.")
    if len(entries) > MAX_IDS:
        raise ValueError(f"it has {len(entries)} IDs, and the service takes {MAX_IDS} in one list. Split it.")
    return IdList(ids=[int(value) for _, value in entries], lines=[line for line, _ in entries], note=note)


def _is_id(text: str) -> bool:
    """Whether this is a whole number; the API knows its range."""
    return re.fullmatch(r"[0-9]{1,19}", text) is not None


def _is_header(text: str) -> bool:
    """Whether a first line names its column. A mistyped ID, which begins with a digit or a sign, does not."""
    return re.match(r"[0-9+.,-]|$", text) is None


def _first_column(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the first column of every row that is not empty."""
    first_line = text.lstrip().partition("\n")[0]
    delimiter = next((sign for sign in ",;\t" if sign in first_line), ",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    filled, line = 0, 1
    last: list[str] = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells):
                filled, last = filled + 1, cells
                yield line, cells[0]
            line = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {line}: it is not CSV ({error}).") from None
    if filled == 1 and len(last) > 1 and all(map(_is_id, last)):
        raise ValueError("all its IDs are on one line, and only the first column is read. Write one ID per line.")


def _json_entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every entry of `[1, 2]` or `{"ids": [1, 2]}`."""
    try:
        value = json.loads(text, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}.") from None
    start = re.match(r'\s*(?:\{\s*"ids"\s*:\s*)?\[', text)
    if start is None or (isinstance(value, dict) and list(value) != ["ids"]):
        raise ValueError('JSON must be [1, 2, 3] or {"ids": [1, 2, 3]}. Priority and label are options here.')
    decoder, separator = json.JSONDecoder(parse_int=str), re.compile(r"[\s,]*")
    line, counted, at = 1, 0, start.end()
    while True:
        at = separator.match(text, at).end()  # type: ignore[union-attr] # it matches the empty text, too
        line, counted = line + text.count("\n", counted, at), at
        if text[at] == "]":
            return
        _, end = decoder.raw_decode(text, at)
        yield line, text[at:end]
        at = end


# --- HTTP ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the API answered."""

    status: int
    headers: Message
    body: bytes

    def fields(self, *needed: str) -> dict[str, Any]:
        """Return the JSON object of the body. Raises `Failure` when it is not one with these fields."""
        try:
            fields = json.loads(self.body)
        except ValueError:
            fields = None
        if isinstance(fields, dict) and fields.keys() >= set(needed):
            return fields
        raise Failure(REFUSED, "The answer is not the service's JSON. Is INGEST_URL right?")

    @property
    def retry_after(self) -> float | None:
        """The seconds that the service asks to wait: a number, or a date (RFC 9110, section 10.2.3)."""
        text = self.headers.get("Retry-After", "")
        if re.fullmatch(r"[0-9]{1,9}", text):
            return float(text)
        at, now = _http_date(text), _http_date(self.headers.get("Date", ""))
        return max((at - now).total_seconds(), 0.0) if at and now else None

    @property
    def next_query(self) -> str | None:
        """The query of the next page. The path stays ours, so that the key goes nowhere else."""
        links = ", ".join(self.headers.get_all("Link", []))
        link = re.search(r'<([^>]*)>[^,<]*;\s*rel="?next\b', links)
        return urllib.parse.urlsplit(link[1]).query if link else None


def _http_date(text: str) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Pass on every answer: an error is an answer too, and a redirect would take the key to another host."""

    def http_response(self, _: urllib.request.Request, response: http.client.HTTPResponse) -> http.client.HTTPResponse:
        return response

    https_response = http_response  # type: ignore[assignment] # the stub names the arguments


class Client:
    """Calls the API, and repeats calls that got no answer or an answer that says "later"."""

    def __init__(self, env: Mapping[str, str], clock: Clock, timeout: float | None) -> None:
        self.clock, self.timeout = clock, timeout
        self.url = env.get("INGEST_URL", "").strip().rstrip("/") or DEFAULT_URL
        self._deadline = math.inf if timeout is None else clock.monotonic() + timeout
        self._headers = {"Accept": "application/json, application/x-ndjson;q=0.9", "User-Agent": "ingest.py"}
        key = env.get("INGEST_KEY", "").strip()
        if key:
            self._headers["x-functions-key"] = header_value("INGEST_KEY", key)
        loopback = _host(self.url) in {"127.0.0.1", "localhost", "::1"}
        self._opener = urllib.request.build_opener(_AsItIs, urllib.request.ProxyHandler({} if loopback else None))
        self.server_ahead = 0.0  # seconds by which the server's clock is ahead of this machine's

    def time_left(self) -> float:
        """Return the seconds until --timeout; infinity without it."""
        return self._deadline - self.clock.monotonic()

    def seconds_until(self, value: object) -> float | None:
        """Return the seconds until a time of the API's, by the server's clock."""
        at = instant(value)
        return (at - self.clock.utc()).total_seconds() - self.server_ahead if at else None

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        sent: IdList | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> Answer:
        """Return the answer to a request. Raises `Failure` when it is refused, or when the time is up."""
        request = self._request(method, path, body, headers or {})
        now = self.clock.monotonic()
        give_up = now + patience if self.timeout is None else max(self._deadline, now + LAST_LOOK_SECONDS)
        pause = FIRST_PAUSE_SECONDS
        while True:
            wait, reason = pause, ""
            try:
                answer = self._send(request, give_up)
            except (OSError, http.client.HTTPException) as error:
                reason = self._no_answer(error)
            else:
                if answer.status not in TRIED_AGAIN:
                    return self._accepted(answer, sent)
                wait, reason = answer.retry_after or pause, explain(answer, sent, self.url)
            if self.clock.monotonic() + wait >= give_up:
                raise Failure(TIMED_OUT, f"{reason}\nThe time for further attempts is up.")
            if pause == FIRST_PAUSE_SECONDS:
                clear_line()
                say(f"{reason}\nTrying again ...")
            self.clock.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _request(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> urllib.request.Request:
        data = None if body is None else json.dumps(body).encode()
        all_headers = {**self._headers, **headers, **({"Content-Type": "application/json"} if data else {})}
        if method == "POST" and data is None:
            data = b""  # so that Content-Length: 0 is sent
        return urllib.request.Request(self.url + path, data, all_headers, method=method)  # noqa: S310 # http or https

    def _send(self, request: urllib.request.Request, give_up: float) -> Answer:
        left = give_up - self.clock.monotonic()
        began = self.clock.utc()
        with self._opener.open(request, timeout=max(min(SILENCE_SECONDS, left), 0.1)) as response:
            pieces = []
            while piece := response.read1(65536):
                pieces.append(piece)
                if self.clock.monotonic() > give_up:
                    raise TimeoutError("the answer takes too long")
            answer = Answer(status=response.status, headers=response.headers, body=b"".join(pieces))
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and answer.status != HTTPStatus.NOT_MODIFIED and int(length) > len(answer.body):
            raise http.client.IncompleteRead(answer.body, int(length) - len(answer.body))
        if date := _http_date(answer.headers.get("Date", "")):
            ahead = (date - began).total_seconds()
            self.server_ahead = ahead if abs(ahead) > CLOCKS_AGREE_SECONDS else 0.0
        return answer

    def _no_answer(self, error: Exception) -> str:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Failure(REFUSED, f"The certificate of {self.url} cannot be trusted: {cause.verify_message}.")
        if isinstance(cause, http.client.InvalidURL):
            raise Failure(USAGE, f"INGEST_URL cannot be used: {cause}.")
        text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause) or type(cause).__name__
        return f"No answer from {self.url}: {printable(text)}. Is the service running, and is INGEST_URL right?"

    def _accepted(self, answer: Answer, sent: IdList | None) -> Answer:
        if answer.status < HTTPStatus.MULTIPLE_CHOICES or answer.status == HTTPStatus.NOT_MODIFIED:
            return answer
        raise Failure(REFUSED, explain(answer, sent, self.url))


def _host(url: str) -> str:
    """Return the host of an address. Raises `Failure` when the service cannot be there."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in {"http", "https"} and not parts.query and url.isascii() and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not parts.hostname:
        raise Failure(USAGE, f"INGEST_URL must look like {DEFAULT_URL} (and a key belongs into INGEST_KEY).")
    return parts.hostname


def header_value(name: str, text: str) -> str:
    """Return a text that a header can carry. Raises `Failure`."""
    if re.fullmatch(r"[\x20-\x7e]{1,255}", text):
        return text
    raise Failure(USAGE, f"{name} must be 1 to 255 printable ASCII characters.")


def explain(answer: Answer, sent: IdList | None, url: str) -> str:
    """Show an error answer: a problem (RFC 9457) with the lines of the input, or what its status means."""
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "title" not in problem:
        return _explain_status(answer, url)
    lines = [f"The API answers {answer.status}: {problem['title']}."]
    errors = problem.get("errors")
    shown = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    lines += [f"{_place(str(error.get('pointer', '')), sent)}: {error.get('detail', '')}" for error in shown]
    if not shown and problem.get("detail"):
        lines.append(str(problem["detail"]))
    kind = str(problem.get("type", "about:blank"))
    lines += [] if kind == "about:blank" else [f"See {url if kind.startswith('/') else ''}{kind}"]
    return "\n  ".join(printable(line) for line in lines)


def _explain_status(answer: Answer, url: str) -> str:
    meaning = {
        401: "The service needs a function key, or refuses this one. Set INGEST_KEY.",
        403: "The service refuses this function key. Set INGEST_KEY.",
        404: "There is nothing at this path. Is INGEST_URL right?",
    }
    other = "This is not an answer of the service, but of something before it. Is INGEST_URL right?"
    if location := answer.headers.get("Location"):
        other = f"It points to {printable(location)}. Set INGEST_URL to where the service is."
    phrase = http.client.responses.get(answer.status, "")
    return f"{url} answers {answer.status} {phrase}. {meaning.get(answer.status, other)}"


def _place(pointer: str, sent: IdList | None) -> str:
    """Show where a JSON pointer points: `/ids/17` is a line of the input."""
    match = re.fullmatch(r"/ids/([0-9]{1,9})", pointer)
    if match and sent and int(match[1]) < len(sent.ids):
        index = int(match[1])
        return f"line {sent.lines[index]} (ID {sent.ids[index]})"
    return pointer.removeprefix("/") or "request"


# --- Showing ingestions ----------------------------------------------------------------------------------------------


def ended_batches(counts: Mapping[str, int]) -> int:
    """Return how many batches have ended, however they did."""
    return sum(counts.get(status, 0) for status in ENDED)


def status_words(summary: Mapping[str, Any]) -> str:
    """Return the status, and whether a cancel waits for a running batch."""
    waits = summary.get("cancel_requested_at") and summary["status"] not in ENDED
    return f"{summary['status']}, cancel requested" if waits else str(summary["status"])


def outcome(summary: Mapping[str, Any]) -> str:
    """Return how many batches ended in which way."""
    counts = summary["counts"]
    statuses = [status for status in (*ENDED, "triggered", "yet_to_start") if counts.get(status)]
    parts = [f"{counts[status]} {status.replace('_', ' ')}" for status in statuses]
    errors = f"; {counts['errors']} of {counts['ids']} IDs with an error" if counts.get("errors") else ""
    return f"{counts['batches']} batches: {', '.join(parts)}{errors}"


def summary_table(client: Client, summary: Mapping[str, Any]) -> str:
    """Return an ingestion as rows of names and values."""
    forecast = summary.get("forecast") or {}
    rows = [
        ["ingestion", summary["ingestion_id"]],
        ["status", status_words(summary)],
        ["priority", summary["priority"]],
    ]
    texts = ("label", "retry_of", "retried_by", "cancel_reason")
    rows += [[name, printable(str(summary[name]))] for name in texts if summary.get(name)]
    rows += [["IDs", str(summary["counts"]["ids"])], ["batches", outcome(summary)]]
    if forecast:
        ahead = f"{forecast['ingestions_ahead']} ingestions, {forecast['batches_ahead']} batches"
        rows += [["ahead of it", ahead]]
    times = {name: value for name, value in summary.items() if name.endswith("_at") and value}
    rows += [[name.removesuffix("_at").replace("_", " "), local(value)] for name, value in times.items()]
    for name, words in (("starts_at", "next start"), ("ends_at", "end")):
        left = client.seconds_until(forecast.get(name))
        rows += [] if left is None else [[words, f"{local(forecast[name])} at the earliest, in {duration(left)}"]]
    return table(rows)


def list_table(ingestions: Iterable[Mapping[str, Any]]) -> str:
    """Return one row per ingestion."""
    rows = [["INGESTION", "STATUS", "PRIORITY", "BATCHES", "CREATED", "ENDS (EARLIEST)", "LABEL"]]
    for ingestion in ingestions:
        done = f"{ended_batches(ingestion['counts'])}/{ingestion['counts']['batches']}"
        created = local(ingestion["created_at"])
        ends = local((ingestion.get("forecast") or {}).get("ends_at"))
        label = printable(ingestion.get("label") or "")
        rows.append(
            [ingestion["ingestion_id"], status_words(ingestion), ingestion["priority"], done, created, ends, label]
        )
    return table(rows)


def lanes_table(lanes: Mapping[str, Any]) -> str:
    """Return one row per lane, with its pause."""
    rows = [["LANE", "WAITING", "PAUSED"]]
    for name, lane in lanes["lanes"].items():
        waiting = f"{lane.get('ingestions', 0)} ingestions, {lane.get('batches', 0)} batches"
        rows.append([name, waiting, _pause_words(lane.get("paused"))])
    if lanes.get("paused"):
        rows.append(["ALL", "", _pause_words(lanes["paused"])])
    return table(rows)


def _pause_words(pause: Mapping[str, Any] | None) -> str:
    if not pause:
        return "no"
    until = f"until {local(pause['until'])}" if pause.get("until") else "until it is resumed"
    reason = f": {printable(pause['reason'])}" if pause.get("reason") else ""
    return f"since {local(pause.get('since'))}, {until}{reason}"


def progress_line(client: Client, summary: Mapping[str, Any]) -> str:
    """Return the bar, the counts and the earliest end."""
    counts, forecast = summary["counts"], summary.get("forecast") or {}
    ended, batches = ended_batches(counts), max(counts["batches"], 1)
    filled = BAR_WIDTH * ended // batches
    parts = [f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {ended}/{counts['batches']} batches"]
    parts += [f"{counts['failed']} failed"] if counts.get("failed") else []
    ahead = forecast.get("ingestions_ahead")
    parts += [f"{ahead} {'list' if ahead == 1 else 'lists'} ahead"] if ahead else []
    left = client.seconds_until(forecast.get("ends_at"))
    parts.append("no forecast while its lane is paused" if left is None else f"{duration(left)} left at least")
    return ", ".join(parts)


def clear_line() -> None:
    """Remove the bar from the terminal, if there is one."""
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def draw(line: str) -> None:
    """Draw the bar over the previous bar. Plain ASCII and a carriage return work on every terminal."""
    width = shutil.get_terminal_size().columns - 1
    sys.stderr.write("\r" + line[:width].ljust(width))
    sys.stderr.flush()


# --- Commands --------------------------------------------------------------------------------------------------------


def wait_until_ended(client: Client, ingestion_id: str) -> tuple[int, Answer]:
    """Return the exit code and the last answer once an ingestion has ended. Raises `Failure`, also on Ctrl-C."""
    going_on = f"{ingestion_id} goes on. To wait again: {again('wait', ingestion_id)}"
    try:
        answer = client.call("GET", f"/ingestions/{ingestion_id}")
        while (summary := answer.fields(*SUMMARY))["status"] not in ENDED:
            poll = min(answer.retry_after or DEFAULT_POLL_SECONDS, LONGEST_POLL_SECONDS)
            if client.time_left() <= 0:
                raise Failure(TIMED_OUT, f"The time is up: {outcome(summary)}. {going_on}")
            _pause_with_bar(client, summary, min(poll, client.time_left()))
            answer = _poll(client, ingestion_id, answer)
    except KeyboardInterrupt:
        clear_line()
        hint = f"To cancel it: {again('cancel', ingestion_id)}"
        raise Failure(INTERRUPTED, f"Stopped waiting; nothing is cancelled. {going_on}\n{hint}") from None
    clear_line()
    say(f"{summary['status']}, {outcome(summary)}")
    if summary["status"] != "completed":
        say(f"To send again what is missing: {again('retry', ingestion_id)}")
    return ENDED[summary["status"]], answer


def _poll(client: Client, ingestion_id: str, before: Answer) -> Answer:
    """Return the present answer. Without --timeout, wait for the end of an outage as long as it takes."""
    etag = before.headers.get("ETag")
    headers = {"If-None-Match": etag} if etag else {}
    answer = client.call("GET", f"/ingestions/{ingestion_id}", headers=headers, patience=math.inf)
    if answer.status != HTTPStatus.NOT_MODIFIED:
        return answer
    return Answer(status=before.status, headers=before.headers, body=before.body)


def _pause_with_bar(client: Client, summary: Mapping[str, Any], seconds: float) -> None:
    """Wait; on a terminal, redraw the bar every second so that the remaining time moves."""
    until = client.clock.monotonic() + seconds
    while (left := until - client.clock.monotonic()) > 0:
        if sys.stderr.isatty():
            draw(progress_line(client, summary))
        client.clock.sleep(min(left, 1.0))


def submit(client: Client, options: argparse.Namespace) -> int:
    """Send a list; with --wait, wait until it has ended."""
    id_list = read_input(options.file)
    key = header_value("--idempotency-key", options.idempotency_key or str(uuid.uuid4()))
    say(f"Idempotency-Key: {key}")
    body = {"ids": id_list.ids, "priority": options.priority} | (
        {} if options.label is None else {"label": options.label}
    )
    repeat = f"It may have been accepted. To send it once and only once, repeat with --idempotency-key {key}"
    try:
        answer = client.call("POST", "/ingest", body, {"Idempotency-Key": key}, sent=id_list)
    except KeyboardInterrupt:
        raise Failure(INTERRUPTED, f"Stopped before the answer came. {repeat}") from None
    except Failure as failure:
        raise (Failure(TIMED_OUT, f"{failure}\n{repeat}") if failure.code == TIMED_OUT else failure) from None
    ingestion_id = answer.fields("ingestion_id")["ingestion_id"]
    print_answer(options, answer, lambda _: str(ingestion_id))
    return wait_until_ended(client, ingestion_id)[0] if options.wait else 0


def wait(client: Client, options: argparse.Namespace) -> int:
    """Wait until an ingestion has ended."""
    code, answer = wait_until_ended(client, options.id)
    if options.json:
        print_answer(options, answer, lambda _: "")
    return code


def results(client: Client, options: argparse.Namespace) -> int:
    """Write all results that there are, page by page."""
    # The summary comes first: if it says "ended", the pages are complete.
    summary = client.call("GET", f"/ingestions/{options.id}").fields(*SUMMARY)
    lines = 0
    with _output(options.output) as output:
        for page in pages(client, f"/results/{options.id}", "limit=1000"):
            write(output, page.body)
            lines += page.body.count(b"\n")
    if summary["status"] in ENDED:
        say(f"{lines} results of {summary['counts']['ids']} IDs; {summary['status']}, {outcome(summary)}")
        return ENDED[summary["status"]]
    say(f"{lines} results of {summary['counts']['ids']} IDs so far: the ingestion has not ended ({outcome(summary)}).")
    say(f"Results stop at the first batch that has not ended. To wait: {again('wait', options.id)}")
    return TIMED_OUT


def pages(client: Client, path: str, query: str) -> Iterator[Answer]:
    """Yield the page of this query and the pages after it."""
    following: str | None = query
    while following is not None:
        query = following
        answer = client.call(
            "GET", f"{path}?{query}".rstrip("?"), headers={"Accept": "application/x-ndjson, */*;q=0.5"}
        )
        yield answer
        following = answer.next_query
        if following == query:
            raise Failure(REFUSED, "The API's pages do not advance.")


@contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    """Open the output for results. A file appears under its name when it is complete, and not before."""
    path = Path(os.path.realpath(name))
    if name == "-":
        yield sys.stdout.buffer
    elif path.exists() and not path.is_file():  # such as /dev/null
        with path.open("wb") as output:
            yield output
    else:
        part = path.with_name(path.name + ".part")
        with part.open("wb") as output:
            yield output
        part.replace(path)


def list_ingestions(client: Client, options: argparse.Namespace) -> int:
    """Show ingestions, the newest first."""
    parameters = {name: getattr(options, name) for name in ("status", "priority", "limit", "cursor")}
    query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value})
    listed: dict[str, Any] = {"ingestions": []}
    for answer in pages(client, "/ingestions", query):
        page = answer.fields("ingestions")
        listed = page | {"ingestions": listed["ingestions"] + page["ingestions"]}
        if not options.all:
            break
    show(json.dumps(listed) if options.json else list_table(listed["ingestions"]))
    if listed.get("next_cursor"):
        say(f"There are more: add --all, or --cursor {listed['next_cursor']}")
    return 0


def print_answer(
    options: argparse.Namespace, answer: Answer, as_text: Callable[[dict[str, Any]], str], needed: Sequence[str] = ()
) -> None:
    """Print an answer: for people, or with --json as the API sent it."""
    if options.json:
        write(sys.stdout.buffer, answer.body.rstrip(b"\n") + b"\n")
    else:
        show(as_text(answer.fields(*needed)))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A command that is one request and shows its answer."""

    method: str
    path: str
    needed: Sequence[str]
    as_text: Callable[[Client, dict[str, Any]], str]
    body_fields: Sequence[str] = field(default=())

    def __call__(self, client: Client, options: argparse.Namespace) -> int:
        """Send the request and print its answer."""
        fields = {name: getattr(options, name) for name in self.body_fields}
        body = {name: value for name, value in fields.items() if value is not None}
        answer = client.call(self.method, self.path.format(**vars(options)), body or None)
        print_answer(options, answer, lambda fields: self.as_text(client, fields), self.needed)
        return 0


STATUS = Call(method="GET", path="/ingestions/{id}", needed=SUMMARY, as_text=summary_table)
CANCEL = Call(
    method="POST", path="/ingestions/{id}/cancel", needed=SUMMARY, as_text=summary_table, body_fields=["reason"]
)
PRIORITY = Call(
    method="PATCH", path="/ingestions/{id}", needed=SUMMARY, as_text=summary_table, body_fields=["priority"]
)
RETRY = Call(
    method="POST",
    path="/ingestions/{id}/retry",
    needed=["ingestion_id"],
    as_text=lambda _, fields: str(fields["ingestion_id"]),
)
PAUSE = Call(
    method="PUT",
    path="/lanes/{lane}/pause",
    needed=["lanes"],
    as_text=lambda _, fields: lanes_table(fields),
    body_fields=["reason", "until"],
)
RESUME = Call(
    method="DELETE", path="/lanes/{lane}/pause", needed=["lanes"], as_text=lambda _, fields: lanes_table(fields)
)


# --- Command line ----------------------------------------------------------------------------------------------------


Command = Callable[[Client, argparse.Namespace], int]
PRIORITIES = ("HIGH", "MEDIUM", "LOW")
LANES = (*PRIORITIES, "ALL")
TIMEOUT_HELP = "give up after this time (default: 60 s for a call that gets no answer, no limit for waiting)"
SUBMIT_DETAILS = "FILE holds one ID per line, or is CSV (its first column counts; it may have a header), or JSON."
RESULTS_DETAILS = (
    "While the ingestion has not ended they stop at the first batch that has not, and the exit code is 124."
)
RETRY_DETAILS = "These are the IDs of failed batches and, if it was cancelled, those that never ran."


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar, with its help."""
    shape = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="ingest.py", description=__doc__, epilog=EPILOG, formatter_class=shape)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Command, text: str, *, details: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text}. {details}".strip(), allow_abbrev=False)
        sub.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=TIMEOUT_HELP)
        if run is not results:  # which are JSON anyway
            sub.add_argument("--json", action="store_true", help="print the API's JSON")
        sub.set_defaults(run=run)
        return sub

    def with_id(name: str, run: Command, text: str, *, details: str = "") -> argparse.ArgumentParser:
        sub = command(name, run, text, details=details)
        sub.add_argument("id", type=_ingestion_id, metavar="ID", help="the ingestion's ID")
        return sub

    sub = command("submit", submit, "send a list of IDs and print the ingestion's ID", details=SUBMIT_DETAILS)
    sub.add_argument("file", metavar="FILE", help="the file, or - for stdin")
    sub.add_argument("--priority", type=str.upper, choices=PRIORITIES, required=True)
    sub.add_argument("--label", help="a name for people, 1 to 100 characters")
    sub.add_argument("--wait", action="store_true", help="wait until the ingestion has ended")
    sub.add_argument("--idempotency-key", metavar="KEY", help="a command with the same key sends the same list once")
    with_id("status", STATUS, "show one ingestion")
    with_id("wait", wait, "wait until an ingestion has ended", details="Ctrl-C stops waiting and cancels nothing.")
    sub = with_id("results", results, "fetch the results, one line of JSON per ID", details=RESULTS_DETAILS)
    sub.add_argument("-o", "--output", metavar="FILE", default="-", help="where to write them (default: stdout)")
    sub = command("list", list_ingestions, "show ingestions, the newest first")
    sub.add_argument("--status", help="only these, such as failed,cancelled")
    sub.add_argument("--priority", type=str.upper, help="only these, such as HIGH,LOW")
    sub.add_argument("--limit", help="how many on a page: 1 to 100, 20 if left out")
    sub.add_argument("--cursor", help="where to go on, as printed under the page before")
    sub.add_argument("--all", action="store_true", help="all pages")
    sub = with_id(
        "cancel", CANCEL, "cancel an ingestion", details="A batch that is running ends; the rest never starts."
    )
    sub.add_argument("--reason", help="shown to everybody, at most 200 characters")
    with_id("retry", RETRY, "send what is missing as a new ingestion and print its ID", details=RETRY_DETAILS)
    sub = with_id("priority", PRIORITY, "move an ingestion to the back of another lane")
    sub.add_argument("priority", type=str.upper, choices=PRIORITIES)
    sub = command(
        "pause", PAUSE, "pause a lane", details="What runs ends; nothing of this lane starts until it is resumed."
    )
    sub.add_argument("lane", type=str.upper, choices=LANES)
    sub.add_argument("--reason", help="shown to everybody, at most 200 characters")
    sub.add_argument("--until", metavar="TIME", help="when it ends by itself, such as 2030-01-31T18:00:00+01:00")
    sub = command("resume", RESUME, "resume a lane")
    sub.add_argument("lane", type=str.upper, choices=LANES, help="ALL leaves lanes paused that were paused by name")
    return top


def _seconds(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text) and float(text) > 0:
        return float(text)
    raise argparse.ArgumentTypeError("give a number of seconds above 0")


def _ingestion_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ingestion's ID") from None


def main(words: Sequence[str] | None = None, env: Mapping[str, str] = os.environ, clock: Clock | None = None) -> int:
    """Run one command and return its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # some schedulers close it
            setattr(sys, name, Path(os.devnull).open("r+", encoding="utf-8"))  # noqa: SIM115 # until the end
    options = parser().parse_args(words)
    try:
        code: int = options.run(Client(env, clock or Clock(), options.timeout), options)
    except Failure as failure:
        clear_line()
        say(str(failure))
        return failure.code
    except KeyboardInterrupt:
        say("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        say(f"The output cannot be written: {error}")
        return USAGE
    return code


if __name__ == "__main__":
    sys.exit(main())
