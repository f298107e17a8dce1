"""What the settings for the storage account may be, and what is said of those that cannot be used."""

import pytest

from ingest_core.errors import InvalidSettings
from ingest_core.storage.connection import Connection, read_connection
from ingest_core.storage.connection_string import Sas, SharedKey
from ingest_core.storage.identity_settings import Identity

KEY = "c2VjcmV0"
NAMES = ("blobServiceUri", "queueServiceUri", "tableServiceUri")
URIS = {name: f"https://store.{name.removesuffix('ServiceUri')}.core.windows.net" for name in NAMES}


def read(text: str | None = None, **parts: str) -> Connection:
    """Read the bare setting and those after the underscores."""
    environ = {f"AzureWebJobsStorage__{name}": value for name, value in parts.items()}
    if text is not None:
        environ["AzureWebJobsStorage"] = text
    return read_connection({"PATH": "/bin", **environ})


def problems(text: str | None = None, **parts: str) -> list[str]:
    """The problems with them, without the prefix that all have."""
    with pytest.raises(InvalidSettings) as caught:
        read(text, **parts)
    assert all(problem.startswith("AzureWebJobsStorage") for problem in caught.value.problems)
    assert all("\n" not in problem and "secret" not in problem for problem in caught.value.problems)
    return [problem.removeprefix("AzureWebJobsStorage") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "table_url", "queue_url"),
    [
        (
            f"DefaultEndpointsProtocol=https;AccountName=store;AccountKey={KEY};EndpointSuffix=core.windows.net",
            "https://store.table.core.windows.net",
            "https://store.queue.core.windows.net",
        ),
        (
            f" accountname = store ; ACCOUNTKEY={KEY};; EndpointSuffix=core.chinacloudapi.cn; ",
            "https://store.table.core.chinacloudapi.cn",
            "https://store.queue.core.chinacloudapi.cn",
        ),
        (
            f"AccountName=store;AccountKey={KEY};TableEndpoint=http://localhost:1/store/;QueueEndpoint=http://[::1]:2/store",
            "http://localhost:1/store",
            "http://[::1]:2/store",
        ),
    ],
)
def test_a_connection_string_names_the_account_and_its_key(text: str, table_url: str, queue_url: str) -> None:
    """In every form that the SDKs take."""
    connection = read(text)
    assert (connection.table_url, connection.queue_url) == (table_url, queue_url)
    assert connection.credential == SharedKey(account="store", key=KEY)
    assert KEY not in repr(connection)


def test_a_connection_string_may_hold_a_sas() -> None:
    """With or without the question mark that the portal puts before it."""
    for mark in ("", "?"):
        connection = read(f"AccountName=store;SharedAccessSignature={mark}sv=2025&sig=secret%3D")
        assert connection.credential == Sas(token="sv=2025&sig=secret%3D")
        assert connection.table_url == "https://store.table.core.windows.net"
        assert "secret" not in repr(connection)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("UseDevelopmentStorage=true", "http://127.0.0.1"),
        (" usedevelopmentstorage=TRUE; ", "http://127.0.0.1"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite", "http://azurite"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://10.0.0.5:8888/", "http://10.0.0.5"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://[fd00::1]", "http://[fd00::1]"),
    ],
)
def test_the_short_form_names_the_emulator(text: str, host: str) -> None:
    """On this machine, or on the one that the proxy's URI names: only its host counts, as in .NET."""
    connection = read(text)
    assert connection.table_url == f"{host}:10002/devstoreaccount1"
    assert connection.queue_url == f"{host}:10001/devstoreaccount1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("secret", "must be a connection string"),
        ("AccountName=store", "has no AccountKey and no SharedAccessSignature"),
        (f"AccountKey={KEY}", "has no TableEndpoint and no AccountName"),
        ("AccountName=store;AccountKey=secret", "AccountKey must be Base64"),
        (f"AccountName=store;AccountKey={KEY};SharedAccessSignature=sig=secret", "has both an AccountKey and"),
        (f"AccountName=a b;AccountKey={KEY}", "must make a URL"),
        (f"TableEndpoint=store;QueueEndpoint=store;AccountKey={KEY}", "TableEndpoint must be a URL"),
        (f"BlobEndpoint=https://store.blob.core.windows.net;AccountKey={KEY}", "has no TableEndpoint"),
        ("UseDevelopmentStorage=secret", "UseDevelopmentStorage must be true"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=secret", "DevelopmentStorageProxyUri must be a URL"),
        (
            f"AccountName=store;AccountKey={KEY};TableEndpoint=https://store.queue.core.windows.net",
            "must be the URL of the table service, not of the queue service",
        ),
    ],
)
def test_a_wrong_connection_string_is_named(text: str, reason: str) -> None:
    """In one line that quotes nothing of it."""
    (problem,) = problems(text)
    assert problem.startswith(": ")
    assert reason in problem


@pytest.mark.parametrize("text", [None, "", "  "])
def test_a_setting_that_is_missing_is_named(text: str | None) -> None:
    """With both ways to set it."""
    (problem,) = problems(text)
    assert problem.startswith(": must be set, to the connection string of a storage account")
    assert "AzureWebJobsStorage__accountName" in problem


def test_a_connection_string_wins_over_an_identity() -> None:
    """As on the host: the other settings are not even looked at."""
    connection = read(f"AccountName=other;AccountKey={KEY}", accountName="store", credential="nonsense")
    assert connection.credential == SharedKey(account="other", key=KEY)


