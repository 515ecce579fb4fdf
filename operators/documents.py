"""Writing documents to the platform, beside the passes: it may fetch gigabytes of an adapter before it answers."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from operators.metrics import OperatorMetrics
from operators.platform_api import PlatformApi, PlatformAway
from operators.settings import OperatorSettings
from operators.state import ApiAction, Catalogue, Refusal, Verb
from serve.auth.tokens import admin_token

logger = logging.getLogger(__name__)

Transport = Callable[[str], httpx.AsyncBaseTransport | None]
"""What carries requests to a URL; None: the network."""


class Documents:
    """The platform's side of a pass: what it has, what is being written to it, and what it has refused."""

    def __init__(
        self,
        settings: OperatorSettings,
        metrics: OperatorMetrics,
        on_change: Callable[[], None],
        transport: Transport = lambda url: None,
    ) -> None:
        """`on_change` is called when something was written: it is time for another pass."""
        self._settings = settings
        self._metrics = metrics
        self._on_change = on_change
        self._transport = transport
        self._connection: tuple[tuple[str, str], PlatformApi] | None = None
        self._refusals: dict[tuple[str, str], Refusal] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        """By kind. Models are written alone and first: adapters are checked against them."""

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The last refusal of each document. It holds for the digest that it names."""
        return tuple(self._refusals.values())

    def forget_refusals(self) -> None:
        """Try everything again: what was missing may be there by now."""
        self._refusals.clear()

    async def close(self) -> None:
        """Stop writing and close the connection."""
        for task in self._writing.values():
            task.cancel()
        await asyncio.gather(*self._writing.values(), return_exceptions=True)
        await self._disconnect()

    async def settle(self) -> None:
        """Wait until what is under way is done."""
        await asyncio.gather(*self._writing.values())

    async def catalogue(self, url: str, tenant: str) -> Catalogue:
        """What the platform at `url` has."""
        try:
            api = await self._connect(url)
        except (OSError, ValueError) as error:
            catalogue = Catalogue(message=f"The admin key cannot be read from {self._settings.admin_file}: {error}")
        else:
            catalogue = await api.catalogue(tenant)
        self._metrics.platform_up.set(catalogue.is_answering)
        return catalogue

    def write(self, actions: Sequence[ApiAction], tenant: str) -> None:
        """Begin to write; what comes of it, the next pass sees. What waits for another write is left to that pass."""
        if self._connection is None:
            return
        api = self._connection[1]
        awaits_models = any(action.kind == "Model" and action.verb is Verb.APPLY for action in actions)
        for kind in dict.fromkeys(action.kind for action in actions):
            under_way = self._writing.get(kind)
            if (kind != "Model" and awaits_models) or (under_way is not None and not under_way.done()):
                continue
            chosen = [action for action in actions if action.kind == kind]
            self._writing[kind] = asyncio.create_task(self._write(api, kind, chosen, tenant))

    async def _write(self, api: PlatformApi, kind: str, actions: Sequence[ApiAction], tenant: str) -> None:
        lane = asyncio.Semaphore(self._settings.num_parallel_writes)
        done = await asyncio.gather(
            *(self._write_one(api, action, tenant, lane) for action in actions), return_exceptions=True
        )
        if any(one is None for one in done):
            self._reconsider(kind)
        away = [error for error in done if isinstance(error, PlatformAway)]
        for error in done:
            if isinstance(error, Exception) and not isinstance(error, PlatformAway):
                logger.error("documents could not be written", exc_info=error)
        if away:
            logger.warning("the platform takes no documents now", extra={"kind": kind, "error": away[0].message})
            await asyncio.sleep(min(away[0].retry_after_seconds or 0, self._settings.max_backoff_seconds))
        else:
            self._on_change()

    def _reconsider(self, kind: str) -> None:
        """What was refused for the lack of something of this kind may be taken now."""
        later = {"Model": ("Adapter", "Workflow"), "Adapter": ("Workflow",)}.get(kind, ())
        self._refusals = {key: refusal for key, refusal in self._refusals.items() if refusal.kind not in later}

    async def _write_one(
        self, api: PlatformApi, action: ApiAction, tenant: str, lane: asyncio.Semaphore
    ) -> Refusal | None:
        async with lane:
            try:
                refusal = await api.execute(action, tenant)
            except PlatformAway:
                self._metrics.documents.labels(action.kind, action.verb, "away").inc()
                raise
        self._metrics.documents.labels(action.kind, action.verb, "refused" if refusal else "done").inc()
        fields = {"kind": action.kind, "document": action.name, "verb": action.verb, "reason": action.reason}
        if refusal is None:
            self._refusals.pop((action.kind, action.name), None)
            logger.info("document written", extra=fields)
        else:
            self._refusals[action.kind, action.name] = refusal
            logger.warning("document refused", extra=fields | {"code": refusal.code, "error": refusal.message})
        return refusal

    async def _connect(self, url: str) -> PlatformApi:
        """The connection to `url` with the key that the file has now."""
        target = (url, admin_token(_read(self._settings.admin_file)).text)
        if self._connection is not None and self._connection[0] == target:
            return self._connection[1]
        await self._disconnect()
        self._connection = (target, PlatformApi(*target, transport=self._transport(url)))
        return self._connection[1]

    async def _disconnect(self) -> None:
        if self._connection is not None:
            (_, api), self._connection = self._connection, None
            await api.close()


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
