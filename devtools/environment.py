"""Which environment variables a child inherits: all, except those that would make set-up or the service go wrong.

People export variables for other projects and forget them. Variables that say where packages come from (an index, a
proxy, a certificate) are kept.
"""

from collections.abc import Mapping

# pip reads its options from PIP_*. An option that is not listed may change which packages are installed, or where.
PIP_KEEPS = frozenset(
    [
        *("PIP_CACHE_DIR", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT"),
        *("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_KEYRING_PROVIDER", "PIP_NO_CACHE_DIR"),
        *("PIP_NO_INDEX", "PIP_PROXY", "PIP_RETRIES", "PIP_TIMEOUT", "PIP_TRUSTED_HOST", "PIP_USE_FEATURE"),
    ]
)
# These npm options, set as npm_config_*, change what is installed or where.
NPM_DROPS = frozenset(
    [
        *("also", "bin_links", "dev", "dry_run", "force", "global", "global_style", "include", "install_strategy"),
        *("legacy_bundling", "link", "local_prefix", "location", "loglevel", "lockfile_version", "omit", "only"),
        *("optional", "package_lock", "package_lock_only", "prefix", "production", "silent", "workspace", "workspaces"),
    ]
)
# These change what Python imports, how it runs a program, or what it prints. Variables that begin with PYTHON_ are
# settings of the Functions worker and are kept.
PYTHON_DROPS = frozenset(
    [
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONEXECUTABLE"),
        *("PYTHONPLATLIBDIR", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONVERBOSE", "PYTHONDEBUG"),
        *("PYTHONCASEOK", "PYTHONNOUSERSITE", "PYTHONPROFILEIMPORTTIME", "PYTHONCOERCECLOCALE"),
        "__PYVENV_LAUNCHER__",
    ]
)
# In a C locale, this keeps Python from reading a path with an umlaut.
NO_UTF8 = ("PYTHONUTF8", "0")


def inheritable(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a child may inherit."""
    return {name: value for name, value in variables.items() if _may_pass(name) and (name, value) != NO_UTF8}


def _may_pass(name: str) -> bool:
    upper = name.upper()
    if upper.startswith("PIP_"):
        return upper in PIP_KEEPS
    if upper.startswith("NPM_CONFIG_"):
        return name[len("npm_config_") :].lower().replace("-", "_") not in NPM_DROPS
    return upper not in PYTHON_DROPS and not upper.startswith("AZURITE_")
