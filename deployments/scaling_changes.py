"""What the scaling decided last, from Serve's controller, where it decides, to the gateways, which are asked for it.

It lies in the store of Ray's head (its internal key-value store), a few hundred bytes for each model, and is written
when a decision changes a number; it is no part of any decision. Nobody waits for it: a head that is being replaced must
hold up neither the controller nor a listing.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from typing import Any, Protocol

import orjson
from ray.experimental import internal_kv

from serve.domain.serving import ScalingChange

KEPT = 8
"""Changes of each model."""
_NAMESPACE = b"slipway"
_PREFIX = b"scaling/"
_FRESH_SECONDS = 2.0
_ANSWER_SECONDS = 3.0
_MAX_REASON = 512

logger = logging.getLogger("ray.serve.slipway.scaling")


class HeadStore(Protocol):
    """Values by key, where all of a cluster's processes find them. Every method waits for the head."""

    def get(self, key: bytes) -> bytes | None:
        """A value, or None."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Replace a value."""
        ...

    def with_prefix(self, prefix: bytes) -> Mapping[bytes, bytes]:
        """Every value whose key begins so."""
        ...


class RayHeadStore:
    """That of this process's Ray cluster."""

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = internal_kv._internal_kv_get(key, namespace=_NAMESPACE)
        return found

    def put(self, key: bytes, value: bytes) -> None:
        internal_kv._internal_kv_put(key, value, namespace=_NAMESPACE)

    def with_prefix(self, prefix: bytes) -> Mapping[bytes, bytes]:
        client: Any = internal_kv.internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]  # Ray has no types here
        keys = client.internal_kv_keys(prefix, _NAMESPACE)
        return dict(client.internal_kv_multi_get(keys, _NAMESPACE)) if keys else {}


@cache
def _writer() -> ThreadPoolExecutor:
    """One thread, so that changes are written in the order in which they came."""
    return ThreadPoolExecutor(1, thread_name_prefix="slipway-scaling")


def tell_change(model: str, change: ScalingChange) -> None:
    """Have a change written down, soon."""
    _writer().submit(_tell, RayHeadStore(), model, change)


def _tell(store: HeadStore, model: str, change: ScalingChange) -> None:
    try:
        write_change(store, model, change)
    except Exception:
        logger.exception("a decision about %s was not written down", model)


def write_change(store: HeadStore, model: str, change: ScalingChange) -> None:
    """Put a change before those that are there, and drop what is too old."""
    key = _PREFIX + model.encode()
    told = asdict(change) | {"reason": change.reason[:_MAX_REASON]}
    before = orjson.loads(store.get(key) or b"[]")
    store.put(key, orjson.dumps([told, *before][:KEPT]))


def read_changes(store: HeadStore) -> dict[str, Sequence[ScalingChange]]:
    """The changes of every model, the newest first."""
    found = store.with_prefix(_PREFIX)
    return {key.removeprefix(_PREFIX).decode(): _changes(orjson.loads(value)) for key, value in found.items()}


def _changes(rows: Iterable[Mapping[str, object]]) -> tuple[ScalingChange, ...]:
    return tuple(ScalingChange(**row) for row in rows)  # type: ignore[arg-type]  # as `write_change` has written them


class ScalingChanges:
    """The changes, at most two seconds old; the last known ones while the head does not answer."""

    def __init__(self, store: HeadStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._read_at = -_FRESH_SECONDS
        self._known: Mapping[str, Sequence[ScalingChange]] = {}

    async def current(self) -> Mapping[str, Sequence[ScalingChange]]:
        """By model."""
        async with self._lock:
            if time.monotonic() - self._read_at >= _FRESH_SECONDS:
                await self._refresh()
        return self._known

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._known = await asyncio.to_thread(read_changes, self._store)
        except Exception as error:
            logger.warning("Ray's head does not say what the scaling decided: %s", error or type(error).__name__)
        self._read_at = time.monotonic()
