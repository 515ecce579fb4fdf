"""The catalogue of an installation: which model has which document, and what was learned about it.

Documents are stored once by digest and never change; `models` says which one is in force. Replicas are handed a
digest, and read the document here.

Every request needs a card, so they are kept for seconds: no request waits for the database. What this process changes
it sees at once; what others change it sees when it is told to forget, or when the seconds are over.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.catalog.cards import Card, CardRecord
from serve.domain.documents import ModelDocument
from serve.domain.errors import Conflict, NotFound
from serve.domain.ports import Clock
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import documents, models

Applied = Literal["created", "configured", "unchanged"]

BUILTIN = "builtin"
"""The manager of models that came with the installation: anyone who applies one takes it over."""


class Catalog:
    """Models by name. Cards of unchanged documents are kept, with their input classes."""

    def __init__(self, records: Records, clock: Clock, cache_seconds: float = 5.0) -> None:
        """`cache_seconds` bounds how long another process's change goes unseen."""
        self._records = records
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._by_digest: dict[str, Card] = {}
        self._cards: dict[str, Card] = {}
        self._fresh_until = 0.0
        self._epoch = 0
        self._loading = asyncio.Lock()

    def forget(self) -> None:
        """Read the cards anew when they are next asked for."""
        self._fresh_until = 0.0
        self._epoch += 1

    async def apply(self, document: ModelDocument, managed_by: str) -> Applied:
        """Make `document` the one in force.

        Raises:
            InvalidRequest: `invalid_card`.
            Conflict: `managed_elsewhere`.
        """
        made = _Applied(Card(document, document.digest()), managed_by, self._clock.now_ms())
        try:
            return await self._apply(made)
        finally:
            self.forget()

    async def check(self, document: ModelDocument, managed_by: str) -> None:
        """Raise what `apply` would, and change nothing."""
        Card(document, document.digest())
        async with self._records.read() as connection:
            found = await connection.scalar(select(models.c.managed_by).where(models.c.name == document.name))
        if found not in (None, managed_by, BUILTIN):
            raise _managed_elsewhere(document.name, found)

    async def _apply(self, made: "_Applied") -> Applied:
        async with self._records.write() as connection:
            await _store(connection, made)
            if await _create(connection, made):
                return "created"
            before = await _row(connection, made.card.name)
            if before.managed_by not in (made.managed_by, BUILTIN):
                raise _managed_elsewhere(made.card.name, before.managed_by)
            return await _configure(connection, made, before)

    async def install(self, document: ModelDocument) -> Applied:
        """Put a built-in model in place, unless someone has applied their own under its name."""
        try:
            return await self.apply(document, BUILTIN)
        except Conflict:
            return "unchanged"

    async def delete(self, name: str, managed_by: str) -> None:
        """Remove a model. Raises NotFound, Conflict."""
        self.forget()
        async with self._records.write() as connection:
            before = await _row(connection, name)
            if before.managed_by not in (managed_by, BUILTIN):
                raise _managed_elsewhere(name, before.managed_by)
            await connection.execute(delete(models).where(models.c.name == name))
        self.forget()

    async def cards(self) -> dict[str, Card]:
        """Every card, by name."""
        return dict(await self._current())

    async def card(self, name: str) -> Card:
        """Raises NotFound: `model_not_found`."""
        found = (await self._current()).get(name)
        if found is None:
            raise _unknown(name)
        return found

    async def _current(self) -> dict[str, Card]:
        """The cards, read if they are not fresh; who comes while they are read waits for that one reading."""
        if self._clock.monotonic() < self._fresh_until:
            return self._cards
        async with self._loading:
            if self._clock.monotonic() >= self._fresh_until:
                epoch = self._epoch
                self._cards = await self._read()
                self._by_digest = {card.digest: card for card in self._cards.values()}
                if epoch == self._epoch:
                    self._fresh_until = self._clock.monotonic() + self._cache_seconds
            return self._cards

    async def _read(self) -> dict[str, Card]:
        query = (
            select(models, documents.c.body)
            .join(documents, documents.c.digest == models.c.digest)
            .order_by(models.c.name)
        )
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).all()
        return {row.name: self._card(row) for row in rows}

    def _card(self, row: Row[Any]) -> Card:
        known = self._by_digest.get(row.digest)
        if known is None:
            known = self._by_digest[row.digest] = Card(ModelDocument.model_validate_json(row.body), row.digest)
        return known.with_record(
            CardRecord(
                generation=row.generation,
                managed_by=row.managed_by,
                created_ms=row.created_ms,
                updated_ms=row.updated_ms,
                weights_digest=row.weights_digest,
                cold_start_seconds=row.cold_start_seconds,
            )
        )

    async def document(self, digest: str) -> ModelDocument:
        """A document by digest, in force or not. Raises NotFound."""
        async with self._records.read() as connection:
            body = await connection.scalar(select(documents.c.body).where(documents.c.digest == digest))
        if body is None:
            raise NotFound(f"there is no document {digest}", "document_not_found")
        return ModelDocument.model_validate_json(body)

    async def record_cold_start(self, name: str, seconds: float) -> None:
        """Keep how long the last start took. A model that is gone is no error."""
        async with self._records.write() as connection:
            await connection.execute(update(models).where(models.c.name == name).values(cold_start_seconds=seconds))
        self.forget()

    async def record_weights(self, name: str, digest: str) -> str:
        """Keep the digest that the address resolved to, the first time; gives the one that is kept.

        Raises:
            NotFound: `model_not_found`.
        """
        async with self._records.write() as connection:
            first = models.c.weights_digest.is_(None) & (models.c.name == name)
            await connection.execute(update(models).where(first).values(weights_digest=digest))
            kept = str((await _row(connection, name)).weights_digest)
        self.forget()
        return kept


