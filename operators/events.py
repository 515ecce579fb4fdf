"""Kubernetes events: what the operator did to an object and why, where `kubectl describe` shows it.

An event that says the same of the same object within ten minutes is not sent again; after that it goes on as the next
of a series. They are courtesy: one that cannot be written stops nothing.
"""

import hashlib
import logging
import os
from datetime import UTC, datetime
from typing import Literal

from operators.cluster import Cluster, ClusterError
from operators.state import Manifest, ObjectKey
from serve.domain.ports import Clock

logger = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
_QUIET_SECONDS = 600.0
_MAX_NOTE_BYTES = 1024
_MAX_REMEMBERED = 10_000


class Events:
    """Writes events about objects of one namespace."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._instance = os.environ.get("HOSTNAME", "slipway-operator")[:128]
        self._sent: dict[str, tuple[float, int]] = {}
        """By the event's name: when it was sent last, and how many times."""

    async def record(self, about: Manifest, reason: str, note: str, kind: EventType = "Normal") -> None:
        """Say once that `reason` befell the object `about`, which has at least a kind, a name and a uid."""
        name = _name(about, reason, note)
        now = self._clock.monotonic()
        last, count = self._sent.get(name, (0.0, 0))
        if count and now - last < _QUIET_SECONDS:
            return
        try:
            await self._send(name, about, reason, note, kind, count + 1)
        except ClusterError as error:
            logger.warning("event not written", extra={"reason": reason, "error": str(error)})
            return
        if len(self._sent) >= _MAX_REMEMBERED:
            self._sent.clear()
        self._sent[name] = (now, count + 1)

    async def _send(self, name: str, about: Manifest, reason: str, note: str, kind: EventType, count: int) -> None:
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if count > 1 and await self._continue(name, count, moment):
            return
        try:
            await self._cluster.create(self._event(name, about, reason, note, kind, moment))
        except ClusterError as error:
            if error.status != 409:
                raise
            # Sent before this process started: go on with its series.
            await self._continue(name, max(count, 2), moment)

    async def _continue(self, name: str, count: int, moment: str) -> bool:
        """Count an event up; False where the server has forgotten it: events are kept for an hour."""
        series = {"series": {"count": count, "lastObservedTime": moment}}
        try:
            await self._cluster.patch(ObjectKey("events.k8s.io/v1", "Event", name), series)
        except ClusterError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _event(self, name: str, about: Manifest, reason: str, note: str, kind: EventType, moment: str) -> Manifest:
        metadata = about["metadata"]
        regarding = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": self._cluster.namespace,
            "uid": metadata.get("uid", ""),
        }
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": self._cluster.namespace},
            "eventTime": moment,
            "reportingController": "slipway.dev/operator",
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": kind,
            "reason": reason[:128],
            "note": note.encode()[:_MAX_NOTE_BYTES].decode(errors="ignore"),
            "regarding": regarding,
        }


def _name(about: Manifest, reason: str, note: str) -> str:
    metadata = about["metadata"]
    said = "\0".join((about["kind"], metadata.get("uid", ""), reason, note))
    return f"{metadata['name'][:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
