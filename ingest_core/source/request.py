"""Checks what the settings say about the source before anything is sent: its name, the API's address and headers.

Address and headers may contain keys, so no message repeats a part of either, except a header's name.
"""

import json
import re
from ipaddress import ip_address
from urllib.parse import urlsplit

PLACEHOLDER = "{id}"
SIMULATED, HTTP = "simulated", "http"

_CLASS_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

# RFC 3986: what an address may consist of; "%" only before two hexadecimal digits.
_ADDRESS = re.compile(r"(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
# RFC 9110: a field name is a token. A value has only printable ASCII here, without spaces at its ends.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+(?: +[\x21-\x7e]+)*")
# These say how this client reads and frames messages, which no setting can change.
_OURS = frozenset(
    ("accept-encoding", "connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade")
)


def check_source_name(text: str) -> str | None:
    """Say in one line what is wrong with the name of a source, or `None`."""
    if text in (SIMULATED, HTTP) or _CLASS_NAME.fullmatch(text):
        return None
    return f"must be {SIMULATED}, {HTTP}, or a class of your own as package.module:Name"


def check_url_template(text: str) -> str | None:
    """Say in one line what is wrong with an address such as `https://api.example.com/items/{id}`, or `None`.

    The ID goes into the path or the query: it must not decide which host is asked.
    """
    if not text.lower().startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    if PLACEHOLDER not in text:
        return f"needs {PLACEHOLDER} where the ID goes"
    if "#" in text:
        return "must not have a fragment (#...), which is never sent"
    if not _ADDRESS.fullmatch(text.replace(PLACEHOLDER, "1")):
        return f"may hold only a URL's characters (RFC 3986), others as %XX, and no braces but {PLACEHOLDER}"
    return _check_host(text)


def _check_host(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "has a host or a port that cannot be read"
    if PLACEHOLDER in parts.netloc:
        return f"must have {PLACEHOLDER} in its path or its query, not in its host"
    if "@" in parts.netloc:
        return "must not hold a user name or a password: put them into a header"
    if not host or not _is_host(host) or port == 0 or parts.netloc.endswith(":"):
        return "has a host or a port that cannot be read"
    return None


def _is_host(host: str) -> bool:
    """Whether this is a name or an address; forms such as 127.1 and 0x7f000001 are neither."""
    if ":" in host or re.search(r"(^|\.)[0-9][0-9a-fx]*$", host):
        try:
            ip_address(host)
        except ValueError:
            return False
        return True
    return re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", host) is not None


def parse_headers(text: str) -> dict[str, str]:
    """Read headers from a JSON object of name to value, `{"X-Api-Key": "abc"}`; an empty text means none.

    Raises `ValueError` with one line that says what is wrong and repeats none of the values.
    """
    if not text.strip():
        return {}
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        pairs = None
    # An array is read as a list too, so the first character decides.
    if not isinstance(pairs, list) or not text.lstrip().startswith("{"):
        raise ValueError('must be a JSON object of header name to value, like {"X-Api-Key": "..."}') from None
    for name, value in pairs:
        _check_header(name, value)
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise ValueError("names a header twice")
    return dict(pairs)


def _check_header(name: str, value: object) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"has an invalid header name: {ascii(name)[:80]}")
    if name.lower() in _OURS:
        raise ValueError(f"must not set {name}, which the client sets itself")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"must give {name} a text of printable ASCII characters on one line")
