"""OpenAI's headers about limits: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, of the tightest of each."""

from collections.abc import Sequence

from serve.metering.rates.limits import Standing

Headers = list[tuple[bytes, bytes]]
_SHOWN = (("requests", b"requests"), ("tokens", b"tokens"))


def headers_of(standings: Sequence[Standing]) -> Headers:
    """The headers; none of a unit without a limit."""
    headers: Headers = []
    for unit, name in _SHOWN:
        of_unit = [standing for standing in standings if standing.limit.unit == unit]
        if of_unit:
            tightest = min(of_unit, key=lambda standing: standing.remaining)
            headers += [
                (b"x-ratelimit-limit-" + name, b"%d" % tightest.limit.most),
                (b"x-ratelimit-remaining-" + name, b"%d" % tightest.remaining),
                (b"x-ratelimit-reset-" + name, duration(tightest.reset_seconds).encode()),
            ]
    return headers


def duration(seconds: float) -> str:
    """As OpenAI writes it, in Go's way: `12ms`, `1.5s`, `6m0s`, `1h0m0s`. Rounded to a millisecond."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    rest = f"{milliseconds // 1000}.{milliseconds % 1000:03d}".rstrip("0").rstrip(".")
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
