"""Carrying out what was decided, against the Kubernetes API."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from operators.cluster import Cluster, ClusterError
from operators.events import Events
from operators.metrics import OperatorMetrics
from operators.planning.plan import Event
from operators.reader import Memory
from operators.settings import OperatorSettings
from operators.state import Action, Manifest, ObjectKey, Refusal, Verb, World
from serve.domain.ports import Clock

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 60.0
"""Before what the API server refused is tried again as it is."""
_CHANGED = 409
"""Another one wrote, or has the name: the next pass sees what there is now."""
_GONE = 404
_FAILED_INSIDE = 500
"""What the server says when a webhook does not answer, or an object is too large for its store: it goes on answering
everything else."""


class Executor:
    """Does the actions of one pass at a time, and remembers what was refused."""

    def __init__(
        self,
        cluster: Cluster,
        memory: Memory,
        events: Events,
        settings: OperatorSettings,
        clock: Clock,
        metrics: OperatorMetrics,
    ) -> None:
        self._cluster = cluster
        self._memory = memory
        self._events = events
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._refused: dict[str, tuple[float, ObjectKey, ClusterError]] = {}
        """By the digest of a write: when it may be tried again, and what was said against it."""
        self._made: dict[ObjectKey, tuple[str, str]] = {}
        """By object: the apply that was done last, and what the server made of it, both as digests."""
        self._said: dict[str, tuple[Manifest, Manifest]] = {}
        """By uid: the status that was written last, and what the server made of it."""
        self.num_writes = 0
        self.num_put_off = 0
        """Writes of this pass that another one's came before, or that the server failed at."""
        self.unsettled_kinds = set[str]()
        """Kinds with an object that this pass wrote to, or would have."""

    def begin(self) -> None:
        """A pass begins."""
        self.num_writes = self.num_put_off = 0
        self.unsettled_kinds = set()
        now = self._clock.monotonic()
        self._refused = {write: entry for write, entry in self._refused.items() if entry[0] > now}

    def forget_refusals(self) -> None:
        """Try everything again."""
        self._refused.clear()
        self._made.clear()

    def refusals(self, world: World) -> tuple[Refusal, ...]:
        """What was refused of a Platform's children, as told of the Platform."""
        if world.platform is None:
            return ()
        document = world.platform.document
        return tuple(
            Refusal(
                "Platform", document.name, document.digest(), error.reason, f"{key.kind} {key.name}: {error.message}"
            )
            for _, key, error in self._refused.values()
            if key.kind != "Model"
        )

    @property
    def num_refused(self) -> int:
        """Writes that the API server says no to."""
        return len(self._refused)

    async def execute(self, actions: Iterable[Action]) -> None:
        """Do the actions in order. One that is refused does not keep the others from being done.

        Raises:
            ClusterError: the API server is away, or overwhelmed.
        """
        for action in actions:
            write = _digest(action)
            if await self._is_in_vain(action, write):
                continue
            self.unsettled_kinds.add(action.key.kind)
            if write not in self._refused:
                await self._do(action, write)

    async def _is_in_vain(self, action: Action, write: str) -> bool:
        """Whether a webhook makes of this apply what is there already, which is not what was asked for."""
        live = self._memory.of(action.key.kind).get(action.key.name)
        if live is None or self._made.get(action.key) != (write, _content(live)):
            return False
        told = f"{action.key.kind} {action.key.name} is not as it was applied: a webhook changes it on its way."
        await self._events.record(live, "NotAsApplied", f"{told} {action.reason}", "Warning")
        return True

    async def _do(self, action: Action, write: str) -> None:
        about = self._memory.of(action.key.kind).get(action.key.name)
        try:
            about = await self._send(action) or about
        except ClusterError as error:
            self._count(action.key.kind, action.verb, error)
            if not _is_no(error) and error.status != _FAILED_INSIDE:
                raise
            await self._refuse(action, write, error, about)
            return
        self._count(action.key.kind, action.verb)
        fields = {"kind": action.key.kind, "object": action.key.name, "verb": action.verb, "reason": action.reason}
        logger.info("object written", extra=fields)
        if action.event and about is not None:
            await self._events.record(about, action.event, action.reason)

    async def _send(self, action: Action) -> Manifest | None:
        self.num_writes += 1
        if action.verb is Verb.DELETE:
            return await self._delete(action)
        if action.verb is Verb.APPLY:
            made = await self._cluster.apply(action.body)
            self._made[action.key] = (_digest(action), _content(made))
        else:
            made = await self._cluster.patch(action.key, action.body)
        self._memory.put(made)
        return made

    async def _delete(self, action: Action) -> Manifest | None:
        gone = self._memory.of(action.key.kind).get(action.key.name)
        ending = await self._cluster.delete(action.key, action.uid)
        if ending is not None:
            self._memory.put(ending)
        elif gone is not None:
            self._memory.remove(gone)
        return gone

    async def _refuse(self, action: Action, write: str, error: ClusterError, about: Manifest | None) -> None:
        if error.status == _CHANGED or (error.status == _GONE and action.verb is Verb.PATCH):
            self.num_put_off += 1
            return
        is_no = _is_no(error)
        self.num_put_off += not is_no
        self._refused[write] = (self._clock.monotonic() + (_PATIENCE_SECONDS if is_no else 0), action.key, error)
        fields = {"kind": action.key.kind, "object": action.key.name, "verb": action.verb, "error": str(error)}
        logger.error("write refused", extra=fields)
        if (told := about or self._owner(action)) is not None:
            said = f"{action.verb} {action.key.kind} {action.key.name}: {error.message}"
            await self._events.record(told, "Refused", said, "Warning")

    def _owner(self, action: Action) -> Manifest | None:
        """Whose object it is to be, for what there is nothing yet to tell of."""
        owners = action.body.get("metadata", {}).get("ownerReferences") or [{}]
        return self._memory.of(owners[0].get("kind", "")).get(owners[0].get("name", ""))

    async def tell(self, events: Iterable[Event]) -> None:
        """Record events about objects that are there."""
        for event in events:
            about = self._memory.of(event.key.kind).get(event.key.name)
            if about is not None:
                await self._events.record(
                    about, event.reason, event.message, "Warning" if event.is_warning else "Normal"
                )

    async def say(self, wanted: Mapping[ObjectKey, Mapping[str, Any]]) -> None:
        """Write the statuses that differ from those that are there."""
        lane = asyncio.Semaphore(self._settings.num_parallel_writes)
        writes = [self._say(key, dict(status), lane) for key, status in wanted.items() if self._is_news(key, status)]
        done = await asyncio.gather(*writes, return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error
        uids = {about["metadata"]["uid"] for key in wanted if (about := self._object(key)) is not None}
        self._said = {uid: entry for uid, entry in self._said.items() if uid in uids}

    def _is_news(self, key: ObjectKey, status: Mapping[str, Any]) -> bool:
        about = self._object(key)
        if about is None:
            return False
        live = about.get("status") or {}
        # A server may keep less than it is told, or fill in more: to tell it again would change nothing.
        return live != status and self._said.get(about["metadata"]["uid"]) != (status, live)

    async def _say(self, key: ObjectKey, status: Manifest, lane: asyncio.Semaphore) -> None:
        about = self._object(key)
        if about is None:
            return
        uid = about["metadata"]["uid"]
        manifest = {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {"name": key.name, "uid": uid},
            "status": status,
        }
        async with lane:
            self.num_writes += 1
            try:
                made = await self._cluster.apply_status(manifest)
            except ClusterError as error:
                self._count(key.kind, "status", error)
                if not _is_no(error):
                    raise
                self.num_put_off += error.status in (_GONE, _CHANGED)
                logger.log(
                    logging.DEBUG if error.status in (_GONE, _CHANGED) else logging.ERROR,
                    "status refused",
                    extra={"kind": key.kind, "object": key.name, "error": str(error)},
                )
                return
        self._count(key.kind, "status")
        self._said[uid] = (status, made.get("status") or {})
        self._memory.put(made)

    def _object(self, key: ObjectKey) -> Manifest | None:
        return self._memory.of(key.kind).get(key.name)

    def _count(self, kind: str, verb: str, error: ClusterError | None = None) -> None:
        outcome = "done" if error is None else "refused" if _is_no(error) else "away"
        self._metrics.writes.labels(kind, verb, outcome).inc()


def _is_no(error: ClusterError) -> bool:
    """Whether an error is about what was asked, rather than about the server."""
    return 400 <= error.status < 500 and error.status not in (401, 408, 410, 429)


def _digest(action: Action) -> str:
    """Of a write, whatever state of the object it was made for."""
    metadata = {key: value for key, value in action.body.get("metadata", {}).items() if key != "resourceVersion"}
    return _hash([action.verb, action.key.kind, action.key.name, action.uid, action.body | {"metadata": metadata}])


def _content(manifest: Manifest) -> str:
    """Of what people and the operator write of an object."""
    metadata = {name: manifest["metadata"].get(name) for name in ("uid", "labels", "annotations", "ownerReferences")}
    return _hash([metadata, manifest.get("spec")])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
