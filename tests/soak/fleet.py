"""Hosts on one storage that die and freeze: every start of a host is a process with a name of its own."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.soak.api import Api
from tests.support.hosts import FunctionHost


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A time (monotonic) for which a process was suspended."""

    process: str
    since: float
    until: float


class Fleet:
    """The hosts of one storage account. Start them from one thread that lives on: children die with theirs."""

    def __init__(self, kind: str, folder: Path, connection_string: str, api: Api, **settings: str) -> None:
        self.kind = kind
        self.hosts: dict[str, FunctionHost] = {}
        self.ended: dict[str, FunctionHost] = {}
        self.freezes: list[Freeze] = []
        self._frozen: dict[str, float] = {}
        self._folder = folder
        self._connection_string = connection_string
        self._api = api
        self.settings = settings

    def start(self, count: int = 1, **settings: str) -> list[str]:
        """Start more hosts and wait until they answer; return their processes' names."""
        hosts = dict(self._make(number, settings) for number in range(1, count + 1))
        try:
            for host in hosts.values():
                host.launch()
            for host in hosts.values():
                host.wait_until_it_answers()
        except BaseException:
            for host in hosts.values():
                host.kill()
            raise
        self.hosts |= hosts
        return list(hosts)

    def ports(self) -> Sequence[int]:
        """Where a caller may try."""
        return [host.port for host in list(self.hosts.values())]

    def kill(self, name: str) -> None:
        """`kill -9`. What it leaves behind goes on."""
        host = self.hosts.pop(name)
        host.kill()
        self._thawed(name)
        host.thaw()
        self.ended[name] = host

    def freeze(self, name: str) -> bool:
        """Suspend a process; False when it has died before."""
        host = self.hosts.get(name)
        if host is None:
            return False
        self._frozen[name] = time.monotonic()
        host.freeze()
        return True

    def thaw(self, name: str) -> None:
        """Let it go on; nothing happens if it has died since."""
        self._thawed(name)  # noted first: what is sent after it comes after it
        if host := self.hosts.get(name):
            host.thaw()

    def frozen(self) -> Sequence[str]:
        """Who is suspended."""
        return list(self._frozen)

    def outputs(self) -> dict[str, str]:
        """What each process has logged, the dead ones too."""
        return {name: host.output() for name, host in (self.ended | self.hosts).items()}

    def stop(self) -> None:
        """End all of them, and their orphans."""
        for host in self.hosts.values():
            host.kill()
        for host in (self.ended | self.hosts).values():
            host.end_orphans()

    def _make(self, number: int, settings: Mapping[str, str]) -> tuple[str, FunctionHost]:
        name = f"host-{len(self.hosts) + len(self.ended) + number}"
        # Each is a host of its own to Core Tools too: with one ID only one of them would run the timers.
        values = {"AzureFunctionsWebHost__hostid": name, **self.settings, **settings}
        values |= {"INGEST_SOURCE": "http", "INGEST_SOURCE_URL": self._api.url(name)}
        return name, FunctionHost(self.kind, self._folder, values.pop("storage", self._connection_string), **values)

    def _thawed(self, name: str) -> None:
        since = self._frozen.pop(name, None)
        if since is not None:
            self.freezes.append(Freeze(process=name, since=since, until=time.monotonic()))


@contextlib.contextmanager
def fleet(kind: str, folder: Path, connection_string: str, api: Api, **settings: str) -> Iterator[Fleet]:
    """A fleet without hosts; those that are started are ended."""
    one = Fleet(kind, folder, connection_string, api, **settings)
    try:
        yield one
    finally:
        one.stop()
