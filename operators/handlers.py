"""What wakes the operator: kopf's watches. They feed the memory; deciding and doing is the passes'.

kopf would mark objects with finalizers and annotations of its own if it handled changes; it only watches, so it writes
nothing. It looks for neither new kinds nor namespaces, and asks nothing of other operators: a second one does the same
as the first, by applies that are the same.
"""

from typing import Any

import kopf

from operators.cluster import is_outside
from operators.metrics import OperatorMetrics
from operators.permissions import Permission
from operators.reader import SELECTORS, watched
from operators.reconciling import Reconciler
from operators.state import Manifest

_SERVER_SECONDS = 240.0
"""A watch is closed by the server after this, and begun anew where it ended."""


def watch_settings(rows: tuple[Permission, ...]) -> kopf.OperatorSettings:
    """kopf's settings for an operator that watches `rows` and no more."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.server_timeout = _SERVER_SECONDS
    settings.watching.client_timeout = _SERVER_SECONDS + 30
    settings.watching.inactivity_timeout = _SERVER_SECONDS + 30
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 0.5
    for row in rows:
        if row.kind in SELECTORS:
            version = row.api_version.rpartition("/")[2]
            settings.watching.label_selectors[row.group, version, row.resource] = SELECTORS[row.kind]
    return settings


def watch_registry(reconciler: Reconciler, metrics: OperatorMetrics) -> kopf.OperatorRegistry:
    """kopf's registry with one handler for each kind that the cluster serves."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry, id="login")(_login)
    for row in watched(reconciler.reader.kinds):
        version = row.api_version.rpartition("/")[2]
        handler = Watch(row, reconciler, metrics)
        kopf.on.event(row.group, version, row.resource, registry=registry, id=row.resource)(handler.see)
    return registry


class Watch:
    """Takes in what is told of one kind."""

    def __init__(self, row: Permission, reconciler: Reconciler, metrics: OperatorMetrics) -> None:
        self._row = row
        self._reconciler = reconciler
        self._metrics = metrics
        self._seen: set[str] = set()
        """Uids of objects that were told of since the watch began, or began anew."""

    async def see(self, event: kopf.RawEvent, **_: Any) -> None:
        """One event: an object as it is listed (no type), added, modified or deleted."""
        kind = event["type"]
        manifest: Manifest = {"apiVersion": self._row.api_version, "kind": self._row.kind} | dict(event["object"])
        self._metrics.watch_events.labels(self._row.kind).inc()
        memory = self._reconciler.reader.memory
        self._notice(manifest["metadata"]["uid"], is_listed=kind is None)
        if memory.remove(manifest) if kind == "DELETED" else memory.put(manifest):
            self._reconciler.wake()

    def _notice(self, uid: str, is_listed: bool) -> None:
        """An object that is known and listed all the same: the watch broke, and began anew."""
        if is_listed and uid in self._seen:
            self._seen.clear()
            self._reconciler.distrust()
        self._seen.add(uid)


def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """The same cluster that `operators.cluster.open_api` goes to."""
    return kopf.login_with_kubeconfig(**arguments) if is_outside() else kopf.login_with_service_account(**arguments)
