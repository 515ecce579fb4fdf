"""What is limited: units per minute or day, of somebody; and how such a limit is told to those who reach it."""

from dataclasses import dataclass

from serve.domain.errors import InvalidRequest, QuotaExceeded, RateLimited

SLICE_SECONDS = 2.0
SLICE_MS = round(SLICE_SECONDS * 1000)
"""How long a gateway may grant what it has taken."""
_MAX_SCOPE_CHARS = 160

Row = tuple[str, str]
"""(scope, unit) of a row of `rate_buckets`."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time in which so much may be asked for. `suffix` tells its rows from those of other windows."""

    name: str
    window_ms: int
    slot_ms: int
    suffix: str = ""

    @property
    def reach_ms(self) -> int:
        """How far back grants count."""
        return self.window_ms + 2 * self.slot_ms + SLICE_MS


MINUTE = Window("minute", 60_000, 1000)
DAY = Window("day", 86_400_000, 600_000, "/day")


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` of `unit` (requests, tokens, images) per window. `scope` says whose, `whose` the same in words."""

    scope: str
    unit: str
    most: int
    whose: str
    window: Window = MINUTE

    @property
    def row(self) -> Row:
        """The key of its row."""
        return self.scope[:_MAX_SCOPE_CHARS], self.unit + self.window.suffix

    def told(self) -> str:
        """The limit in words: `60 requests a minute of this key`."""
        return f"{self.most} {self.unit} a {self.window.name} of {self.whose}"


Demand = tuple[Limit, int]
"""A limit, and how much of it a call asks for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands, as far as this gateway knows: what answers' headers say. `reset_seconds`: until all of it is
    free again if nothing more is asked for."""

    limit: Limit
    remaining: int
    reset_seconds: float


def refusal(limit: Limit, units: int, wait_ms: int) -> RateLimited:
    """There is no room for `units` now; there will be in `wait_ms`, if nobody else takes it."""
    seconds = wait_ms / 1000
    return RateLimited(
        f"The limit of {limit.told()} is reached: this call asks for {units}. There is room in {seconds:.1f} seconds.",
        retry_after_seconds=seconds,
    )


def impossible(limit: Limit, units: int) -> InvalidRequest | QuotaExceeded:
    """`units` are more than the whole limit: waiting does not help."""
    if limit.most == 0:
        return QuotaExceeded(f"The limit of {limit.whose} is no {limit.unit} at all. Ask its owner to raise it.")
    return InvalidRequest(
        f"This call may take up to {units} {limit.unit}, more than all of the limit of {limit.told()}. "
        "Ask for less at a time (max_tokens, n), or have the limit raised.",
        "request_over_limit",
    )
