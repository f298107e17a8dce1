"""The files of infra/ can be read, fit together, and describe what the service needs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.bicep_files import FILES, INFRA, app_settings, config, parameters_file, tree, variable

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
DOCUMENTED_ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@pytest.mark.parametrize("name", FILES)
def test_a_file_can_be_parsed(name: str) -> None:
    """By the parser that checkov uses too."""
    assert tree(name)["resources"]


def test_each_module_gets_exactly_the_parameters_that_it_has() -> None:
    """So that nothing is left to a default that nobody chose."""
    for module in tree("main.bicep")["modules"].values():
        declared = tree(module["detail"]["path"])["parameters"]
        assert set(module["config"]["params"]) == set(declared), module["detail"]["path"]


def test_azd_passes_what_main_bicep_declares() -> None:
    """Every parameter, each from a variable; a default is the same in both files."""
    declared = tree("main.bicep")["parameters"]
    assert set(parameters_file()) == set(declared)
    for name, text in parameters_file().items():
        found = re.fullmatch(r"\$\{[A-Z_]+(?:=(.*))?\}", text)
        assert found, f"{name} does not come from a variable"
        if found[1] is not None:
            assert found[1] == str(declared[name]["default"]), name


def test_azd_finds_the_function_app() -> None:
    """By a tag with the name of the service in azure.yaml."""
    text = (INFRA.parent / "azure.yaml").read_text()
    (service,) = re.findall(r"^services:\n  (\w+):", text, re.MULTILINE)
    assert f"{{ 'azd-service-name': '{service}' }}" in (INFRA / "service.bicep").read_text()
    settings = dict(re.findall(r"^    (\w+): (\S+)$", text, re.MULTILINE))
    assert settings == {"project": ".", "language": "python", "host": "function"}


def test_secrets_come_in_as_secure_parameters() -> None:
    """Else they stand in the deployment's history, for everybody who may look at it."""
    for name in ("main.bicep", "service.bicep"):
        decorators = tree(name)["parameters"]["sourceKey"]["decorators"]
        assert {"type": "secure"} in decorators, name


def test_the_roles_are_the_documented_ones() -> None:
    """A wrong ID fails at deployment, or grants something else."""
    named = {symbol.lower(): value["value"] for symbol, value in tree("service.bicep")["variables"].items()}
    for role, guid in DOCUMENTED_ROLES.items():
        assert named[role.replace(" ", "").lower()] == guid
    for name in FILES:
        assert set(GUID.findall((INFRA / name).read_text())) <= set(DOCUMENTED_ROLES.values()), name


def test_the_service_has_the_least_roles() -> None:
    """Blobs for the host, queues and tables for the app, telemetry; a person gets no blobs, where the keys are."""
    data = ["storageQueueDataContributor", "storageTableDataContributor"]
    assert variable("service.bicep", "serviceRoles") == ["storageBlobDataOwner", *data]
    assert variable("service.bicep", "personRoles") == data
    resources = tree("service.bicep")["resources"]
    scopes = {
        name: config("service.bicep", name)["scope"]
        for name, resource in resources.items()
        if resource["type"] == "Microsoft.Authorization/roleAssignments"
    }
    assert scopes == {"serviceOnStorage": "storage", "serviceOnInsights": "insights", "personOnStorage": "storage"}


def test_the_roles_are_assigned_before_the_site_exists() -> None:
    """Else its first deployment finds a package container that it may not write to."""
    assert {"serviceOnStorage", "serviceOnInsights"} <= {
        name for name in config("service.bicep", "site")["dependsOn"] if isinstance(name, str)
    }


def test_storage_takes_no_keys() -> None:
    """Only identities, over TLS, and nothing is public."""
    properties = config("service.bicep", "storage")["properties"]
    assert properties["allowSharedKeyAccess"] is False
    assert properties["allowBlobPublicAccess"] is False
    assert properties["supportsHttpsTrafficOnly"] is True
    assert properties["minimumTlsVersion"] == "TLS1_2"
    kinds = {resource["type"] for resource in tree("service.bicep")["resources"].values()}
    assert not any("tableServices" in kind or "queueServices" in kind for kind in kinds), "the app creates its own"


def test_telemetry_takes_no_keys() -> None:
    """The connection string alone does not let anybody write."""
    assert config("service.bicep", "insights")["properties"]["DisableLocalAuth"] is True
    assert app_settings()["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"].endswith(";Authorization=AAD")


def test_the_site_is_what_the_service_needs() -> None:
    """Flex Consumption, one small instance that is always there for the dispatcher."""
    assert config("service.bicep", "plan")["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    site = config("service.bicep", "site")
    assert site["kind"] == "functionapp,linux"
    assert site["properties"]["httpsOnly"] is True
    assert site["properties"]["siteConfig"] == {"http20Enabled": True, "minTlsVersion": "1.2"}
    app = site["properties"]["functionAppConfig"]
    assert app["runtime"] == {"name": "python", "version": "3.12"}
    assert app["scaleAndConcurrency"]["instanceMemoryMB"] == 512
    assert app["scaleAndConcurrency"]["alwaysReady"] == [{"name": "function:dispatch", "instanceCount": 1}]
    assert app["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"


def test_every_check_that_is_skipped_has_its_reason() -> None:
    """`dev.py audit` runs all others, and must find nothing."""
    lines = (INFRA.parent / ".checkov.yaml").read_text().partition("skip-check:")[2].splitlines()
    skipped = [line for line in lines if line.strip().startswith("- ")]
    assert skipped
    assert [line for line in skipped if not re.fullmatch(r"  - CKV_AZURE_\d+ # \S.+", line)] == []


def test_the_timer_that_is_always_ready_exists() -> None:
    """A name that no function has would be paid for and do nothing."""
    source = (INFRA.parent / "function_app.py").read_text()
    assert re.search(r"@app\.timer_trigger\([^)]*\)\nasync def dispatch\(", source)


BICEP = os.environ.get("BICEP") or shutil.which("bicep")


@pytest.mark.skipif(not BICEP, reason="there is no Bicep CLI on PATH, and BICEP names none")
@pytest.mark.parametrize("name", FILES)
def test_the_bicep_cli_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    """It builds and lints the file without a word, and would not format it otherwise."""

    def bicep(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BICEP), *arguments]
        return subprocess.run(command, cwd=INFRA, capture_output=True, text=True, timeout=100, check=False)

    built = bicep("build", name, "--no-restore", "--outfile", str(tmp_path / "out.json"))
    assert (built.returncode, built.stdout + built.stderr) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["resources"]
    linted = bicep("lint", name, "--no-restore")
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")
    formatted = bicep("format", name, "--stdout")
    assert (formatted.returncode, formatted.stdout) == (0, (INFRA / name).read_text())
