"""Storage without a key: Azurite takes tokens only from here, and App Service's identity endpoint hands them out."""

import json

import pytest

from tests.identity.conftest import IdentityEndpoint, SecureAzurite, Use

USED = {"rows": [4, 3], "text": "text"}
RESOURCE = "/subscriptions/0/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/ingest"


def uris(azurite: SecureAzurite, host: str = "127.0.0.1") -> dict[str, str]:
    """The settings for where the account is."""
    return {
        f"AzureWebJobsStorage__{service}ServiceUri": azurite.uri(service, host)
        for service in ("blob", "queue", "table")
    }


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"credential": "managedidentity", "clientId": "c1"}, {"client_id": "c1"}),
        ({"CREDENTIAL": "ManagedIdentity", "clientid": "c1"}, {"client_id": "c1"}),
        ({"credential": "managedidentity", "managedIdentityResourceId": RESOURCE}, {"mi_res_id": RESOURCE}),
        ({"credential": "managedidentity"}, {}),
        ({"credential": "managedidentity", "accountName": "devstoreaccount1"}, {}),
        ({"clientId": "c1"}, {"client_id": "c1"}),
        ({"managedIdentityResourceId": RESOURCE}, {"mi_res_id": RESOURCE}),
        ({}, {}),
    ],
)
def test_an_identity_opens_the_account(
    use: Use,
    secure_azurite: SecureAzurite,
    identity_endpoint: IdentityEndpoint,
    settings: dict[str, str],
    asked: dict[str, str],
) -> None:
    """Whichever way it is named; with and without `credential`, in any case."""
    given = {f"AzureWebJobsStorage__{name}": value for name, value in settings.items()}
    assert use({**uris(secure_azurite), **given}) == [USED]
    names = {"client_id", "mi_res_id"}
    for query in identity_endpoint.asked:
        assert query["resource"].rstrip("/") == "https://storage.azure.com"
        assert {name: value for name, value in query.items() if name in names} == asked
    assert 1 <= len(identity_endpoint.asked) <= 2


def test_upper_case_names_are_understood(use: Use, secure_azurite: SecureAzurite) -> None:
    """So Windows lists every variable."""
    settings = {**uris(secure_azurite), "AzureWebJobsStorage__credential": "managedidentity"}
    assert use({name.upper(): value for name, value in settings.items()}) == [USED]


def test_an_identity_works_at_localhost(use: Use, secure_azurite: SecureAzurite) -> None:
    """The table client takes that host for Cosmos DB, which has tokens of its own."""
    assert use(uris(secure_azurite, "localhost")) == [USED]


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(use: Use, secure_azurite: SecureAzurite) -> None:
    """Neither for storage nor for the identity endpoint."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://user:secret@192.0.2.1:9")
    assert use({**uris(secure_azurite), **proxies, "NO_PROXY": ""}) == [USED]


def test_an_identity_that_is_not_assigned_is_named(
    use: Use, secure_azurite: SecureAzurite, identity_endpoint: IdentityEndpoint
) -> None:
    """The line says that there is no token and which setting to look at."""
    identity_endpoint.refuses = 400
    settings = {"AzureWebJobsStorage__credential": "managedidentity", "AzureWebJobsStorage__clientId": "c1"}
    (result,) = use({**uris(secure_azurite), **settings})
    assert result["error"] == "NoToken"
    assert result["message"].startswith("no token for storage could be had: ")
    assert "AzureWebJobsStorage__clientId" in result["message"]
    assert "\n" not in result["message"]


@pytest.mark.parametrize("refusal", [403, 500, 0])
def test_a_caller_is_told_that_there_is_no_token(
    use: Use, secure_azurite: SecureAzurite, identity_endpoint: IdentityEndpoint, refusal: int
) -> None:
    """With 503, whatever the identity endpoint answers, and if it answers nothing; the log has the rest."""
    identity_endpoint.refuses = refusal
    identity_endpoint.first_takes_seconds = 0 if refusal else 4
    settings = {**uris(secure_azurite), "AzureWebJobsStorage__credential": "managedidentity"}
    (answer,) = use(settings, tries="answer")
    assert (answer["status"], answer["retry_after"]) == (503, "5")
    problem = json.loads(answer["body"])
    assert problem["type"] == "/problems/storage-unavailable"
    assert problem["detail"].startswith("The service's identity gets no token for storage. ")


@pytest.mark.parametrize("credential", [{"AzureWebJobsStorage__credential": "managedidentity"}, {}])
def test_an_identity_endpoint_that_is_down_is_reported(
    use: Use, secure_azurite: SecureAzurite, credential: dict[str, str]
) -> None:
    """As an app that has no identity at all."""
    nobody = {"IDENTITY_ENDPOINT": "http://127.0.0.1:9/msi/token", "PATH": ""}
    (result,) = use({**uris(secure_azurite), **credential, **nobody})
    assert result["error"] == "NoToken"
    assert result["message"].startswith("no token for storage could be had: ")
    assert "none came" not in result["message"]
    assert "check that this app has " in result["message"]


def test_a_token_that_takes_long_serves_the_next_call(
    use: Use, secure_azurite: SecureAzurite, identity_endpoint: IdentityEndpoint
) -> None:
    """If each call asked anew, and gave up, there would never be one."""
    identity_endpoint.first_takes_seconds = 4
    settings = {**uris(secure_azurite), "AzureWebJobsStorage__credential": "managedidentity"}
    first, second = use(settings, tries=2)
    assert first["error"] == "NoToken"
    assert "none came within 3 s" in first["message"]
    assert second == USED


def test_a_token_that_storage_refuses_is_reported_with_the_status(
    use: Use, secure_azurite: SecureAzurite, identity_endpoint: IdentityEndpoint
) -> None:
    """An identity without a role, for example; here the token is for another service."""
    identity_endpoint.audience = "https://vault.azure.net"
    (result,) = use({**uris(secure_azurite), "AzureWebJobsStorage__credential": "managedidentity"})
    assert result["error"] == "StorageDenied"
    assert result["message"].startswith("cannot create the table ")
    assert "storage answered 40" in result["message"]
    assert "the roles of the identity" in result["message"]


def test_an_untrusted_certificate_is_reported(use: Use, secure_azurite: SecureAzurite) -> None:
    """It is no reason to hang or to go on without TLS."""
    (result,) = use({**uris(secure_azurite), "SSL_CERT_FILE": "/dev/null"})
    assert result["error"] == "StorageUnavailable"
    assert "storage cannot be reached" in result["message"]
