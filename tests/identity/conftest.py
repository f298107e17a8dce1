"""Azure's identities without Azure: a storage emulator that takes tokens, and the endpoint that hands them out."""

import json
import multiprocessing
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devtools.azurite import PROGRAM, ROOT
from devtools.child import Child, wait_until
from devtools.ports import free_ports, listening
from tests.identity import client

SECRET = str(uuid4())
"""The header that tells App Service's own processes from others."""


@dataclass(frozen=True, kw_only=True)
class SecureAzurite:
    """An Azurite that takes tokens over HTTPS."""

    blob_port: int
    queue_port: int
    table_port: int
    certificate: Path

    def uri(self, service: str, host: str = "127.0.0.1") -> str:
        """The address of its blob, queue or table service."""
        port = {"blob": self.blob_port, "queue": self.queue_port, "table": self.table_port}[service]
        return f"https://{host}:{port}/devstoreaccount1"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture(scope="session")
def secure_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureAzurite]:
    """One for all tests here."""
    folder = tmp_path_factory.mktemp("secure_azurite")
    certificate, key = make_certificate(folder)
    ports = free_ports(3)
    command = [
        "node",
        str(ROOT / PROGRAM),
        "--silent",
        "--disableTelemetry",
        "--location",
        str(folder),
        "--oauth",
        "basic",
    ]
    command += ["--cert", str(certificate), "--key", str(key)]
    for service, port in zip(("blob", "queue", "table"), ports, strict=True):
        command += [f"--{service}Port", str(port)]
    process = Child(command, log=folder / "azurite.log", cwd=folder)
    try:
        wait_until(lambda: not process.running() or all(map(listening, ports)), seconds=60, what="Azurite listens")
        assert process.running(), process.output()
        blob_port, queue_port, table_port = ports
        yield SecureAzurite(blob_port=blob_port, queue_port=queue_port, table_port=table_port, certificate=certificate)
    finally:
        process.kill()


def make_token(audience: str) -> str:
    """An unsigned token, which Azurite believes."""
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{uuid4()}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "signature"])


@dataclass
class IdentityEndpoint:
    """App Service's identity endpoint: what it was asked, and how it answers."""

    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    audience: str = "https://storage.azure.com"
    refuses: int = 0
    first_takes_seconds: float = 0

    def answer(self, query: dict[str, str], secret: str) -> tuple[int, dict[str, str]]:
        """The status and the body."""
        self.asked.append(query)
        if len(self.asked) == 1:
            time.sleep(self.first_takes_seconds)
        if secret != SECRET or self.refuses:
            status = self.refuses or 400
            return status, {
                "statusCode": str(status),
                "message": "No User Assigned or Delegated Managed Identity found",
            }
        token = make_token(self.audience)
        expires_on = str(int(time.time()) + 3600)
        return 200, {"access_token": token, "expires_on": expires_on, "token_type": "Bearer", **query}


@pytest.fixture
def identity_endpoint() -> Iterator[IdentityEndpoint]:
    """One for each test."""
    endpoint = IdentityEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(parse_qsl(urlsplit(self.path).query))
            status, fields = endpoint.answer(query, self.headers.get("X-IDENTITY-HEADER", ""))
            body = json.dumps(fields).encode()
            with suppress(ConnectionError):  # a client that has given up
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield endpoint
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def processes(secure_azurite: SecureAzurite) -> BaseContext:
    """A server of processes that have imported the storage clients, which takes seconds, and trust this Azurite.

    aiohttp reads what TLS trusts when it is imported.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([client.__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(secure_azurite.certificate))
        forkserver.ensure_running()
    return context


Use = Callable[..., list[dict]]


@pytest.fixture
def use(secure_azurite: SecureAzurite, identity_endpoint: IdentityEndpoint, processes: BaseContext) -> Use:
    """Use storage in a process with these settings, and with what App Service adds; returns the result of each try."""

    def run(settings: dict[str, str], *, tries: int | str = 1) -> list[dict]:
        env = {name: value for name, value in os.environ.items() if not name.lower().startswith(("azure", "identity"))}
        env |= {
            "SSL_CERT_FILE": str(secure_azurite.certificate),
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{identity_endpoint.port}/msi/token",
            "IDENTITY_HEADER": SECRET,
            **settings,
        }
        context = multiprocessing.get_context("spawn") if "SSL_CERT_FILE" in settings else processes
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=client.run, args=(env, tries, sender))
        process.start()
        sender.close()
        assert receiver.poll(60), "no result within 60 s"
        results = receiver.recv()
        process.join()
        return results

    return run
