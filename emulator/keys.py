"""Checks the function key if the emulator was started with `--key`."""

import hmac

from emulator.request import Request, query_pairs


def has_key(key: str, request: Request) -> bool:
    """Whether a request has the key in the header `x-functions-key` or as the first `code` in its query.

    As on the host, the query is only read if the header is missing.
    """
    sent = request.headers.get("x-functions-key")
    if sent is None:
        codes = [value for name, value in query_pairs(request.query.removeprefix("?")) if name.lower() == "code"]
        sent = codes[0] if codes else ""
    return hmac.compare_digest(sent.encode(), key.encode())
