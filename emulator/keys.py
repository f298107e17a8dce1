"""Function keys, for those who start the emulator with `--key`."""

import hmac

from emulator.request import Request, query_pairs


def has_key(key: str, request: Request) -> bool:
    """Whether a request has the key: in the header `x-functions-key` or, without that header, as `code` in its query.

    As on the host, the first `code` counts, and a wrong header is not made good by a right query.
    """
    sent = request.headers.get("x-functions-key")
    if sent is None:
        codes = [value for name, value in query_pairs(request.query.removeprefix("?")) if name.lower() == "code"]
        sent = codes[0] if codes else ""
    return hmac.compare_digest(sent.encode(), key.encode())
