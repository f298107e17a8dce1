"""Which storage account the app settings name: `AzureWebJobsStorage`, read as the Functions host reads it.

Either the setting itself is a connection string, or settings that begin with its name and two underscores say where
the account is and as whom to ask for tokens (https://learn.microsoft.com/azure/azure-functions/functions-reference,
"Connecting to host storage with an identity"). The case of the names does not matter. A connection string wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest_core.errors import InvalidSettings
from ingest_core.proxies import proxy_for
from ingest_core.storage.connection_string import Sas, SharedKey, parse_connection_string
from ingest_core.storage.identity_settings import PARTS, PREFIX, Identity, identity_of, problems_with, url_of

SETTING = "AzureWebJobsStorage"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the account's tables and queues are, and what proves that we may use them."""

    table_url: str
    queue_url: str
    credential: SharedKey | Sas | Identity
    #: The environment variables that name proxies. Their values may contain a password.
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_connection(environ: Mapping[str, str]) -> Connection:
    """Read the connection from the environment. Raises `InvalidSettings`, whose lines quote no value."""
    texts = {value.strip() for name, value in environ.items() if name.lower() == SETTING.lower()}
    if len(texts) > 1:
        raise InvalidSettings([f"{SETTING}: is set more than once, in different cases, to different values"])
    text = next(iter(texts), None)
    parts, problems = _parts(environ)
    proxies = {name: value for name, value in environ.items() if name.lower().endswith("_proxy")}
    if text or not parts:
        connection = _from_string(text, proxies)
    else:
        if text is not None:
            problems.append(f"{SETTING}: must be removed: while it is there and empty, the host ignores {PREFIX}…")
        connection = _from_parts(parts, problems, proxies)
    for url in (connection.table_url, connection.queue_url):
        proxy_for(url, proxies)  # raises for what is not the address of a proxy
    return connection


def _from_parts(parts: Mapping[str, str], problems: list[str], proxies: Mapping[str, str]) -> Connection:
    problems = [*problems, *problems_with(parts)]
    if problems:
        raise InvalidSettings(problems)
    return Connection(
        table_url=url_of(parts, "table"),
        queue_url=url_of(parts, "queue"),
        credential=identity_of(parts),
        proxies=proxies,
    )


def _from_string(text: str | None, proxies: Mapping[str, str]) -> Connection:
    if not text:
        problem = "must be set, to the connection string of a storage account"
        raise InvalidSettings([f"{SETTING}: {problem}; or set {PREFIX}accountName to use an identity"])
    try:
        parsed = parse_connection_string(text)
    except ValueError as error:
        raise InvalidSettings([f"{SETTING}: {error}"]) from None
    return Connection(
        table_url=parsed.table_url, queue_url=parsed.queue_url, credential=parsed.credential, proxies=proxies
    )


def _parts(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The settings that begin with the prefix, in the spelling of the documentation; an empty value counts as unset."""
    spellings = {name.lower(): name for name in PARTS}
    parts: dict[str, str] = {}
    problems = []
    for full_name, value in environ.items():
        if not full_name.lower().startswith(PREFIX.lower()) or not value.strip():
            continue
        rest = full_name[len(PREFIX) :]
        name = spellings.get(rest.lower(), rest)
        if parts.setdefault(name, value.strip()) != value.strip():
            problems.append(f"{PREFIX}{name}: is set more than once, in different cases, to different values")
    return parts, problems
