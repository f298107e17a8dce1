"""Which proxy of the environment a request goes through; storage and the HTTP source both ask here.

The rules are those of Python's `urllib.request.getproxies_environment` and `proxy_bypass_environment`, with three more:
`NO_PROXY` may list networks (`10.0.0.0/8`) and domains as `*.example.com`, as other programs allow; and loopback
addresses and names of one label (`localhost`, `azurite`) never go through a proxy. Such a name has a
meaning only on this machine or in its network, and a proxy elsewhere would answer in place of the local server.

The address of a proxy may contain a password, so messages name the variable and never its value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from ingest_core.errors import InvalidSettings


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy, and the environment variable that names it."""

    #: The name of the variable as the environment spells it, for messages.
    variable: str
    #: `http://` or `https://`, perhaps with a user name and a password. It must not be logged.
    url: str = field(repr=False)


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for requests to this `http://` or `https://` URL, or `None` if they are sent directly.

    `HTTP_PROXY` is for `http://` URLs and `HTTPS_PROXY` for `https://` URLs; `NO_PROXY` lists hosts that are reached
    directly. The lower-case spelling of a variable wins, even if it is empty. `ALL_PROXY` is not read. Raises
    `InvalidSettings` if the value of the variable is not the address of a proxy.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    variable = _spelling(f"{parts.scheme}_proxy", environ)
    value = environ.get(variable, "").strip()
    if not value or _is_local(host):
        return None
    no_proxy = environ.get(_spelling("no_proxy", environ), "")
    if _is_exempt(host, no_proxy) or _is_exempt(f"{host}:{parts.port}", no_proxy):
        return None
    return Proxy(variable=variable, url=_address(value, variable))


def _spelling(name: str, environ: Mapping[str, str]) -> str:
    if name in environ:
        return name
    return next((each for each in environ if each.lower() == name), "")


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".localhost")
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    # A connection to 0.0.0.0 or [::] reaches this machine too.
    return address.is_loopback or address.is_unspecified


def _is_exempt(host: str, no_proxy: str) -> bool:
    """Tell whether `NO_PROXY` lists this host, a domain above it, or `*`."""
    if no_proxy.strip() == "*":
        return True
    names = [name.strip().removeprefix("*").lstrip(".").lower() for name in no_proxy.split(",")]
    return any(name and (host == name or host.endswith(f".{name}") or _is_in(host, name)) for name in names)


def _is_in(host: str, network: str) -> bool:
    if "/" not in network:
        return False
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:  # the host or the network is a name
        return False


def _address(value: str, variable: str) -> str:
    # `proxy.example.com:3128` is common, and means plain HTTP.
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise InvalidSettings([f"{variable}: must be the http:// or https:// address of a proxy"])
    return url
