import pytest

from devtools.environment import inheritable


@pytest.mark.parametrize(
    "name",
    [
        *("PIP_USER", "PIP_TARGET", "pip_prefix", "PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONOPTIMIZE"),
        *("AZURITE_ACCOUNTS", "AZURITE_DB", "azurite_accounts", "npm_config_global", "NPM_CONFIG_PREFIX"),
        *("npm_config_dry_run", "npm_config_package-lock-only"),
    ],
)
def test_variables_that_would_break_set_up_are_not_inherited(name: str) -> None:
    """People set such variables for other projects."""
    assert inheritable({name: "x", "HOME": "/root"}) == {"HOME": "/root"}


def test_python_reads_paths_in_utf_8_whatever_is_set() -> None:
    """Without it, no virtual environment can be made below a folder with an umlaut in a C locale."""
    assert inheritable({"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}) == {"LC_ALL": "C"}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY", "npm_config_registry", "npm_config_cafile", "HTTPS_PROXY"),
        *("PYTHONUTF8", "PYTHON_THREADPOOL_THREAD_COUNT", "INGEST_BATCH_SIZE", "AzureWebJobsStorage", "NODE_OPTIONS"),
    ],
)
def test_package_sources_and_settings_of_the_app_are_inherited(name: str) -> None:
    """People behind a proxy cannot install anything without them."""
    assert inheritable({name: "x"}) == {name: "x"}
