"""JSON from outside, bounded before it is believed: how long, and how deep."""

from __future__ import annotations

import json
from typing import Any

from tenants.errors import Invalid

LENGTH_MAX = 64 * 1024
DEPTH_MAX = 16


class NotThisJSON(Invalid):
    """Too long, too deep, or no JSON."""

    code = "json_refused"


def read_json(text: str, *, length_max: int = LENGTH_MAX, depth_max: int = DEPTH_MAX) -> Any:
    """Return the value. Raises ``NotThisJSON``.

    Nesting is counted before parsing: a few kilobytes of brackets end a recursive reader.
    """
    if len(text) > length_max:
        raise NotThisJSON(f"At most {length_max} characters of JSON are read.")
    if _depth(text) > depth_max:
        raise NotThisJSON(f"JSON nested deeper than {depth_max} is not read.")
    try:
        return json.loads(text)
    except ValueError:
        raise NotThisJSON("This is no JSON.") from None


def _depth(text: str) -> int:
    depth = deepest = 0
    in_text = is_escaped = False
    for sign in text:
        if in_text:
            if is_escaped:
                is_escaped = False
            elif sign == "\\":
                is_escaped = True
            elif sign == '"':
                in_text = False
        elif sign == '"':
            in_text = True
        elif sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest
