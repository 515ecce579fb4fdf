"""The real clock and the real ids: what composition roots pass where `ports.Clock` and `ports.Ids` are asked for."""

import secrets
import time
from uuid import UUID


class SystemClock:
    """This machine's time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class Uuid7Ids:
    """UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then randomness."""

    def new(self) -> str:
        value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return str(UUID(int=value))
