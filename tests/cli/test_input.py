"""Which files are lists of IDs, and what is said of those that are not."""

from pathlib import Path

import pytest

from cli import ingest
from tests.cli.api import ContractApi
from tests.cli.conftest import Run

COMMANDS = ("submit", "status", "wait", "results", "list", "cancel", "retry", "priority", "pause", "resume")


@pytest.mark.parametrize(
    ("text", "ids", "lines"),
    [
        ("1\n2\n", [1, 2], [1, 2]),
        ("1\r\n\r\n  2 ", [1, 2], [1, 3]),
        ("id\n7", [7], [2]),
        ("\n\nid,name\n7,Ann\n8,Bob\n", [7, 8], [4, 5]),
        ('"id";"name"\n"7";"a\nb"\n"8";""\n', [7, 8], [2, 4]),
        ("7\tAnn\n8\tBob\n", [7, 8], [1, 2]),
        ("007,x\n,,\n8,y", [7, 8], [1, 3]),
        ("[1,\n 2,\n\n3]", [1, 2, 3], [1, 2, 4]),
        ('{\n"ids": [\n5\n]}\n', [5], [3]),
    ],
)
def test_ids_are_read_with_their_lines(text: str, ids: list[int], lines: list[int]) -> None:
    """Plain text, CSV with and without a header, JSON."""
    found = ingest.parse_ids(text)
    assert (found.ids, found.lines) == (ids, lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no IDs"),
        ("id\n", "it has no IDs"),
        ("[]", "it has no IDs"),
        ("1\nx\n3\n4.0\n", "line 2: 'x' is not an ID\n  line 4: '4.0' is not an ID"),
        ("1O2\n3\n", "line 1: '1O2'"),
        ("-5\n3\n", "line 1: '-5'"),
        ("id\nid\n3\n", "line 2: 'id'"),
        (",x\n3\n", "line 1: ''"),
        ("1 2 3\n", "line 1: '1 2 3'"),
        ("1\n\u0661\n", "line 2: '\u0661'"),
        ("1,2,3\n", "on one line"),
        ('1,a\n2,"never closed\n3,b\n', "line 2: it is not CSV"),
        ("[1, 2", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        (f"[{'9' * 5000}]", "is not an ID"),
        ('[1,\n"2",\ntrue,\n1.0,\n[3]]', "line 2: '\"2\"' is not an ID\n  line 3: 'true' is not an ID"),
        ('{"ids": [1], "priority": "LOW"}', "are options here"),
        ('{"id": [1]}', "JSON must be"),
        ("\n".join(["x9"] * 30), "and 9 more"),
        ("1\n" * 100_001, "it has 100001 IDs"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(text: str, words: str) -> None:
    """Nothing is skipped silently, and nothing guessed."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011 # the words are compared
        ingest.parse_ids(text)
    assert words in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_windows_programs_are_read(api: ContractApi, run_scripted: Run, tmp_path: Path, encoding: str) -> None:
    """Excel writes a mark before UTF-8, PowerShell UTF-16."""
    path = tmp_path / "list.csv"
    path.write_text("numéro\r\n7\r\n", encoding=encoding, newline="")
    assert run_scripted("submit", str(path), "--priority", "LOW").returncode == 0
    assert api.requests[0].body["ids"] == [7]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"7\n8,Zo\xeb\n", b"line 2 is not UTF-8"), (b"", b"no IDs"), (b"7\x00\n", b"line 1"), (b"\xff\xfe7", b"UTF-8")],
)
def test_unusable_files_are_usage_errors(api: ContractApi, run_scripted: Run, data: bytes, words: bytes) -> None:
    """Nothing is sent."""
    sent = run_scripted("submit", "-", "--priority", "LOW", stdin=data)
    assert (sent.returncode, api.requests) == (2, [])
    assert words in sent.stderr
    assert b"Traceback" not in sent.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "/nowhere/list.csv", "--priority", "LOW"],
        ["submit", "/", "--priority", "LOW"],
        ["submit", "-"],
        ["submit", "-", "--priority", "URGENT"],
        ["submit", "-", "--priority", "LOW", "--idempotency-key", "a\nb"],
        ["status", "no-uuid"],
        ["pause", "SOME"],
        ["list", "--timeout", "nan"],
        [],
    ],
)
def test_wrong_usage_ends_with_2(api: ContractApi, run_scripted: Run, words: list[str]) -> None:
    """Said on stderr, before anything is sent."""
    ended = run_scripted(*words, stdin=b"7\n")
    assert (ended.returncode, ended.stdout, api.requests) == (2, b"", [])
    assert ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(run_scripted: Run, command: str) -> None:
    """And needs no service for it."""
    shown = run_scripted(*command.split(), "--help")
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.startswith(b"usage: ingest.py " + command.encode())


def test_a_label_that_the_terminal_cannot_show_does_no_harm(run_scripted: Run) -> None:
    """Windows terminals have code pages; control characters would steer them."""
    words = ("submit", "-", "--priority", "LOW", "--label", "日本 \x1b[31m")
    ingestion_id = run_scripted(*words, stdin=b"7").stdout.decode().strip()
    shown = run_scripted("status", ingestion_id, env={"PYTHONIOENCODING": "cp1252"})
    assert shown.returncode == 0
    assert b"\\u65e5\\u672c" in shown.stdout
    assert b"\x1b" not in shown.stdout
