"""What one pass does, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from operators.desired.strategy import Strategy
from operators.state import Action, Manifest, ObjectKey, Problem, World


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
    reason: str = "UpToDate"
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
class Plan:
    """Actions in the order in which they are done, events, and how the upgrade is."""

    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    upgrade: UpgradeState = UpgradeState()


def plan(desired: Sequence[Manifest], world: World, problems: Sequence[Problem], now: datetime) -> Plan:
    """What brings the cluster nearer to `desired`. A plan that is empty of actions means: nothing, until something
    changes or `now` has gone on."""
    raise NotImplementedError
