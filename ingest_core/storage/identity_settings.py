"""The settings `AzureWebJobsStorage__…`: a storage account that is reached without a key, as an identity."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ingest_core.storage.endpoints import SERVICES, account_of, endpoint, problem_with

PREFIX = "AzureWebJobsStorage__"

_ACCOUNT, _CREDENTIAL, _CLIENT, _RESOURCE = "accountName", "credential", "clientId", "managedIdentityResourceId"
_URI = {service: f"{service}ServiceUri" for service in SERVICES}
PARTS = (_ACCOUNT, *_URI.values(), _CREDENTIAL, _CLIENT, _RESOURCE)
"""What may follow the prefix."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The identity for which Microsoft Entra ID is asked for tokens.

    `managed` means a managed identity and nothing else; otherwise whatever `DefaultAzureCredential` finds. At most one
    of the two IDs is set; it names a user-assigned identity.
    """

    managed: bool
    client_id: str = ""
    resource_id: str = ""


def problems_with(parts: Mapping[str, str]) -> list[str]:
    """Return a line for each setting that cannot be used; an empty list if all is well. No line quotes a value."""
    return [f"{PREFIX}{name}: {problem}" for name, problem in _problems(parts)]


def url_of(parts: Mapping[str, str], service: str) -> str:
    """Return the address of a service. Call it only if the settings have no problems."""
    return parts.get(_URI[service], "").rstrip("/") or endpoint(parts[_ACCOUNT], service)


def identity_of(parts: Mapping[str, str]) -> Identity:
    """Return the identity. Call it only if the settings have no problems."""
    return Identity(
        managed=_CREDENTIAL in parts, client_id=parts.get(_CLIENT, ""), resource_id=parts.get(_RESOURCE, "")
    )


def _problems(parts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in parts:
        if name not in PARTS:
            yield name, f"is not supported; these are: {', '.join(PARTS)}"
    if not any(name in parts for name in (_ACCOUNT, *_URI.values())):
        yield _ACCOUNT, f"must be set, or {', '.join(_URI.values())}"
        yield from _problems_with_identity(parts)
        return
    if _ACCOUNT in parts and not re.fullmatch("[a-z0-9]{3,24}", parts[_ACCOUNT]):
        yield _ACCOUNT, "must be 3 to 24 lower-case letters and digits"
    for service in SERVICES:
        if problem := _problem_with_service(parts, service):
            yield _URI[service], problem
    yield from _problems_with_identity(parts)


def _problem_with_service(parts: Mapping[str, str], service: str) -> str | None:
    uri, account = parts.get(_URI[service]), parts.get(_ACCOUNT)
    if uri is None and account is None:
        why = ", as the host keeps its locks there" if service == "blob" else ""
        return f"must be set as well, or {_ACCOUNT} instead{why}"
    if uri is None:
        return None
    if problem := problem_with(uri, service):
        return problem
    if not uri.startswith("https://"):
        return "must begin with https://, as tokens are sent"
    if account is not None and account_of(uri) not in (None, account):
        return f"names another account than {_ACCOUNT}"
    return None


def _problems_with_identity(parts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if parts.get(_CREDENTIAL, "managedidentity").lower() != "managedidentity":
        yield _CREDENTIAL, "must be managedidentity, or be left out"
    if _CLIENT in parts and _RESOURCE in parts:
        yield _RESOURCE, f"must be left out where {_CLIENT} is set, as either names the identity"
