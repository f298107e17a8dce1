"""Tests of which proxy of the environment a request goes through."""

import urllib.request

import pytest

from ingest_core.errors import InvalidSettings
from ingest_core.proxies import proxy_for

BOTH = {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:2"}


def url_of(url: str, environ: dict[str, str]) -> str | None:
    """The address of the proxy, if there is one."""
    proxy = proxy_for(url, environ)
    return proxy.url if proxy else None


def test_each_scheme_has_its_variable() -> None:
    """`ALL_PROXY` is none of them."""
    assert url_of("http://a.example/", BOTH) == "http://p:1"
    assert url_of("https://a.example/", BOTH) == "http://p:2"
    assert url_of("https://a.example/", {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:3"}) is None
    assert url_of("https://a.example/", {}) is None


def test_the_lower_case_spelling_wins() -> None:
    """Also if it is empty, which turns the proxy off; any other spelling counts too."""
    assert url_of("http://a.example", {**BOTH, "http_proxy": "http://q:1"}) == "http://q:1"
    assert url_of("http://a.example", {**BOTH, "http_proxy": ""}) is None
    assert url_of("http://a.example", {"Http_Proxy": "http://q:1"}) == "http://q:1"
    assert url_of("http://a.example", {**BOTH, "NO_PROXY": "a.example", "no_proxy": ""}) == "http://p:1"


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST", "localhost.", "api.localhost", "azurite", "storage-1", "127.0.0.1", "127.8.9.1",
        "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "2130706433",  # noqa: S104 # nothing is bound
    ],
)  # fmt: skip
def test_local_names_never_go_through_a_proxy(host: str) -> None:
    """A proxy elsewhere would answer in place of the local server."""
    for scheme in ("http", "https"):
        assert url_of(f"{scheme}://{host}:10000/x", BOTH) is None
        assert url_of(f"{scheme}://{host}", BOTH) is None


@pytest.mark.parametrize("host", ["a.example", "10.0.0.1", "[2001:db8::1]", "localhost.example", "128.0.0.1"])
def test_other_hosts_do(host: str) -> None:
    """Private networks too, unless `NO_PROXY` names them."""
    assert url_of(f"http://{host}:80/x", BOTH) == "http://p:1"


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        ("a.example", True), (".example", True), ("example", True), (" x , A.Example ", True), ("*", True),
        ("a.example:8080", True), ("a.example:81", False), ("b.a.example", False), ("xample", False), ("", False),
        (",", False), ("x,*", False), ("a.example.", False),
    ],
)  # fmt: skip
def test_no_proxy_lists_what_is_reached_directly(no_proxy: str, exempt: bool) -> None:
    """By name, by a domain above it, with a port, or `*` alone: the same as in Python's own client."""
    assert (url_of("http://a.example:8080/x", {**BOTH, "NO_PROXY": no_proxy}) is None) is exempt
    same = urllib.request.proxy_bypass_environment("a.example:8080", {"no": no_proxy})  # type: ignore[attr-defined]
    assert bool(same) is exempt


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("10.1.2.3", "10.0.0.0/8", True), ("10.1.2.3", "x, 10.1.2.9/16", True), ("11.1.2.3", "10.0.0.0/8", False),
        ("[2001:db8::1]", "2001:db8::/32", True), ("[2001:db8::1]", "10.0.0.0/8", False),
        ("a.example", "10.0.0.0/8", False), ("10.1.2.3", "10.0.0.0/99", False), ("10.1.2.3", "/", False),
        ("api.a.example", "*.a.example", True), ("a.example", "*.b.example", False), ("a.example", "x,*.", False),
    ],
)  # fmt: skip
def test_no_proxy_may_list_networks_and_starred_domains(host: str, no_proxy: str, exempt: bool) -> None:
    """Python's own client knows neither; many environments are written for clients that do."""
    assert (url_of(f"http://{host}:8080/x", {**BOTH, "no_proxy": no_proxy}) is None) is exempt


def test_an_address_without_a_scheme_means_http() -> None:
    """It is the usual shorthand."""
    assert url_of("https://a.example", {"HTTPS_PROXY": "proxy.example:3128"}) == "http://proxy.example:3128"
    assert url_of("https://a.example", {"HTTPS_PROXY": " http://u:p@[2001:db8::1]:1 "}) == "http://u:p@[2001:db8::1]:1"


@pytest.mark.parametrize(
    "value", ["socks5://secret:1", "ftp://secret", "http://", "http://secret:x", "http://secret:70000", "http://[secret",
              "http://secret:0", "secret word", "http://sécret", ":80"]
)  # fmt: skip
def test_a_wrong_address_is_named_by_its_variable(value: str) -> None:
    """Only where it would be used, and without its value."""
    with pytest.raises(InvalidSettings) as caught:
        proxy_for("https://a.example", {"https_proxy": value})
    assert caught.value.problems == ("https_proxy: must be the http:// or https:// address of a proxy",)
    assert proxy_for("http://localhost", {"http_proxy": value}) is None


def test_a_proxy_does_not_show_its_address() -> None:
    """It may hold a password."""
    proxy = proxy_for("http://a.example", {"HTTP_PROXY": "http://u:secret@p:1"})
    assert proxy is not None
    assert proxy.variable == "HTTP_PROXY"
    assert "secret" not in repr(proxy)
