"""Values as rows and messages have them: a stored blob is `{"asset": {...}}`, with what is known of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from serve.domain.media import Asset

_WRITTEN = "asset"
_NAMES = tuple(one.name for one in fields(Asset))
_FIELDS = frozenset(_NAMES)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def written_asset(asset: Asset) -> dict[str, Any]:
    """An asset, written; what is not known of it is left out."""
    return {_WRITTEN: {name: known for name in _NAMES if (known := getattr(asset, name)) is not None}}


def is_asset(value: Any) -> bool:
    """Whether `value` is a written asset. JSON that a model or a user wrote may look like one: what reads as an asset
    has its fields and no others, an id that may stand in a path, and a size that can be added to others."""
    if not (isinstance(value, dict) and value.keys() == {_WRITTEN} and isinstance(value[_WRITTEN], dict)):
        return False
    known = value[_WRITTEN]
    asset_id, num_bytes = known.get("id"), known.get("num_bytes", 0)
    is_size = isinstance(num_bytes, int) and not isinstance(num_bytes, bool) and 0 <= num_bytes < 2**53
    return known.keys() <= _FIELDS and isinstance(asset_id, str) and bool(_ID.fullmatch(asset_id)) and is_size


def read_asset(value: Mapping[str, Any]) -> Asset:
    """The asset that was written. Raises TypeError or KeyError for anything else."""
    return Asset(**value[_WRITTEN])


def assets_in(value: Any) -> Iterator[dict[str, Any]]:
    """What is written of every asset in `value`, at any depth."""
    if is_asset(value):
        yield value[_WRITTEN]
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from assets_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from assets_in(one)


def asset_ids_in(value: Any) -> dict[str, int]:
    """The id of every asset in `value`, with its bytes."""
    return {str(one["id"]): int(one.get("num_bytes", 0)) for one in assets_in(value) if "id" in one}


def with_assets(value: Any, replaced: Mapping[str, Asset]) -> Any:
    """`value` with these assets, by id, in the place of those that it has."""
    if is_asset(value):
        found = replaced.get(value[_WRITTEN].get("id"))
        return value if found is None else written_asset(found)
    if isinstance(value, Mapping):
        return {key: with_assets(one, replaced) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [with_assets(one, replaced) for one in value]
    return value
