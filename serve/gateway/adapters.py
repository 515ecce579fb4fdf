"""From the adapters that a caller names to immutable ids: known to the caller, allowed by the card, made for the base.

What was read of a name is trusted for `cache_seconds`. The key of what is kept has the caller's tenant, and only what
this tenant may use is kept: another tenant's adapter is looked for, and not found, exactly as an unknown one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from serve.catalog.adapters.bases import check_takes_adapters, wrong_architecture, wrong_base
from serve.catalog.adapters.known_layouts import base_key
from serve.catalog.adapters.registry import unknown_adapter
from serve.catalog.adapters.stored import StoredAdapter
from serve.catalog.cards import Card
from serve.domain.adapters import AdapterArchitecture, AdapterReference
from serve.domain.errors import InvalidRequest, NotFound, Unprocessable
from serve.domain.generation import AdapterUse
from serve.domain.names import TenantName
from serve.domain.run import RunAdapter
from serve.gateway.adapter_choices import Chosen
from serve.gateway.services import Services

_MAX_KEPT = 10_000
_MAX_LISTED = 1000

_Key = tuple[TenantName, TenantName, str, str | None]


@dataclass(frozen=True, slots=True)
class _Kept:
    adapter: StoredAdapter
    ends: float


class AdapterLookup:
    """Resolves and remembers; one per gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._epoch = 0

    def forget(self) -> None:
        """Read everything anew: something was changed through this gateway."""
        self._epoch += 1
        self._kept.clear()

    async def uses(self, reader: TenantName, card: Card, wanted: Sequence[Chosen]) -> tuple[AdapterUse, ...]:
        """The adapters of a call.

        Raises:
            InvalidRequest: too_many_adapters, duplicate_adapter. NotFound: adapter_not_found.
            Unprocessable: adapters_not_enabled, wrong_base, adapter_rank. Each with the field that names the adapter.
        """
        if not wanted:
            return ()
        check_takes_adapters(card, wanted[0].param)
        if len(wanted) > (most := card.document.spec.adapters.max_per_call):
            raise InvalidRequest(
                f"The model {card.name!r} takes {most} adapters in one call, and this one names {len(wanted)}.",
                "too_many_adapters",
                "adapters",
            )
        found = await asyncio.gather(*(self._one(reader, card, one) for one in wanted))
        _check_different(found, wanted)
        return tuple(found)

    async def run_adapters(self, reader: TenantName, card: Card, wanted: Sequence[Chosen]) -> tuple[RunAdapter, ...]:
        """The same, as a run's row keeps them."""
        uses = await self.uses(reader, card, wanted)
        return tuple(RunAdapter.model_validate({"id": use.id, "scale": use.scale}) for use in uses)

    async def _one(self, reader: TenantName, card: Card, wanted: Chosen) -> AdapterUse:
        adapter = await self._find(reader, wanted.reference)
        if adapter is None:
            tenant = wanted.reference.tenant or reader
            error = unknown_adapter(tenant, wanted.reference.name, wanted.reference.digest)
            raise NotFound(error.message, error.code, wanted.param)
        if (why := await self._services.bases.misfit(adapter.version, card)) is not None:
            raise wrong_base(f"The adapter {adapter.tenant}/{adapter.name}", card, why, wanted.param)
        _check_rank(adapter, card, wanted.param)
        scale = adapter.default_scale if wanted.scale is None else wanted.scale
        return AdapterUse(adapter.version.id, scale)

    async def _find(self, reader: TenantName, reference: AdapterReference) -> StoredAdapter | None:
        owner, now = reference.tenant or reader, self._services.clock.monotonic()
        key = (reader, owner, reference.name, reference.digest)
        kept = self._kept.get(key)
        if kept is not None and now < kept.ends:
            self._kept.move_to_end(key)
            return kept.adapter
        epoch = self._epoch
        found = await self._services.adapters.find(reader, owner, reference.name, reference.digest)
        if found is None:
            self._kept.pop(key, None)
        elif epoch == self._epoch:  # what was read before a change in this process must not be kept after it
            self._kept[key] = _Kept(found, now + self._services.settings.adapters.cache_seconds)
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return found

    async def listed(self, reader: TenantName, cards: Iterable[Card]) -> list[tuple[str, Card, StoredAdapter]]:
        """What the tenant may write as a model with an adapter: (address, base, adapter), by base and adapter."""
        bases = [card for card in cards if card.document.spec.adapters.enabled]
        if not bases:
            return []
        adapters = await self._services.adapters.list(reader, limit=_MAX_LISTED)
        return [
            (f"{card.name}:{shown_name(adapter, reader)}", card, adapter)
            for card in bases
            for adapter in adapters
            if _may_fit(adapter, card)
        ]

    async def address_of(self, reader: TenantName, card: Card, wanted: Chosen) -> StoredAdapter:
        """The adapter of one address, checked as for a call. Raises what `uses` does."""
        await self.uses(reader, card, [wanted])
        found = await self._find(reader, wanted.reference)
        if found is None:
            raise unknown_adapter(wanted.reference.tenant or reader, wanted.reference.name, wanted.reference.digest)
        return found


def shown_name(adapter: StoredAdapter, reader: TenantName) -> str:
    """How this tenant writes the adapter."""
    return adapter.name if adapter.tenant == reader else f"{adapter.tenant}/{adapter.name}"


def _may_fit(adapter: StoredAdapter, card: Card) -> bool:
    """By what was written down when it was stored: a list must not read every adapter's modules."""
    version = adapter.version
    return wrong_architecture(version.facts.architecture, card) is None and base_key(card) not in version.misfits


def _check_rank(adapter: StoredAdapter, card: Card, param: str) -> None:
    """A language model's batch has room for so much. An image model paints larger ones in a lane of their own."""
    facts, most = adapter.version.facts, card.document.spec.adapters.max_rank
    if facts.architecture is AdapterArchitecture.LANGUAGE and facts.rank > most:
        raise Unprocessable(
            f"The adapter {adapter.tenant}/{adapter.name} has rank {facts.rank}, and {card.name!r} takes {most} at the "
            "most. Train it with a lower rank, or ask an administrator to raise the card's adapters.maxRank.",
            "adapter_rank",
            param,
        )


def _check_different(found: Sequence[AdapterUse], wanted: Sequence[Chosen]) -> None:
    seen: Mapping[str, str] = {}
    for use, one in zip(found, wanted, strict=True):
        if use.id in seen:
            raise InvalidRequest(
                f"{one.param} names the adapter that {seen[use.id]} names. Name it once, with the scale you want.",
                "duplicate_adapter",
                one.param,
            )
        seen = {**seen, use.id: one.param}
