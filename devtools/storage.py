"""Chooses the storage of the service: the account in the user's settings, else an Azurite with data in `.azurite/`."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools import ports
from devtools.azurite import SERVICES, Azurite
from devtools.console import Failure, say
from devtools.processes import how_it_ended
from devtools.workspace import Workspace
from emulator.errors import AppError
from emulator.settings import load_json

SETTING = "AzureWebJobsStorage"
LOCAL = ("", "usedevelopmentstorage=true")
FIRST_BYTES = b'{"filename":'
USUAL_PORTS = (10000, 10001, 10002)
LITTLE_SPACE = 200_000_000  # bytes; with a full disk, Azurite acknowledges what it cannot write


@dataclass(frozen=True, kw_only=True)
class OwnAccount:
    """An account from the user's settings. `source` says where it is set, and how to use Azurite instead."""

    source: str


def chosen_account(root: Path, variables: Mapping[str, str]) -> OwnAccount | None:
    """The account from the user's settings, or None for Azurite. The environment overrides local.settings.json."""
    in_environment = _setting(variables)
    if in_environment:
        if variables[in_environment].strip().rstrip(";").lower() in LOCAL:
            return None
        return OwnAccount(source=f"{in_environment} in the environment (unset it to use Azurite on this machine)")
    values = _values(root / "local.settings.json")
    in_file = _setting(values)
    if in_file and values[in_file].strip().rstrip(";").lower() not in LOCAL:
        how = "set it to UseDevelopmentStorage=true to use Azurite on this machine"
        return OwnAccount(source=f"{in_file} in local.settings.json ({how})")
    return None


def _values(path: Path) -> Mapping[str, str]:
    try:
        values = load_json(path).get("Values") if path.exists() else None
    except AppError as error:
        raise Failure(f"{error}: correct it, then run this again") from None
    return {name: str(value) for name, value in values.items()} if isinstance(values, dict) else {}


def _setting(variables: Mapping[str, str]) -> str:
    """The name of the setting with the storage account (a connection string or a part of an identity's), or empty."""
    for name, value in variables.items():
        lower = name.lower()
        is_storage = lower == SETTING.lower() or lower.startswith(f"{SETTING.lower()}__")
        if is_storage and value.strip():
            return name
    return ""


def choose_ports() -> tuple[int, ...]:
    """The usual ports of blob, queue and table storage, or three others if any of them is taken."""
    taken = [port for port in USUAL_PORTS if ports.busy_reason(port)]
    if not taken:
        return USUAL_PORTS
    others = tuple(ports.free_ports(3))
    say(f"Azurite's usual port {taken[0]} is taken: it uses {others[0]}, {others[1]} and {others[2]}")
    return others


class LocalStorage:
    """The Azurite of `dev.py start`. It inherits `lock`, the descriptor of the data folder's lock."""

    def __init__(self, workspace: Workspace, blob_queue_table: tuple[int, ...], *, lock: int) -> None:
        self.folder = workspace.root / ".azurite"
        foreign = foreign_files(self.folder)
        if foreign:
            raise Failure(_move_away(f"{', '.join(foreign)} is not what Azurite has written", self.folder))
        self.azurite = Azurite(
            self.folder,
            log=self.folder / "azurite.log",
            blob_queue_table=blob_queue_table,
            root=workspace.root,
            node=workspace.node,
            keep_open=[lock],
            parent_death_signal=None,  # it would lose data; it shuts down by itself when its last user has ended
        )
        self._child = self.azurite.launch()

    def end_message(self) -> str:
        """What happened if Azurite has ended by itself, else an empty text."""
        code = self._child.popen.poll()
        if code is None:
            return ""
        damaged = damaged_files(self.folder, self._child.output())
        if damaged:
            return _move_away(f"Azurite cannot read {', '.join(damaged)}", self.folder)
        return f"Azurite {how_it_ended(code)}: run this again; its log is {self.azurite.log}"

    def stop(self) -> None:
        """Shut Azurite down and let it write its data; never kill it. `Failure` if it still writes after 60 s."""
        try:
            self.azurite.stop(60)
        except subprocess.TimeoutExpired:
            raise Failure(f"Azurite (process {self._child.pid}) is still writing after 60 s: give it time") from None


def _move_away(what: str, folder: Path) -> str:
    return f"{what}, in {folder}: move this folder away to begin with empty storage, or put a copy of the file back"


def foreign_files(folder: Path) -> list[str]:
    """The data files that do not begin as all of Azurite's do. It would overwrite empty files and other JSON."""
    return [path.name for path in sorted(folder.glob("__*.json")) if not _begins_as_azurites(path)]


def _begins_as_azurites(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(FIRST_BYTES)) == FIRST_BYTES


def damaged_files(folder: Path, log: str) -> list[str]:
    """The files that made Azurite end: those that are not JSON, else all files of the service that failed."""
    files = sorted(folder.glob("__*.json"))
    not_json = [path.name for path in files if not _is_json(path)]
    if not_json or "Exit due to unhandled error" not in log:
        return not_json
    begun = [name.lower() for name in SERVICES if f"{name} service is starting" in log]
    failed = [name for name in begun if f"{name} service is successfully listening" not in log.lower()]
    return [path.name for path in files if any(f"_{name}_" in f"{path.stem}_" for name in failed)]


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


class SpaceWatch:
    """Warns once when the disk is nearly full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._has_warned = False

    def look(self) -> None:
        """Check the free space, and print the warning if it is the first time that there is too little."""
        if self._has_warned:
            return
        free = shutil.disk_usage(self._folder).free  # one system call
        if free >= LITTLE_SPACE:
            return
        self._has_warned = True
        say(
            f"WARNING: only {free // 1_000_000} MB are free under {self._folder}. When the disk is full, Azurite loses "
            "lists that the service has accepted: free some space"
        )
