"""Values as every database takes them: PostgreSQL stores neither NUL nor half of a surrogate pair, and no column stores
what is no number. A model's text may hold all of them."""

import json
from collections.abc import Mapping
from typing import Any

_UNSTORABLE = {0: "\N{REPLACEMENT CHARACTER}"}
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def clean(text: str) -> str:
    """`text` with U+FFFD for NUL and for lone surrogates."""
    return text.translate(_UNSTORABLE).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(value: Any) -> tuple[Any, int]:
    """`value` cleaned, the same object where nothing is wrong with it; and how many bytes it is as JSON.

    What is no number becomes None, and what JSON does not know its text: one value that no column takes would have its
    run given up, with everything else that the run has to say.
    """
    try:
        data = _encode(value).encode()
        if b"\\u0000" not in data:
            return value, len(data)
    except (ValueError, TypeError):
        pass
    cleaned = _cleaned(value)
    return cleaned, len(_encode(cleaned).encode())


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case Mapping():
            return {clean(str(name)): _cleaned(one) for name, one in value.items()}
        case list() | tuple():
            return [_cleaned(one) for one in value]
        case int() | float() | None:
            return value
        case _:
            return clean(str(value))
