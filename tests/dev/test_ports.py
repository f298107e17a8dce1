import socket
from collections.abc import Iterator

import pytest

from devtools import ports, storage


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_with_a_listener_is_in_use(taken: int) -> None:
    """And a free one is not."""
    assert ports.why_not_free(taken) == "it is in use"
    assert ports.why_not_free(ports.free_ports(1)[0]) == ""


def test_a_port_that_is_bound_but_silent_is_not_free() -> None:
    """The reason is the system's."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert ports.why_not_free(silent.getsockname()[1]) == "Address already in use"


def test_free_ports_differ() -> None:
    """They are held until all are chosen."""
    assert len(set(ports.free_ports(20))) == 20


def test_azurite_moves_when_one_of_its_ports_is_taken(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All three move, and a line says so."""
    monkeypatch.setattr(storage, "USUAL_PORTS", (*ports.free_ports(2), taken))
    chosen = storage.choose_ports()
    assert not set(chosen) & set(storage.USUAL_PORTS)
    assert "{}, {} and {}".format(*chosen) in capsys.readouterr().out


def test_azurite_stays_on_its_usual_ports_when_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage browser finds it there."""
    usual = tuple(ports.free_ports(3))
    monkeypatch.setattr(storage, "USUAL_PORTS", usual)
    assert storage.choose_ports() == usual


def test_the_connection_string_names_every_service() -> None:
    """The host needs blobs for its locks, the app tables and queues."""
    parts = storage.connection_string((1, 2, 3)).split(";")
    assert [part for part in parts if "Endpoint=" in part] == [
        "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1",
        "QueueEndpoint=http://127.0.0.1:2/devstoreaccount1",
        "TableEndpoint=http://127.0.0.1:3/devstoreaccount1",
    ]
