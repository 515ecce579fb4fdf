"""Which served models an adapter is for: compatibility is checked, never assumed."""

from collections import OrderedDict

from serve.catalog.adapters.fit import misfit
from serve.catalog.adapters.known_layouts import KnownLayouts, base_key
from serve.catalog.adapters.modules import AdapterModule
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.adapters.stored import StoredVersion
from serve.catalog.cards import Card
from serve.domain.adapters import AdapterArchitecture
from serve.domain.errors import Unprocessable
from serve.domain.task import Family

_MAX_KEPT = 10_000


def architecture_of(card: Card) -> AdapterArchitecture | None:
    """What a model's adapters must be made for; None for a card that does not say."""
    spec = card.document.spec
    if spec.family is Family.LLM:
        return AdapterArchitecture.LANGUAGE
    try:
        return AdapterArchitecture(spec.card.base_architecture)
    except ValueError:
        return None


def check_takes_adapters(card: Card, param: str) -> None:
    """Raises Unprocessable: `adapters_not_enabled`."""
    if not card.document.spec.adapters.enabled:
        raise Unprocessable(
            f"The model {card.name!r} takes no adapters: its card says so. GET /v1/catalog lists those that do.",
            "adapters_not_enabled",
            param,
        )


def wrong_base(what: str, card: Card, why: str, param: str) -> Unprocessable:
    """A sentence with what was found and what was expected."""
    return Unprocessable(f"{what} does not fit the model {card.name!r}: {why}.", "wrong_base", param)


def wrong_architecture(found: AdapterArchitecture, card: Card) -> str | None:
    """Why an adapter of this kind cannot be used with the model; None where it may fit."""
    expected = architecture_of(card)
    if found is expected:
        return None
    own = card.document.spec.card.base_architecture
    told = _TOLD[expected] if expected else own or "a model without a baseArchitecture in its card"
    return f"it was made for {_TOLD[found]}, and {card.name} is {told}"


_TOLD = {
    AdapterArchitecture.SD15: "Stable Diffusion 1.5 (sd15)",
    AdapterArchitecture.SDXL: "Stable Diffusion XL (sdxl)",
    AdapterArchitecture.LANGUAGE: "a language model",
}


class Bases:
    """Compares adapters with bases. What was found once of a version and a base's weights is kept: neither changes."""

    def __init__(self, registry: AdapterRegistry, layouts: KnownLayouts) -> None:
        self._registry = registry
        self._layouts = layouts
        self._found: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    async def misfit(self, version: StoredVersion, card: Card) -> str | None:
        """Why a stored version cannot be used with the model, in a sentence's end; None where it can.

        While nobody has seen the model's weights, only the architecture is compared; its replica compares the rest.
        """
        if (wrong := wrong_architecture(version.facts.architecture, card)) is not None:
            return wrong
        key = (version.id, base_key(card))
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key]
        layout = await self._layouts.of(card)
        if layout is None:
            return None
        found = self._found[key] = misfit(await self._registry.modules(version.id), layout)
        while len(self._found) > _MAX_KEPT:
            self._found.popitem(last=False)
        return found

    async def misfit_of_modules(self, modules: tuple[AdapterModule, ...], card: Card) -> str | None:
        """The same for an adapter that is not stored yet, by its modules alone."""
        layout = await self._layouts.of(card)
        return None if layout is None else misfit(modules, layout)
