"""What is known of the bases' shapes: written down when a replica has resolved its weights, read by gateways."""

import asyncio
from collections import OrderedDict
from pathlib import Path

from sqlalchemy import select

from serve.catalog.cards import Card
from serve.catalog.layouts import Layout, layout_of
from serve.catalog.sources.builtin import reference_models
from serve.domain.errors import InvalidRequest
from serve.domain.ports import Clock
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import layouts

_BUILTIN = "builtin://"
_MAX_KEPT = 64
"""Layouts in memory: a large one has a few thousand modules."""


class KnownLayouts:
    """Layouts by the digest of the weights. A layout never changes, so what was read once is kept."""

    def __init__(self, records: Records, clock: Clock, builtin_root: Path | None = None) -> None:
        """`builtin_root` is the folder of the models that ship with the project, if it is another one."""
        self._records = records
        self._clock = clock
        self._builtin_root = builtin_root
        self._kept: OrderedDict[str, Layout] = OrderedDict()

    async def record(self, digest: str, layout: Layout) -> None:
        """Write down the layout of the weights with this digest."""
        shapes = {name: list(shape) for name, shape in layout.items()}
        row = {"digest": digest, "shapes": shapes, "created_ms": self._clock.now_ms()}
        async with self._records.write() as connection:
            await insert_if_absent(connection, layouts, row)

    async def of(self, card: Card) -> Layout | None:
        """The layout of what this model runs; None while nobody has seen its weights.

        Models that ship with the project are looked at here: their headers are on this machine, and small.
        """
        key = base_key(card)
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        found = await self._read(key) or await self._builtin(card)
        if found is not None:
            self._kept[key] = found
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return found

    async def _read(self, digest: str) -> Layout | None:
        async with self._records.read() as connection:
            shapes = await connection.scalar(select(layouts.c.shapes).where(layouts.c.digest == digest))
        return None if shapes is None else {name: tuple(shape) for name, shape in shapes.items()}

    async def _builtin(self, card: Card) -> Layout | None:
        weights = card.document.spec.weights
        if weights is None or not weights.uri.startswith(_BUILTIN):
            return None
        folder = (self._builtin_root or reference_models()) / weights.uri.removeprefix(_BUILTIN).strip("/")
        try:
            return await asyncio.to_thread(layout_of, folder)
        except (InvalidRequest, OSError):
            return None


def base_key(card: Card) -> str:
    """What tells the weights of one base from another's: their digest, or their address while nobody has seen them."""
    weights, record = card.document.spec.weights, card.record
    digest = record.weights_digest if record else None
    if weights is None:
        return f"model:{card.name}"
    return weights.digest or digest or f"{weights.uri}#{card.document.spec.weights_variant or ''}"
