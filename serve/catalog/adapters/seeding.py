"""The adapters that ship with the project, put in place when the installation starts; checked like anyone's."""

import asyncio
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

from serve.catalog.adapters.bases import architecture_of, wrong_architecture
from serve.catalog.adapters.fetching import AdapterSources
from serve.catalog.adapters.fit import misfit
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.packing import PackedAdapter, pack
from serve.catalog.adapters.registry import AdapterRegistry, NewVersion
from serve.catalog.adapters.stored import Words
from serve.catalog.builtin import builtin_adapters
from serve.catalog.cards import Card
from serve.catalog.catalog import BUILTIN
from serve.domain.documents import AdapterDocument
from serve.domain.errors import Conflict, SlipwayError
from serve.domain.names import TenantName

_log = logging.getLogger(__name__)
_URI = "spec.weights.uri"


class AdapterSeeding:
    """Installs them for one tenant. What somebody has put under such a name stays."""

    def __init__(
        self, registry: AdapterRegistry, layouts: KnownLayouts, sources: AdapterSources, tenant: TenantName
    ) -> None:
        self._registry = registry
        self._layouts = layouts
        self._sources = sources
        self._tenant = tenant

    async def install(self, cards: Iterable[Card], max_bytes: int) -> list[str]:
        """Those of the models that are served and take adapters; answers their names.

        One that is not there, or is refused, is told in the log: an installation starts without it.
        """
        installed = []
        for card in cards:
            if not card.document.spec.adapters.enabled:
                continue
            for document in builtin_adapters(card.name):
                if await self._is_installed(document, card, max_bytes):
                    installed.append(document.name)
        return installed

    async def _is_installed(self, document: AdapterDocument, card: Card, max_bytes: int) -> bool:
        uri = document.spec.weights.uri
        if not self._sources.builtin_folder(uri).is_dir():
            _log.warning("the adapter %s is not part of this installation: %s is missing", document.name, uri)
            return False
        try:
            await self._install(document, card, max_bytes)
        except Conflict:
            return False
        except SlipwayError as error:
            _log.warning("the adapter %s was not put in place: %s", document.name, error)
            return False
        return True

    async def _install(self, document: AdapterDocument, card: Card, max_bytes: int) -> None:
        with tempfile.TemporaryDirectory(prefix="slipway-adapter-") as folder:
            packed = await asyncio.to_thread(self._packed, document, card, Path(folder), max_bytes)
            await self._check(packed, card)
            new = NewVersion(
                tenant=self._tenant,
                name=document.name,
                digest=packed.digest,
                folder=packed.folder,
                files=packed.files,
                contents=packed.contents,
                base=document.spec.base,
            )
            spec = document.spec
            trigger_words = spec.trigger_words or packed.contents.facts.trigger_words
            words = Words(spec.title, spec.description, trigger_words, spec.default_scale, spec.shared_with)
            shown = document.model_dump(mode="json", by_alias=True)
            await self._registry.add(new, words, managed_by=BUILTIN, document=shown)

    def _packed(self, document: AdapterDocument, card: Card, folder: Path, max_bytes: int) -> PackedAdapter:
        received = folder / "received"
        received.mkdir()
        uri = document.spec.weights.uri
        parts = self._sources.fetch(uri, received, max_bytes, is_admin=True, param=_URI)
        return pack(parts, folder / "packed", max_bytes, architecture_of(card))

    async def _check(self, packed: PackedAdapter, card: Card) -> None:
        layout = await self._layouts.of(card)
        why = wrong_architecture(packed.contents.facts.architecture, card)
        why = why or (None if layout is None else misfit(packed.contents.modules, layout))
        if why is not None:
            raise SlipwayError(f"it does not fit {card.name}: {why}", "wrong_base")
