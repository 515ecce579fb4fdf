"""What the HTTP surface stands on. A composition root fills it; nothing in the gateway makes its own."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from serve.auth.keys import Keys
from serve.auth.links import AssetLinks
from serve.auth.tenants import Tenants
from serve.catalog.adapters.bases import Bases
from serve.catalog.adapters.fetching import AdapterSources
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.catalog import Catalog
from serve.domain.names import KeyId, ProjectName, RunId, TenantName
from serve.domain.ports import Clock, DesiredState, Ids, Models
from serve.domain.usage import HoldId
from serve.metering.price_book import PriceBook
from serve.metering.rates import Rates
from serve.runs.store import RunStore
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.storage.records import Records
from serve.telemetry.metrics import Metrics
from serve.telemetry.tracing import Traces

_SEED_BITS = 31


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


class Reserved(Protocol):
    """What a call may cost, out of a gateway's slice of its budgets."""

    @property
    def hold(self) -> HoldId:
        """The slice."""
        ...

    def settle(self, nano: int | None) -> None:
        """The call has ended and cost `nano`; None where that is not known here."""
        ...


class SpendsBudgets(Protocol):
    """Lets calls and runs cost something; None where no budget asks."""

    async def reserve(self, tenant: TenantName, project: ProjectName, key_id: KeyId, nano: int) -> Reserved | None:
        """For a call. Raises QuotaExceeded."""
        ...

    async def hold_for_run(
        self, tenant: TenantName, project: ProjectName, key_id: KeyId, run_id: RunId, nano: int
    ) -> HoldId | None:
        """For a run, until it is booked. Raises QuotaExceeded."""
        ...

    async def drop_run_hold(self, hold: HoldId) -> None:
        """The run did not come to be."""
        ...


class Unbudgeted:
    """No budget asks for anything."""

    async def reserve(self, tenant: TenantName, project: ProjectName, key_id: KeyId, nano: int) -> None:
        return None

    async def hold_for_run(
        self, tenant: TenantName, project: ProjectName, key_id: KeyId, run_id: RunId, nano: int
    ) -> None:
        return None

    async def drop_run_hold(self, hold: HoldId) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Services:
    """Every part that routes call."""

    settings: Settings
    clock: Clock
    ids: Ids
    records: Records
    models: Models
    catalog: Catalog
    keys: Keys
    tenants: Tenants
    runs: RunStore
    assets: Assets
    adapters: AdapterRegistry
    bases: Bases
    adapter_sources: AdapterSources
    adapter_downloads: Downloads
    desired: DesiredState
    metrics: Metrics
    traces: Traces
    rates: Rates
    nudge: Callable[[RunId], Awaitable[None]]
    """Tells a runner of a new run. It may fail or be late: runners look for themselves."""
    fetcher: ChecksUrls
    downloads: Downloads
    links: AssetLinks
    draw_seed: Callable[[], int] = field(default=draw_seed)
    wallets: SpendsBudgets = field(default_factory=Unbudgeted)
