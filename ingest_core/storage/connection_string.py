"""Connection strings of storage accounts, with a key or a SAS, and the short form for the local emulator.

https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ingest_core.storage.endpoints import endpoint, problem_with

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_QUEUE_PORT, _TABLE_PORT = 10001, 10002

DEVELOPMENT_STORAGE = (
    f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
    f"QueueEndpoint=http://127.0.0.1:{_QUEUE_PORT}/{_ACCOUNT};TableEndpoint=http://127.0.0.1:{_TABLE_PORT}/{_ACCOUNT};"
)
"""What `UseDevelopmentStorage=true` stands for: the emulator's published account
(https://learn.microsoft.com/azure/storage/common/storage-connect-azurite)."""


@dataclass(frozen=True, kw_only=True)
class SharedKey:
    """An account's key, in Base64."""

    account: str
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Sas:
    """A shared access signature, without the question mark."""

    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ConnectionString:
    """What a connection string says."""

    table_url: str
    queue_url: str
    credential: SharedKey | Sas


def parse_connection_string(text: str) -> ConnectionString:
    """Read a connection string; the case of its names does not matter.

    Raises `ValueError`, whose message quotes no value.
    """
    parts = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            parts[name.strip().lower()] = value.strip()
        elif part.strip():
            raise ValueError("must be a connection string, whose parts are Name=value, separated by semicolons")
    if "usedevelopmentstorage" in parts:
        return _development_storage(parts)
    return ConnectionString(
        table_url=_address(parts, "table"), queue_url=_address(parts, "queue"), credential=_credential(parts)
    )


def _development_storage(parts: Mapping[str, str]) -> ConnectionString:
    """The emulator on this machine, or on the machine that `DevelopmentStorageProxyUri` names."""
    if parts["usedevelopmentstorage"].lower() != "true":
        raise ValueError("UseDevelopmentStorage must be true, or left out")
    address = parts.get("developmentstorageproxyuri") or "http://127.0.0.1"
    if problem_with(address, "table"):
        raise ValueError("DevelopmentStorageProxyUri must be a URL like http://127.0.0.1")
    uri = urlsplit(address)
    host = f"[{uri.hostname}]" if ":" in (uri.hostname or "") else uri.hostname
    return ConnectionString(
        table_url=f"{uri.scheme}://{host}:{_TABLE_PORT}/{_ACCOUNT}",
        queue_url=f"{uri.scheme}://{host}:{_QUEUE_PORT}/{_ACCOUNT}",
        credential=SharedKey(account=_ACCOUNT, key=_KEY),
    )


def _address(parts: Mapping[str, str], service: str) -> str:
    if address := parts.get(f"{service}endpoint"):
        if problem := problem_with(address, service):
            raise ValueError(f"{service.capitalize()}Endpoint {problem}")
        return address.rstrip("/")
    if not parts.get("accountname"):
        raise ValueError(f"has no {service.capitalize()}Endpoint and no AccountName")
    protocol = parts.get("defaultendpointsprotocol") or "https"
    suffix = parts.get("endpointsuffix") or "core.windows.net"
    built = endpoint(parts["accountname"], service, protocol=protocol.lower(), suffix=suffix)
    if problem_with(built, service):
        raise ValueError("AccountName, EndpointSuffix and DefaultEndpointsProtocol must make a URL")
    return built


def _credential(parts: Mapping[str, str]) -> SharedKey | Sas:
    key, token = parts.get("accountkey"), parts.get("sharedaccesssignature", "").removeprefix("?")
    match key, token:
        case (None | "", ""):
            raise ValueError("has no AccountKey and no SharedAccessSignature")
        case (None | "", _):
            return Sas(token=token)
        case (str(), ""):
            return SharedKey(account=_account(parts), key=_checked(key))
        case _:
            raise ValueError("has both an AccountKey and a SharedAccessSignature: leave one of them out")


def _account(parts: Mapping[str, str]) -> str:
    account = parts.get("accountname")
    if not account:
        raise ValueError("has an AccountKey and no AccountName")
    return account


def _checked(key: str) -> str:
    """Return the key if it is Base64. Otherwise the clients would fail at their first call, and blame storage."""
    try:
        b64decode(key, validate=True)
    except ValueError:
        raise ValueError("AccountKey must be Base64: it is cut off or has a wrong character") from None
    return key
