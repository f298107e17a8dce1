"""Which storage `dev.py start` uses, and what it says of damaged or full storage."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from devtools.azurite import azurite, connection_string
from devtools.ports import free_ports
from devtools.storage import SpaceWatch, chosen_account, damaged_files, foreign_files
from tests.dev.checkout import make_checkout
from tests.dev.run import Run, running

FAKE_HOST = Path(__file__).with_name("fake_host.py")
OWN = "DefaultEndpointsProtocol=https;AccountName=mine;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"
DEVELOPMENT = "UseDevelopmentStorage=true"


def write_settings(root: Path, **values: str) -> None:
    """Write the file with a comment and a trailing comma, as people do."""
    (root / "local.settings.json").write_text("// mine\n" + json.dumps({"Values": values})[:-1] + ",}")


@pytest.mark.parametrize(
    ("variables", "values", "source"),
    [
        ({}, {}, None),
        ({}, {"AzureWebJobsStorage": DEVELOPMENT}, None),
        ({"AzureWebJobsStorage": f"{DEVELOPMENT};"}, {}, None),
        ({"AzureWebJobsStorage": ""}, {}, None),
        ({"AzureWebJobsStorage": OWN}, {}, "AzureWebJobsStorage in the environment"),
        ({"AZUREWEBJOBSSTORAGE": OWN}, {}, "AZUREWEBJOBSSTORAGE in the environment"),
        ({"AzureWebJobsStorage__accountName": "mine"}, {}, "AzureWebJobsStorage__accountName in the environment"),
        ({}, {"AzureWebJobsStorage": OWN}, "AzureWebJobsStorage in local.settings.json"),
        ({}, {"AzureWebJobsStorage__tableServiceUri": "https://x"}, "AzureWebJobsStorage__tableServiceUri in local"),
        ({"AzureWebJobsStorage": DEVELOPMENT}, {"AzureWebJobsStorage": OWN}, None),
        ({"AzureWebJobsStorage": OWN}, {"AzureWebJobsStorage": DEVELOPMENT}, "AzureWebJobsStorage in the environment"),
        ({"AzureWebJobsStorage": f"{DEVELOPMENT};DevelopmentStorageProxyUri=http://x"}, {}, "AzureWebJobsStorage in"),
    ],
)
def test_storage_that_the_user_has_set_is_used(
    tmp_path: Path, variables: dict[str, str], values: dict[str, str], source: str | None
) -> None:
    """The environment overrides the file, and the text for the user does not contain the secret."""
    write_settings(tmp_path, **values)
    account = chosen_account(tmp_path, variables)
    assert (account is None) == (source is None)
    if account and source:
        assert account.source.startswith(source)
        assert "c2VjcmV0" not in account.source


def test_with_an_account_of_the_user_no_azurite_is_started(tmp_path: Path) -> None:
    """One line says which storage is used, and how to change that."""
    own = connection_string(free_ports(3))
    checkout = make_checkout(tmp_path / "checkout", emulator=FAKE_HOST)
    with running(checkout, env={"AzureWebJobsStorage": own}) as run:
        assert (
            "Storage: AzureWebJobsStorage in the environment (unset it to use Azurite on this machine)\n"
            in run.output()
        )
        assert f"storage is {own}" in run.output()
        assert "Azurite ..." not in run.output()
        assert not (checkout / ".azurite" / "azurite.log").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("__azurite_db_table__.json", '{"filename":"x","coll', "Azurite cannot read __azurite_db_table__.json"),
        ("__azurite_db_queue__.json", '{"a":1}', "__azurite_db_queue__.json is not what Azurite has written"),
        ("__azurite_db_blob__.json", '{"filename": "x", "collections": [{}]}', "cannot read __azurite_db_blob__.json"),
        ("__azurite_db_table__.json", "", "__azurite_db_table__.json is not what Azurite has written"),
    ],
)
def test_a_damaged_file_of_azurite_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    """The user is told to move the folder away, because running the command again would not help."""
    checkout = make_checkout(tmp_path / "checkout", emulator=FAKE_HOST)
    (checkout / ".azurite").mkdir()
    (checkout / ".azurite" / name).write_text(content)
    last = Run(checkout).error_output().splitlines()[-1]
    assert said in last
    assert f"in {checkout / '.azurite'}: move this folder away" in last


def test_what_azurite_has_written_is_not_damaged(tmp_path: Path) -> None:
    """No file in its folder counts as damaged."""
    with azurite(tmp_path) as server:
        server.stop()
    assert list(server.data.glob("__azurite_db_*.json"))
    assert damaged_files(server.data, server.log.read_text()) == []
    assert foreign_files(server.data) == []


def test_a_disk_that_is_nearly_full_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning matters because Azurite acknowledges data that it cannot write."""
    watch = SpaceWatch(tmp_path)
    for free in (200_000_000, 199_000_000, 100_000_000):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        watch.look()
    assert capsys.readouterr().out.startswith(f"WARNING: only 199 MB are free under {tmp_path}. ")
    watch.look()
    assert capsys.readouterr().out == ""


def test_packages_of_azurite_that_are_damaged_are_installed_again(tmp_path: Path) -> None:
    """A file of a package is missing, and that is noticed when Azurite does not start."""
    checkout = make_checkout(tmp_path / "checkout", emulator=FAKE_HOST)
    package = checkout / "node_modules" / "azurite"
    whole = package.resolve()
    package.unlink()
    package.mkdir()
    shutil.copy2(whole / "package.json", package)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "npm").write_text(f"#!/bin/sh\nrm -r {package}\nln -s {whole} {package}\n")
    (programs / "npm").chmod(0o755)
    (programs / "node").symlink_to(str(shutil.which("node")))
    with running(checkout, env={"PATH": f"{programs}:/usr/bin:/bin"}) as run:
        assert "Its packages in node_modules are damaged: they are installed again" in run.output()