@pytest.mark.parametrize(
    ("parts", "identity"),
    [
        ({"credential": "managedidentity", "clientId": "c1"}, Identity(managed=True, client_id="c1")),
        ({"CREDENTIAL": "ManagedIdentity", "CLIENTID": " c1 "}, Identity(managed=True, client_id="c1")),
        (
            {"credential": "managedidentity", "managedIdentityResourceId": "/r"},
            Identity(managed=True, resource_id="/r"),
        ),
        ({"credential": "managedidentity"}, Identity(managed=True)),
        ({"clientId": "c1"}, Identity(managed=False, client_id="c1")),
        ({"managedIdentityResourceId": "/r", "clientId": ""}, Identity(managed=False, resource_id="/r")),
        ({}, Identity(managed=False)),
    ],
)
@pytest.mark.parametrize("account", [{"accountName": "store"}, URIS, {**URIS, "accountName": "store"}])
def test_an_identity_names_the_account_by_name_or_by_addresses(
    account: dict[str, str], parts: dict[str, str], identity: Identity
) -> None:
    """An empty value counts as none."""
    connection = read(**account, **parts)
    assert connection.credential == identity
    assert connection.table_url == "https://store.table.core.windows.net"
    assert connection.queue_url == "https://store.queue.core.windows.net"


def test_an_account_name_fills_in_the_addresses_that_are_not_given() -> None:
    """A private endpoint with a name of its own, say."""
    connection = read(accountName="store", tableServiceUri="https://tables.example.com/")
    assert connection.table_url == "https://tables.example.com"
    assert connection.queue_url == "https://store.queue.core.windows.net"


def test_the_bare_name_in_upper_case_is_the_same_setting() -> None:
    """So Windows lists it."""
    assert read_connection({"AZUREWEBJOBSSTORAGE": "UseDevelopmentStorage=true"}).table_url.endswith(
        "10002/devstoreaccount1"
    )


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        ({"accountName": "store", "credential": "secret"}, {"__credential": "must be managedidentity"}),
        ({"accountName": "store", "clientSecret": "secret"}, {"__clientSecret": "is not supported"}),
        ({"accountName": "Secret!"}, {"__accountName": "must be 3 to 24"}),
        ({"credential": "managedidentity", "clientId": "c1"}, {"__accountName": "must be set"}),
        (
            {"tableServiceUri": URIS["tableServiceUri"]},
            {"__blobServiceUri": "must be set", "__queueServiceUri": "must be"},
        ),
        ({**URIS, "accountName": "other"}, dict.fromkeys((f"__{name}" for name in NAMES), "names another account")),
        (
            {"accountName": "store", "tableServiceUri": "https://127.0.0.1:1/devstoreaccount1"},
            {"__tableServiceUri": "names another account"},
        ),
        (
            {"accountName": "store", "queueServiceUri": "https://store.blob.core.windows.net"},
            {"__queueServiceUri": "not of the blob service"},
        ),
        ({**URIS, "tableServiceUri": "http://127.0.0.1:1/store"}, {"__tableServiceUri": "must begin with https://"}),
        ({**URIS, "tableServiceUri": "store.table.core.windows.net"}, {"__tableServiceUri": "must be a URL"}),
        ({**URIS, "tableServiceUri": "https://store.example/?sig=secret"}, {"__tableServiceUri": "without"}),
        ({**URIS, "tableServiceUri": f"{URIS['tableServiceUri']}/ingestions"}, {"__tableServiceUri": "without a path"}),
        ({**URIS, "tableServiceUri": "https://a:99999"}, {"__tableServiceUri": "must be a URL"}),
        (
            {"accountName": "store", "clientId": "c1", "managedIdentityResourceId": "/r"},
            {"__managedIdentityResourceId": "must be left out"},
        ),
        (
            {"accountName": "store", "credential": "secret", "tableServiceUri": "secret", "tenantId": "secret"},
            {"__tenantId": "is not", "__tableServiceUri": "must be", "__credential": "must be"},
        ),
        ({"accountName": "store", "ACCOUNTNAME": "other"}, {"__accountName": "is set more than once"}),
    ],
)
def test_every_setting_of_an_identity_that_cannot_be_used_is_named(
    parts: dict[str, str], wrong: dict[str, str]
) -> None:
    """All of them at once, one line each."""
    found = dict(problem.split(": ", 1) for problem in problems(**parts))
    assert found.keys() == wrong.keys()
    for name, reason in wrong.items():
        assert reason in found[name]


def test_an_empty_bare_name_beside_an_identity_is_named() -> None:
    """The host would keep the timer's lock in its own memory, and every host would tick."""
    first, second = problems("", accountName="store", credential="nonsense")
    assert first.startswith(": must be removed")
    assert second.startswith("__credential: ")


def test_the_bare_name_in_two_cases_is_named() -> None:
    """Nobody can say which one counts."""
    with pytest.raises(InvalidSettings, match="AzureWebJobsStorage: is set more than once"):
        read_connection({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "AZUREWEBJOBSSTORAGE": "x=y"})


def test_a_proxy_that_is_none_is_named() -> None:
    """Its value may hold a password."""
    environ = {"AzureWebJobsStorage__accountName": "store", "https_proxy": "ftp://user:secret@proxy"}
    with pytest.raises(InvalidSettings, match=r"^https_proxy: ") as caught:
        read_connection(environ)
    assert "secret" not in str(caught.value)
