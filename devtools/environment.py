"""What a child inherits: the user's variables, without those that would lead set-up or the service astray.

People export variables for other projects and forget them. Variables that say where packages come from (an index, a
proxy, a certificate) are kept, and so are all others that this module does not name.
"""

from collections.abc import Mapping

# pip reads an option of every command from PIP_*. Whatever is not listed may send packages elsewhere or add some.
PIP_KEEPS = frozenset(
    [
        *("PIP_CACHE_DIR", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT"),
        *("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_KEYRING_PROVIDER", "PIP_NO_CACHE_DIR"),
        *("PIP_NO_INDEX", "PIP_PROXY", "PIP_RETRIES", "PIP_TIMEOUT", "PIP_TRUSTED_HOST", "PIP_USE_FEATURE"),
    ]
)
# These options of npm, as npm_config_*, change what is installed, or where.
NPM_DROPS = frozenset(
    [
        *("also", "bin_links", "dev", "dry_run", "force", "global", "global_style", "include", "install_strategy"),
        *("legacy_bundling", "link", "local_prefix", "location", "loglevel", "lockfile_version", "omit", "only"),
        *("optional", "package_lock", "package_lock_only", "prefix", "production", "silent", "workspace", "workspaces"),
    ]
)
# These change what Python imports, how it runs a program, or what it prints. PYTHON_... are settings of the Functions
# worker, and stay.
PYTHON_DROPS = frozenset(
    [
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONEXECUTABLE"),
        *("PYTHONPLATLIBDIR", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONVERBOSE", "PYTHONDEBUG"),
        *("PYTHONCASEOK", "PYTHONNOUSERSITE", "PYTHONPROFILEIMPORTTIME", "__PYVENV_LAUNCHER__"),
    ]
)


def trusted(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a child may have."""
    return {name: value for name, value in variables.items() if _may_pass(name)}


def _may_pass(name: str) -> bool:
    upper = name.upper()
    if upper.startswith("PIP_"):
        return upper in PIP_KEEPS
    if upper.startswith("NPM_CONFIG_"):
        return name[len("npm_config_") :].lower().replace("-", "_") not in NPM_DROPS
    return upper not in PYTHON_DROPS and not upper.startswith("AZURITE_")
