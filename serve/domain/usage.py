"""What an attempt consumed: the only thing that is priced."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from operator import add, attrgetter, sub
from threading import Lock
from typing import NewType

from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName

UsageId = NewType("UsageId", str)
"""`<request_id>[/<step>]:<attempt>[.<submission>]`: one submission to one engine, anywhere, for ever."""
PriceId = NewType("PriceId", str)
"""`sha256:...` of a price version."""
HoldId = NewType("HoldId", str)
"""What a call's cost is drawn from: a lease of a gateway, or a run's own hold."""


@dataclass(frozen=True, slots=True)
class Quantities:
    """Counted units of one attempt, read from engine objects; zero where a unit does not apply.

    All are whole numbers, so that sums are exact in any order. Tokens are counted, never estimated.
    `cached_prompt_tokens` is a part of `prompt_tokens`. Pixels are output pixels; `steps` are denoising steps of all
    images, `pixel_steps` pixels times steps. `audio_ms` and `video_ms` are milliseconds of media, `gpu_ms` of
    accelerators: a call's share of a replica's busy time, times its GPUs.
    """

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    pixels: int = 0
    steps: int = 0
    pixel_steps: int = 0
    input_images: int = 0
    audio_ms: int = 0
    video_ms: int = 0
    gpu_ms: int = 0

    def values(self) -> tuple[int, ...]:
        """In the order of UNITS."""
        return _values(self)

    def nonzero(self) -> dict[str, int]:
        """The units that apply, by name; what an answer shows."""
        return {unit: value for unit, value in zip(UNITS, self.values(), strict=True) if value}

    def __add__(self, other: "Quantities") -> "Quantities":
        return Quantities(*map(add, self.values(), other.values()))

    def __sub__(self, other: "Quantities") -> "Quantities":
        return Quantities(*map(sub, self.values(), other.values()))

    def without_prompt(self) -> "Quantities":
        """All but the tokens of prompts, which engines refuse by themselves (`CallContext.max_prompt_tokens`)."""
        return replace(self, prompt_tokens=0, cached_prompt_tokens=0)

    def within(self, bound: "Quantities") -> bool:
        """Whether no unit is more than `bound`'s."""
        return all(mine <= most for mine, most in zip(self.values(), bound.values(), strict=True))


NO_USAGE = Quantities()
UNITS = tuple(unit.name for unit in fields(Quantities))
"""The names of all units, in their order."""
_values: Callable[[Quantities], tuple[int, ...]] = attrgetter(*UNITS)
_counts: Callable[["Tally"], tuple[int, ...]] = attrgetter(*UNITS)


class UsageStatus(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    """By the caller: a disconnect, a cancel, the caller's deadline. Billed for what ran."""
    FAILED = "failed"
    LOST = "lost"
    """Its replica, or the platform around it, went away in the middle."""


class Basis(StrEnum):
    """Where an event's quantities come from; a better one replaces a worse one, never the other way round."""

    MEASURED = "measured"
    """The replica's own closing record."""
    CHECKPOINT = "checkpoint"
    """The last checkpoint of a record that was never closed: at most one checkpoint too low."""
    WITNESS = "witness"
    """What the gateway or the runner saw, since nothing came from the replica."""

    @property
    def is_estimated(self) -> bool:
        return self is not Basis.MEASURED


PLATFORM_RETRY = "platform_retry"
"""Why an attempt is not billed: the platform lost it, or took it back. Another attempt may have done the work."""
ENGINE_FAILED = "engine_failed"
"""Why an attempt is not billed: it ended in an error of ours."""
REFUSED = "refused"
"""Why an attempt is not billed: the engine refused the call before any work."""


@dataclass(frozen=True, slots=True)
class UsageSubject:
    """Whose call it is and what it called: everything about an attempt that is known before it begins.

    `adapters` are immutable ids. `workflow` is `name@version`, `node` a node of it. `tags` are declared keys only.
    `admitted_ms` (Unix milliseconds) decides price, hour and budget period. `reserved_nano` is what the call can cost
    at most.
    """

    id: UsageId
    request_id: RequestId
    tenant: TenantName
    project: ProjectName
    key_id: KeyId
    model: str
    task: str
    admitted_ms: int
    adapters: tuple[str, ...] = ()
    run_id: RunId | None = None
    workflow: str | None = None
    node: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    price: PriceId | None = None
    hold: HoldId | None = None
    reserved_nano: int = 0


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What one attempt consumed.

    `source` is `<cluster>/<process>/<epoch>` and `seq` counts its events from 1 without holes. `reason` says why an
    attempt is not billable. `started_ms` is the replica's clock when the attempt began, `duration_ms` monotonic.
    """

    subject: UsageSubject
    source: str
    seq: int
    status: UsageStatus
    basis: Basis
    billable: bool
    quantities: Quantities
    started_ms: int
    duration_ms: int
    reason: str | None = None

    @property
    def id(self) -> UsageId:
        return self.subject.id


@dataclass(frozen=True, slots=True)
class JournalGap:
    """Records that should be in a journal and are not, or cannot be read: the lines from `first` to `last`."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What an epoch says of itself with every batch: how far it is, and what it should all add up to.

    `cumulative` is the sum over events 1..`last_seq`. `counters` are the engine's own, read after the last closed
    event; `num_open` attempts are not closed yet. `closed`: nothing follows.
    """

    source: str
    is_witness: bool
    model: str
    started_ms: int
    reported_ms: int
    last_seq: int
    cumulative: Quantities
    num_open: int = 0
    oldest_open_ms: int | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    gaps: tuple[JournalGap, ...] = ()
    closed: bool = False
    killed: bool = False
    """The process died: its journal was settled by another, and engine counters may be a checkpoint off."""


@dataclass(frozen=True, slots=True)
class UsageBatch:
    """What a shipper sends: consecutive events of one source, and its report. A witness's events have basis WITNESS
    and say what it saw and how it judges the attempt."""

    report: SourceReport
    events: tuple[UsageEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger did with a batch, in a transaction that is committed: all of it may be deleted."""

    inserted: int
    duplicates: int
    conflicts: int


class Tally:
    """What one call has consumed so far; its engine counts in it where it counts in its own counters, so that the two
    cannot differ. Attributes are those of `Quantities`, plain ints, written by one thread at a time.

    Work may outlive the generator that asked for it, by a step: an engine for which this is so says `keep_open()` when
    the work begins, and `settle()`, from any thread, when it has left the engine.
    """

    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    images: int
    pixels: int
    steps: int
    pixel_steps: int
    input_images: int
    audio_ms: int
    video_ms: int
    gpu_ms: int
    __slots__ = (*UNITS, "_is_open", "_lock", "_settled")

    def __init__(self) -> None:
        for unit in UNITS:
            setattr(self, unit, 0)
        self._is_open = False
        self._lock = Lock()
        self._settled: Callable[[], None] | None = None

    def quantities(self) -> Quantities:
        """The counts at this moment."""
        return Quantities(*_counts(self))

    def keep_open(self) -> None:
        """Work begins that may outlive its generator."""
        self._is_open = True

    def settle(self) -> None:
        """Nothing more will be counted."""
        with self._lock:
            self._is_open, settled = False, self._settled
            self._settled = None
        if settled is not None:
            settled()

    def when_settled(self, settled: Callable[[], None]) -> None:
        """Call `settled` once the counts are final: now, or from the thread that settles."""
        with self._lock:
            if self._is_open:
                self._settled = settled
                return
        settled()
