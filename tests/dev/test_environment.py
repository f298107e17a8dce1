import pytest

from devtools.environment import trusted


@pytest.mark.parametrize(
    "name",
    [
        *("PIP_USER", "PIP_TARGET", "pip_prefix", "PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONOPTIMIZE"),
        *("AZURITE_ACCOUNTS", "AZURITE_DB", "azurite_accounts", "npm_config_global", "NPM_CONFIG_PREFIX"),
        *("npm_config_dry_run", "npm_config_package-lock-only"),
    ],
)
def test_what_leads_set_up_astray_is_not_handed_on(name: str) -> None:
    """It was set for another project."""
    assert trusted({name: "x", "HOME": "/root"}) == {"HOME": "/root"}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY", "npm_config_registry", "npm_config_cafile", "HTTPS_PROXY"),
        *("PYTHONUTF8", "PYTHON_THREADPOOL_THREAD_COUNT", "INGEST_BATCH_SIZE", "AzureWebJobsStorage", "NODE_OPTIONS"),
    ],
)
def test_where_packages_come_from_and_settings_of_the_app_are_handed_on(name: str) -> None:
    """People behind a proxy cannot install anything without them."""
    assert trusted({name: "x"}) == {name: "x"}
