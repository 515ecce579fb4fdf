"""Values that are too large for a row: kept as assets of their run, text as text and anything else as JSON. In the row
stands `{"$document": {"asset": {...}}}`, with what is known of the asset."""

import json
from collections.abc import Mapping
from typing import Any

from serve.domain.written import assets_in, is_asset

_STOWED = "$document"
_SMALL_BYTES = 4096
"""Values up to this size stay where they are, beside large ones: to keep them elsewhere would hide them."""
TEXT, JSON = "text/plain; charset=utf-8", "application/json"


def stowed(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the row; `asset` is what is known of the asset."""
    return {_STOWED: {"asset": dict(asset)}}


def stowed_asset(value: Any) -> Mapping[str, Any] | None:
    """What is known of the asset that has `value`, None where it is a value itself."""
    if isinstance(value, Mapping) and value.keys() == {_STOWED} and is_asset(value[_STOWED]):
        known: Mapping[str, Any] = value[_STOWED]["asset"]
        return known
    return None


def to_stow(value: Any) -> tuple[bytes, str] | None:
    """A value's content and its media type, None where it stays in its row: it is small, or names assets, which must
    be found there. A value that reads like a stowed one goes away in any case, or it would be taken for one."""
    is_like_one = stowed_asset(value) is not None
    if not is_like_one and next(assets_in(value), None) is not None:
        return None
    is_text = isinstance(value, str)
    data = (value if is_text else json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()
    if len(data) <= _SMALL_BYTES and not is_like_one:
        return None
    return data, TEXT if is_text else JSON


def from_stow(data: bytes, media_type: str) -> Any:
    """The value again."""
    return data.decode() if media_type == TEXT else json.loads(data)
