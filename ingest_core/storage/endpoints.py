"""Builds and checks the addresses of a storage account's services."""

import re
from urllib.parse import SplitResult, urlsplit

SERVICES = ("blob", "queue", "table")

_OTHER_SERVICES = ("file", "dfs", "web")


def endpoint(account: str, service: str, *, protocol: str = "https", suffix: str = "core.windows.net") -> str:
    """The address of an account's service in Azure."""
    return f"{protocol}://{account}.{service}.{suffix}"


def problem_with(address: str, service: str) -> str | None:
    """Say what is wrong with the address of a service, as the end of a sentence, or None if it is right.

    The address may contain a secret (a user name, a SAS), so the sentence quotes nothing of it.
    """
    try:
        parts = urlsplit(address)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not re.fullmatch(r"[\x21-\x7e]+", address):
        return f"must be a URL like https://ACCOUNT.{service}.core.windows.net"
    if parts.username is not None or parts.query or parts.fragment:
        return "must be a URL without a user name, a query (such as a SAS) or a fragment"
    named_service = _service_of(parts)
    if named_service not in (None, service):
        return f"must be the URL of the {service} service, not of the {named_service} service"
    if named_service and parts.path.strip("/"):
        return "must be a URL without a path"
    return None


def account_of(address: str) -> str | None:
    """The account that a valid address names: in its host, or in its path as Azurite has it. None if neither does."""
    parts = urlsplit(address)
    if _service_of(parts):
        return (parts.hostname or "").partition(".")[0]
    return parts.path.strip("/") or None


def _service_of(parts: SplitResult) -> str | None:
    """The service in `account.table.core.windows.net` or, with DNS zones, `account.z01.table.storage.azure.net`."""
    labels = (parts.hostname or "").split(".")
    return next((label for label in labels[1:3] if label in SERVICES + _OTHER_SERVICES), None)
