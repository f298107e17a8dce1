"""Reads JSON with comments and trailing commas, as Core Tools do in `host.json` and `local.settings.json`."""

import json
import re
from pathlib import Path
from typing import Any

from devtools.console import Failure

# The patterns match strings first, so that comment signs and commas inside a string stay.
STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
STRING_OR_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)


def parse(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Decode the text; ValueError if it is not JSON apart from comments and trailing commas."""
    without_comments = STRING_OR_COMMENT.sub(_keep_strings, text)
    return json.loads(STRING_OR_TRAILING_COMMA.sub(_keep_strings, without_comments))


def load(path: Path) -> Any:  # noqa: ANN401 - JSON is anything
    """Decode a file. Returns None if the file is missing; raises a `Failure` with its name if it is not JSON."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Failure(f"{path.name} is not JSON ({error}): correct it, then run this again") from None


def _keep_strings(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " "
