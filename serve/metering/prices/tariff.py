"""A price document made ready for use: each rate as two whole numbers, so that a charge is a multiplication, a
division and one rounding.

What a line is charged for:

    tokens      a tier's prices, where the prompt has more tokens than the tier says, hold for the whole call; what a
                tier leaves out stays as it is without it. Cached tokens are a part of the prompt's: they are charged
                by their own price if there is one, and with the rest of the prompt otherwise; never by both.
    images      by the size of one, which is pixels over images: a call's images are all of one size.
    surcharges  each in per cent of the sum of the other lines, as they were rounded; none on another surcharge.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from serve.domain.documents import Prices
from serve.domain.money import NANO_PER_USD, NanoUsd, rounded_quotient, usd
from serve.domain.usage import Quantities

MILLION = 10**6
NO_FREE: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Rate:
    """One price: `usd` per `per` units of `what`, in words `unit`."""

    what: str
    usd: str
    unit: str
    numerator: int
    denominator: int
    note: str = ""

    def of(self, quantity: int) -> NanoUsd:
        """The charge for `quantity`, rounded once. Raises ValueError for less than nothing."""
        if quantity < 0:
            raise ValueError(f"a quantity is never negative: {quantity} of {self.what}")
        return rounded_quotient(quantity * self.numerator, self.denominator)

    def exactly(self, quantity: int) -> Fraction:
        """The same before it is rounded, in nano-dollars."""
        return Fraction(quantity * self.numerator, self.denominator)


Charge = tuple[Rate, int]
"""What is charged, and how much of it."""


@dataclass(frozen=True, slots=True)
class TokenRates:
    """The token prices of prompts of more than `above` tokens."""

    above: int
    prompt: Rate | None
    cached: Rate | None
    completion: Rate | None


class Tariff:
    """Compiled `Prices`."""

    def __init__(self, prices: Prices) -> None:
        self._tiers = _tiers(prices)
        self._sizes = _sizes(prices)
        self._plain = tuple(_plain(prices))
        self._request = _rate("request", prices.request, "call", 1)
        self._percent = _percent(prices.adapter_percent)
        self._percents = {name: _percent(text, name) for name, text in prices.adapters.items()}

    def charges(self, quantities: Quantities, free: Mapping[str, int] = NO_FREE) -> Iterator[Charge]:
        """All but the surcharges. `free` units are not charged; they do not change tier or size."""
        yield from self._tokens(quantities, free)
        if quantities.images and (size := self._size(-(-quantities.pixels // quantities.images))):
            yield size, _left(quantities.images, free.get("images", 0))
        for unit, rate in self._plain:
            if quantity := getattr(quantities, unit):
                yield rate, _left(quantity, free.get(unit, 0)) if free else quantity
        if self._request and any(quantities.values()):
            yield self._request, 1

    def surcharges(self, adapters: Sequence[str]) -> Iterator[Rate]:
        """One per adapter that has one. An adapter is an id: `tenant/name@sha256:...`."""
        for adapter in adapters:
            name = adapter.partition("@")[0]
            if (rate := self._percents.get(name)) or (rate := self._percent and _named(self._percent, name)):
                yield rate

    def at_most(self, bound: Quantities) -> int:
        """The highest sum of `charges`, in nano-dollars, of anything within `bound` whose images are no larger."""
        most = max(self._tokens_at_most(tier, bound, below) for tier, below in self._reachable(bound.prompt_tokens))
        if bound.images:
            largest = -(-bound.pixels // bound.images)
            most += max((rate.of(bound.images) for above, rate in self._sizes if rate and above < largest), default=0)
        for unit, rate in self._plain:
            most += rate.of(getattr(bound, unit))
        return most + (self._request.of(1) if self._request else 0)

    def _tokens(self, quantities: Quantities, free: Mapping[str, int]) -> Iterator[Charge]:
        tier, num_prompt = self._tier(quantities.prompt_tokens), quantities.prompt_tokens
        num_free = free.get("prompt_tokens", 0)
        if tier.cached is not None and quantities.cached_prompt_tokens:
            num_cached = min(num_prompt, quantities.cached_prompt_tokens)
            num_prompt -= num_cached
            yield tier.cached, _left(num_cached, _left(num_free, num_prompt))
        if tier.prompt is not None and num_prompt:
            yield tier.prompt, _left(num_prompt, num_free)
        if tier.completion is not None and quantities.completion_tokens:
            yield tier.completion, _left(quantities.completion_tokens, free.get("completion_tokens", 0))

    def _tier(self, num_prompt_tokens: int) -> TokenRates:
        found = self._tiers[0]
        for tier in self._tiers[1:]:
            if num_prompt_tokens > tier.above:
                found = tier
        return found

    def _reachable(self, num_prompt_tokens: int) -> Iterator[tuple[TokenRates, int]]:
        """The tiers that prompts of so many tokens and fewer come into, each with the most tokens it takes then."""
        for index, tier in enumerate(self._tiers):
            if index and num_prompt_tokens <= tier.above:
                return
            above_next = self._tiers[index + 1].above if index + 1 < len(self._tiers) else num_prompt_tokens
            yield tier, min(num_prompt_tokens, above_next)

    @staticmethod
    def _tokens_at_most(tier: TokenRates, bound: Quantities, num_prompt: int) -> int:
        most = tier.completion.of(bound.completion_tokens) if tier.completion else 0
        num_cached = min(num_prompt, bound.cached_prompt_tokens) if tier.cached else 0
        full = tier.prompt.exactly(num_prompt) if tier.prompt else Fraction(0)
        if tier.cached is None or not num_cached:
            return most + (tier.prompt.of(num_prompt) if tier.prompt else 0)
        rest = tier.prompt.exactly(num_prompt - num_cached) if tier.prompt else Fraction(0)
        # Two lines round by up to half a nano-dollar each, which is one more than their sum can be by itself.
        return most + int(max(full, rest + tier.cached.exactly(num_cached))) + 1

    def _size(self, pixels: int) -> Rate | None:
        for above, rate in reversed(self._sizes):
            if pixels > above:
                return rate
        return self._sizes[0][1]


def _left(quantity: int, free: int) -> int:
    """What is charged; a quantity below nothing stays one, and is refused."""
    return quantity - min(max(quantity, 0), free)


def _rate(what: str, text: str | None, unit: str, per: int, note: str = "") -> Rate | None:
    if text is None:
        return None
    nano = usd(text) * NANO_PER_USD / per
    return Rate(what, text, unit, nano.numerator, nano.denominator, note)


def _percent(text: str | None, name: str = "") -> Rate | None:
    if text is None:
        return None
    share = usd(text) / 100
    return Rate(f"adapter {name}", text, "per cent", share.numerator, share.denominator)


def _named(rate: Rate, name: str) -> Rate:
    return Rate(f"adapter {name}", rate.usd, rate.unit, rate.numerator, rate.denominator)


def _tiers(prices: Prices) -> list[TokenRates]:
    tiers = [_token_rates(0, prices.prompt, prices.cached_prompt, prices.completion, "")]
    for tier in sorted(prices.tiers, key=lambda tier: tier.above_prompt_tokens):
        prompt = prices.prompt if tier.prompt is None else tier.prompt
        cached = prices.cached_prompt if tier.cached_prompt is None else tier.cached_prompt
        completion = prices.completion if tier.completion is None else tier.completion
        note = f"the prompt has more than {tier.above_prompt_tokens} tokens"
        tiers.append(_token_rates(tier.above_prompt_tokens, prompt, cached, completion, note))
    return tiers


def _token_rates(above: int, prompt: str | None, cached: str | None, completion: str | None, note: str) -> TokenRates:
    return TokenRates(
        above,
        _rate("prompt_tokens", prompt, "million tokens", MILLION, note),
        _rate("cached_prompt_tokens", cached, "million tokens", MILLION, note),
        _rate("completion_tokens", completion, "million tokens", MILLION, note),
    )


def _sizes(prices: Prices) -> list[tuple[int, Rate | None]]:
    """(pixels above which it holds, rate), by size; the last one holds for all that is larger."""
    found: list[tuple[int, Rate | None]] = []
    above = -1
    for size in sorted(prices.image_sizes, key=lambda size: size.up_to_pixels):
        note = f"of up to {size.up_to_pixels} pixels"
        found.append((above, _rate("images", size.image, "image", 1, note)))
        above = size.up_to_pixels
    note = f"of more than {above} pixels" if found else ""
    found.append((above, _rate("images", prices.image, "image", 1, note)))
    return found


def _plain(prices: Prices) -> Iterator[tuple[str, Rate]]:
    """The prices that are a quantity times a rate, whatever else the call consumed."""
    for quantity, text, unit, per in (
        ("pixels", prices.megapixel, "million pixels", MILLION),
        ("pixel_steps", prices.megapixel_step, "million pixel steps", MILLION),
        ("input_images", prices.input_image, "image", 1),
        ("audio_ms", prices.audio_second, "second", 1000),
        ("video_ms", prices.video_second, "second", 1000),
        ("gpu_ms", prices.gpu_second, "second of one GPU", 1000),
    ):
        if rate := _rate(quantity, text, unit, per):
            yield quantity, rate
