"""What the HTTP surface stands on. A composition root fills it; nothing in the gateway makes its own."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from serve.auth.keys import Keys
from serve.auth.links import AssetLinks
from serve.auth.people import People
from serve.auth.tenants import Tenants
from serve.catalog.adapters.bases import Bases
from serve.catalog.adapters.fetching import AdapterSources
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.catalog import Catalog
from serve.domain.names import RunId
from serve.domain.ports import Clock, DesiredState, Ids, Models
from serve.domain.serving import ScalingChange
from serve.gateway.run_limits import RunLimits
from serve.gateway.workflows.known import Knowledge
from serve.metering.budgets.wallets import Wallets
from serve.metering.prices.price_book import PriceBook
from serve.metering.rates.rates import Rates
from serve.runs.store import RunStore
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.storage.records import Records
from serve.telemetry.metrics import Metrics
from serve.telemetry.tracing import Traces
from serve.workflow.library.library import Library

_SEED_BITS = 31


async def no_changes() -> Mapping[str, Sequence[ScalingChange]]:
    """What is known where nothing scales."""
    return {}


def draw_seed() -> int:
    """A seed for a run whose caller named none: 31 bits, which every client's JSON keeps exact."""
    return secrets.randbits(_SEED_BITS)


class ChecksUrls(Protocol):
    """Knows where webhooks may go."""

    async def check_url(self, url: str) -> None:
        """Raises InvalidRequest about `webhook.url` for a URL that nothing may be sent to."""
        ...


class Downloads(Protocol):
    """Reads strangers' addresses."""

    async def download(self, url: str, *, to: BinaryIO, max_bytes: int, timeout: float, param: str) -> None:
        """Write what is there. Raises InvalidRequest about `param`, as `get` does."""
        ...

    async def get(self, url: str, *, max_bytes: int, timeout: float, param: str) -> bytes:
        """What is there. Raises InvalidRequest about `param` for what may not, cannot or need not be read."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Every part that routes call."""

    settings: Settings
    clock: Clock
    ids: Ids
    records: Records
    models: Models
    catalog: Catalog
    prices: PriceBook
    keys: Keys
    tenants: Tenants
    people: People
    runs: RunStore
    assets: Assets
    adapters: AdapterRegistry
    workflows: Library
    knowledge: Knowledge
    """What workflows may name."""
    bases: Bases
    adapter_sources: AdapterSources
    adapter_downloads: Downloads
    desired: DesiredState
    metrics: Metrics
    traces: Traces
    rates: Rates
    wallets: Wallets
    run_limits: RunLimits
    nudge: Callable[[RunId], Awaitable[None]]
    """Tells a runner of a new run. It may fail or be late: runners look for themselves."""
    fetcher: ChecksUrls
    downloads: Downloads
    links: AssetLinks
    draw_seed: Callable[[], int] = field(default=draw_seed)
    scaling_changes: Callable[[], Awaitable[Mapping[str, Sequence[ScalingChange]]]] = no_changes
    """By model the last changes of its number of replicas, the newest first."""
