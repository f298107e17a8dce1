"""JSON as Core Tools accept it in `host.json` and `local.settings.json`: with comments and trailing commas."""

import json
import re
from pathlib import Path
from typing import Any

from devtools.console import Failure

# A string is matched first, so that what looks like a comment inside it stays.
STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
STRING_OR_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)


def parse(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Decode the text; ValueError when it is not JSON even so."""
    without_comments = STRING_OR_COMMENT.sub(_keep_strings, text)
    return json.loads(STRING_OR_TRAILING_COMMA.sub(_keep_strings, without_comments))


def load(path: Path) -> Any:  # noqa: ANN401 - JSON is anything
    """Decode a file; None when there is none, and a `Failure` that names it when it is not JSON."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Failure(f"{path.name} is not JSON ({error}): correct it, then run this again") from None


def _keep_strings(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else " "