@dataclass(frozen=True, slots=True)
class _Applied:
    """A document on its way in."""

    card: Card
    managed_by: str
    now_ms: int


async def _store(connection: AsyncConnection, made: _Applied) -> None:
    row = {
        "digest": made.card.digest,
        "kind": made.card.document.kind,
        "body": made.card.document.canonical().decode(),
        "created_ms": made.now_ms,
    }
    await insert_if_absent(connection, documents, row)


async def _create(connection: AsyncConnection, made: _Applied) -> bool:
    """Whether the row is new. Of two who create it at the same time the second finds it."""
    row = {
        "name": made.card.name,
        "digest": made.card.digest,
        "generation": 1,
        "managed_by": made.managed_by,
        "created_ms": made.now_ms,
        "updated_ms": made.now_ms,
    }
    return await insert_if_absent(connection, models, row)


async def _row(connection: AsyncConnection, name: str) -> Row[Any]:
    row = (await connection.execute(select(models).where(models.c.name == name).with_for_update())).one_or_none()
    if row is None:
        raise _unknown(name)
    return row


async def _configure(connection: AsyncConnection, made: _Applied, before: Row[Any]) -> Applied:
    """The row that is there, brought to the new document. Other weights are other bytes: their digest is forgotten."""
    is_same = before.digest == made.card.digest
    if is_same and before.managed_by == made.managed_by:
        return "unchanged"
    body = await connection.scalar(select(documents.c.body).where(documents.c.digest == before.digest))
    old, new = ModelDocument.model_validate_json(str(body)).spec, made.card.document.spec
    keeps = (old.weights, old.weights_variant) == (new.weights, new.weights_variant)
    changes = {
        "digest": made.card.digest,
        "generation": before.generation + (not is_same),
        "managed_by": made.managed_by,
        "updated_ms": made.now_ms,
        "weights_digest": before.weights_digest if keeps else None,
    }
    await connection.execute(update(models).where(models.c.name == before.name).values(changes))
    return "unchanged" if is_same else "configured"


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no model {name[:80]!r}. GET /v1/models lists them.", "model_not_found", "model")


def _managed_elsewhere(name: str, manager: str) -> Conflict:
    return Conflict(
        f"the model {name} is managed by {manager}; change it there, or delete it there first", "managed_elsewhere"
    )
