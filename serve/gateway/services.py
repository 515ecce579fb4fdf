"""What the HTTP surface stands on. A composition root fills it; nothing in the gateway makes its own."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from serve.auth.keys import Keys
from serve.auth.tenants import Tenants
from serve.catalog.catalog import Catalog
from serve.domain.names import RunId
from serve.domain.ports import Clock, DesiredState, Ids, Models
from serve.runs.store import RunStore
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.telemetry.metrics import Metrics

_SEED_BITS = 31


def draw_seed() -> int:
    """A seed for a run whose caller named none: 31 bits, which every client's JSON keeps exact."""
    return secrets.randbits(_SEED_BITS)


@dataclass(frozen=True, slots=True)
class Services:
    """Every part that routes call."""

    settings: Settings
    clock: Clock
    ids: Ids
    models: Models
    catalog: Catalog
    keys: Keys
    tenants: Tenants
    runs: RunStore
    assets: Assets
    desired: DesiredState
    metrics: Metrics
    nudge: Callable[[RunId], Awaitable[None]]
    """Tells a runner of a new run. It may fail or be late: runners look for themselves."""
    check_webhook_url: Callable[[str], Awaitable[None]]
    """Raises InvalidRequest for a URL that webhooks may not be sent to."""
    check_ready: Callable[[], Awaitable[None]]
    """Raises when the database does not answer."""
    draw_seed: Callable[[], int] = field(default=draw_seed)
