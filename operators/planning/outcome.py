"""What a pass comes to, besides its actions: events, and how an upgrade stands."""

from dataclasses import dataclass

from operators.desired.strategy import Strategy
from operators.planning.rolling import UP_TO_DATE
from operators.state import Action, Manifest, ObjectKey


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people are told of, on the object that it is about."""

    key: ObjectKey
    reason: str
    """CamelCase, stable."""
    message: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class UpgradeState:
    """How far a change is that replaces pods."""

    strategy: Strategy | None = None
    """Which way it goes; None before there is a cluster."""
    is_running: bool = False
    is_blocked: bool = False
    """It cannot go on, and `message` says what would let it."""
    reason: str = UP_TO_DATE
    """CamelCase, stable: for the condition."""
    message: str = ""
    """A sentence."""
    replaced: int = 0
    """Pods that are as they should be."""
    total: int = 0
    """Pods that there are."""
    traffic_percent: int | None = None
    """The new cluster's share of the traffic, of an incremental upgrade."""
    active_cluster: str | None = None
    pending_cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What becomes of the Ray cluster in this pass."""

    service: Manifest
    """The RayService to apply."""
    state: UpgradeState
    actions: tuple[Action, ...] = ()
    """On RayClusters and pods, after the RayService. None of them relies on another of the same pass."""
    events: tuple[Event, ...] = ()
