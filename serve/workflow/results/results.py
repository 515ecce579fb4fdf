"""Kept results, as planning and execution ask for them; `serve.workflow.results.result_store` keeps them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from serve.domain.names import RunId, TenantName


@dataclass(frozen=True, slots=True)
class Kept:
    """A result. `outputs` are by port, as `serve.workflow.values` writes them. `run_id` and `label` say who made it."""

    key: str
    outputs: Mapping[str, Any]
    run_id: RunId
    label: str


class Results(Protocol):
    """The kept results of every tenant; one tenant never sees another's."""

    async def known(self, tenant: TenantName, keys: Collection[str]) -> frozenset[str]:
        """Which of `keys` have a result whose assets are there still. One query, whatever their number."""
        ...

    async def take(self, tenant: TenantName, project: str, keys: Collection[str], run_id: RunId) -> Mapping[str, Kept]:
        """The results of `keys`, for this run: their assets are the run's own from now on, under new ids."""
        ...

    async def keep(self, tenant: TenantName, results: Sequence[Kept]) -> None:
        """Keep what a run has made; one that is there already stays. Fails silently: nothing depends on it."""
        ...


class MemoryResults:
    """Implements `Results` for one process, while it lives. Assets stay those of the run that made them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[TenantName, str], Kept] = {}

    async def known(self, tenant: TenantName, keys: Collection[str]) -> frozenset[str]:
        """See `Results`."""
        return frozenset(key for key in keys if (tenant, key) in self._kept)

    async def take(self, tenant: TenantName, project: str, keys: Collection[str], run_id: RunId) -> Mapping[str, Kept]:
        """See `Results`."""
        return {key: self._kept[tenant, key] for key in keys if (tenant, key) in self._kept}

    async def keep(self, tenant: TenantName, results: Sequence[Kept]) -> None:
        """See `Results`."""
        for one in results:
            self._kept.setdefault((tenant, one.key), one)
