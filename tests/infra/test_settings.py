"""The app settings of the deployment and those that the code reads are the same."""

import json
import re
from pathlib import Path

import pytest

from ingest_core.errors import InvalidSettings
from ingest_core.settings import Settings, unknown_settings
from ingest_core.storage.connection import read_connection
from ingest_core.storage.identity_settings import Identity
from tests.infra.bicep_files import INFRA, app_settings

# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
NOT_ON_FLEX_CONSUMPTION = """
    ENABLE_ORYX_BUILD FUNCTIONS_EXTENSION_VERSION FUNCTIONS_MAX_HTTP_CONCURRENCY FUNCTIONS_WORKER_PROCESS_COUNT
    FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED FUNCTIONS_WORKER_RUNTIME FUNCTIONS_WORKER_RUNTIME_VERSION
    SCM_DO_BUILD_DURING_DEPLOYMENT TZ WEBSITE_CONTENTAZUREFILECONNECTIONSTRING WEBSITE_CONTENTOVERVNET
    WEBSITE_CONTENTSHARE WEBSITE_DNS_SERVER WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT WEBSITE_RUN_FROM_PACKAGE
    WEBSITE_SKIP_CONTENTSHARE_VALIDATION WEBSITE_TIME_ZONE WEBSITE_VNET_ROUTE_ALL
    alwaysOn containerSize ftpsState functionAppScaleLimit healthCheckPath isReserved isXenon javaVersion linuxFxVersion
    netFrameworkVersion powerShellVersion preWarmedInstanceCount use32BitWorkerProcess vnetBackupRestoreEnabled
    vnetContentShareEnabled vnetImagePullEnabled vnetRouteAllEnabled windowsFxVersion
"""

IDENTITY = {f"AzureWebJobsStorage__{name}" for name in ("credential", "clientId")} | {
    f"AzureWebJobsStorage__{service}ServiceUri" for service in ("blob", "queue", "table")
}


def test_every_setting_that_the_code_needs_is_set() -> None:
    """One without a default would stop the deployed service. The connection to storage may be set in parts."""
    needed = {str(field.alias) for field in Settings.model_fields.values() if field.is_required()}
    given = {name.partition("__")[0] for name in app_settings()}
    assert needed <= given


def test_every_setting_that_the_deployment_sets_is_read() -> None:
    """One that nobody reads looks as if it had an effect."""
    assert unknown_settings(app_settings()) == []


def test_storage_is_reached_by_identity_alone() -> None:
    """The plain name would win over the five, so that the host would look for a key that does not work."""
    assert {name for name in app_settings() if name.startswith("AzureWebJobsStorage")} == IDENTITY


def deployed_identity() -> dict[str, str]:
    """The settings that name the account, with what Azure puts in the places of the expressions."""
    values = {"credential": app_settings()["AzureWebJobsStorage__credential"], "clientId": "11111111-2222"}
    values |= {f"{one}ServiceUri": f"https://stx.{one}.core.windows.net/" for one in ("blob", "queue", "table")}
    return {name: values[name.partition("__")[2]] for name in app_settings() if name.startswith("AzureWebJobsStorage")}


def test_the_service_takes_the_identity_settings_that_are_set() -> None:
    """As they are: a managed identity by its client ID, at the addresses of the account."""
    connection = read_connection(deployed_identity())
    assert connection.credential == Identity(managed=True, client_id="11111111-2222")
    assert connection.table_url == "https://stx.table.core.windows.net"
    assert connection.queue_url == "https://stx.queue.core.windows.net"


@pytest.mark.parametrize("service", ["blob", "queue", "table"])
def test_the_service_needs_each_address_that_is_set(service: str) -> None:
    """A missing one is named, as is one that is misspelt."""
    name = f"AzureWebJobsStorage__{service}ServiceUri"
    settings = deployed_identity()
    uri = settings.pop(name)
    for given in (settings, {**settings, f"{name}s": uri}):
        with pytest.raises(InvalidSettings) as caught:
            read_connection(given)
        assert any(problem.startswith(f"{name}: must be set") for problem in caught.value.problems)


@pytest.mark.parametrize("path", [*INFRA.glob("*.bicep"), INFRA.parent / "azure.yaml"], ids=lambda path: str(path.name))
def test_nothing_is_set_that_flex_consumption_refuses(path: Path) -> None:
    """A deployment with one of them fails, or ignores it."""
    words = {word.lower() for word in re.findall(r"\w+", path.read_text())}
    assert words & set(NOT_ON_FLEX_CONSUMPTION.lower().split()) == set()


def test_the_host_lets_every_line_of_the_service_through() -> None:
    """The alerts read its lines: none may be sampled away, or be below the level of its function."""
    logging = json.loads((INFRA.parent / "host.json").read_text())["logging"]
    sampling = logging["applicationInsights"]["samplingSettings"]
    assert {"Trace", "Exception"} <= set(sampling["excludedTypes"].split(";"))
    levels = logging["logLevel"]
    for name, level in levels.items():
        if name == "default" or name.startswith("Function"):
            silenced = level != "Information"
            assert not silenced or levels[f"{name}.User"] == "Information", f"{name} silences the service"
