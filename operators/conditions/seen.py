"""What statuses are made from: everything that one pass knows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from operators.conditions.rolling import Finding, condition_in
from operators.planning.plan import UpgradeState
from operators.state import Catalogue, ObjectKey, Problem, Refusal, Resource, World
from serve.domain.documents import Document

ACCEPTED = "Accepted"
GATEWAY = "Gateway"
PATIENCE = timedelta(seconds=60)
"""Of silence, before what the platform said last is doubted: a gateway that is replaced must not make five hundred
models unknown for seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One pass. Problems and refusals are looked up by resource."""

    world: World
    catalogue: Catalogue
    problems: Mapping[ObjectKey, tuple[Problem, ...]]
    refusals: Mapping[tuple[str, str, str], Refusal]
    """By kind, name and digest."""
    upgrade: UpgradeState
    now: datetime
    is_passed_on: bool = True
    """Whether Ray has been given what the documents say: the RayService needs no write, and KubeRay has seen it."""

    @classmethod
    def of(
        cls,
        world: World,
        catalogue: Catalogue,
        problems: Iterable[Problem],
        refusals: Iterable[Refusal],
        upgrade: UpgradeState,
        now: datetime,
        is_passed_on: bool,
    ) -> "Seen":
        """With both sorted by resource."""
        by_key: dict[ObjectKey, tuple[Problem, ...]] = {}
        for problem in problems:
            by_key[problem.key] = (*by_key.get(problem.key, ()), problem)
        refused = {(one.kind, one.name, one.digest): one for one in refusals}
        return cls(world, catalogue, by_key, refused, upgrade, now, is_passed_on)

    def refusal_of(self, document: Document) -> Refusal | None:
        """What the platform, or the API server, said against this very document."""
        return self.refusals.get((document.kind, document.name, document.digest()))

    @property
    def is_pause(self) -> bool:
        """Whether the platform has been silent for so short that what it said last still stands."""
        if self.catalogue.is_answering or self.world.platform is None:
            return False
        gateway = condition_in(self.world.platform.status, GATEWAY)
        if gateway is None:
            return False
        since = datetime.fromisoformat(gateway["lastTransitionTime"])
        return gateway["status"] == "True" or self.now - since < PATIENCE

    def keeps(self, resource: Resource[Document]) -> Mapping[str, Any] | None:
        """The status so far, where it stays whole for now: it is of this generation, and the platform only pauses."""
        is_current = resource.status.get("observedGeneration") == resource.generation
        return resource.status if is_current and self.is_pause else None


def key_of(resource: Resource[Document]) -> ObjectKey:
    """The key of a custom resource."""
    return ObjectKey(resource.document.api_version, resource.document.kind, resource.name)


def accepted(problems: Iterable[Problem]) -> Finding:
    """Whether a document can be carried out. A warning leaves it accepted, and is said."""
    ordered = sorted(problems, key=lambda problem: not problem.is_fatal)
    if not ordered:
        return Finding(ACCEPTED, "True", "Valid", "")
    told = " ".join(problem.message for problem in ordered)
    return Finding(ACCEPTED, "False" if ordered[0].is_fatal else "True", ordered[0].reason, told)


def unanswered(seen: Seen, name: str) -> Finding | None:
    """Why nothing can be said about what the platform does, or None where it answers."""
    world = seen.world
    if world.platform is None and any(one.manifest.get("kind") == "Platform" for one in world.invalid):
        return Finding(name, "False", "InvalidPlatform", "The Platform of this namespace is not valid: see its status.")
    if world.platform is None:
        return Finding(name, "False", "NoPlatform", "There is no Platform in this namespace: apply one.")
    if not seen.catalogue.is_answering:
        return Finding(name, "Unknown", "PlatformNotAnswering", seen.catalogue.message)
    return None
