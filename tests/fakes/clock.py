"""Time and identity that a test moves by hand."""


class ManualClock:
    """A `ports.Clock` that stands still until it is advanced."""

    def __init__(self, now_ms: int = 1_767_225_600_000) -> None:
        """`now_ms` is Unix milliseconds; the default is 2026-01-01T00:00:00Z."""
        self._now_ms = now_ms
        self._monotonic = 1000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds


class CountingIds:
    """`ports.Ids` shaped like UUIDv7 that count from 1: 00000000-0000-7000-8000-000000000001, ...2, ...3."""

    def __init__(self) -> None:
        self.num_made = 0

    def new(self) -> str:
        self.num_made += 1
        return f"00000000-0000-7000-8000-{self.num_made:012d}"
