import socket
from collections.abc import Iterator

import pytest

from devtools import ports, storage
from devtools.azurite import connection_string


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which a socket listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_with_a_listener_is_in_use(taken: int) -> None:
    """A free port has no such reason."""
    assert ports.busy_reason(taken) == "it is in use"
    assert ports.busy_reason(ports.free_ports(1)[0]) == ""


def test_a_port_that_is_bound_but_silent_is_not_free() -> None:
    """The reason is the text of the system's error."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert ports.busy_reason(silent.getsockname()[1]) == "Address already in use"


def test_free_ports_differ() -> None:
    """No port is returned twice."""
    assert len(set(ports.free_ports(20))) == 20


def test_azurite_moves_when_one_of_its_ports_is_taken(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All three ports change, and a line says so."""
    monkeypatch.setattr(storage, "USUAL_PORTS", (*ports.free_ports(2), taken))
    chosen = storage.choose_ports()
    assert not set(chosen) & set(storage.USUAL_PORTS)
    assert "{}, {} and {}".format(*chosen) in capsys.readouterr().out


def test_azurite_stays_on_its_usual_ports_when_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools such as a storage browser expect Azurite on these ports."""
    usual = tuple(ports.free_ports(3))
    monkeypatch.setattr(storage, "USUAL_PORTS", usual)
    assert storage.choose_ports() == usual


def test_the_connection_string_names_every_service() -> None:
    """The host needs blobs for its locks, and the app needs tables and queues."""
    parts = connection_string((1, 2, 3)).split(";")
    assert [part for part in parts if "Endpoint=" in part] == [
        "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1",
        "QueueEndpoint=http://127.0.0.1:2/devstoreaccount1",
        "TableEndpoint=http://127.0.0.1:3/devstoreaccount1",
    ]
