"""What calls cost: a table that was worked out by hand, and the laws that hold for all prices."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve.domain.documents import Prices
from serve.domain.money import NANO_PER_USD, cost_shown, rounded
from serve.domain.usage import UNITS, PriceId, Quantities
from serve.metering.prices.prices import Bill, PriceVersion, bill, cost_at_most, cost_of, price_id

INK, PEN = "acme/ink@sha256:" + "1" * 64, "acme/pen@sha256:" + "2" * 64


def version_of(prices: Prices) -> PriceVersion:
    return PriceVersion(PriceId("sha256:0"), "model", "", 0, prices)


@dataclass(frozen=True)
class Row:
    """One charge: `nano` is what a person found, `sum` how."""

    id: str
    prices: dict[str, Any]
    used: dict[str, int]
    nano: int
    sum: str
    adapters: tuple[str, ...] = ()
    free: dict[str, int] = field(default_factory=dict)


CHAT = {"prompt": "0.15", "cachedPrompt": "0.075", "completion": "0.60"}
LONG = {
    "prompt": "1.25",
    "cachedPrompt": "0.31",
    "completion": "10",
    "tiers": [{"abovePromptTokens": 200_000, "prompt": "2.50", "cachedPrompt": "0.625", "completion": "15"}],
}
SHORT_TIER = {**LONG, "tiers": [{"abovePromptTokens": 200_000, "prompt": "2.50"}]}
TWO_TIERS = {
    "prompt": "1",
    "tiers": [{"abovePromptTokens": 2000, "prompt": "4"}, {"abovePromptTokens": 1000, "prompt": "2"}],
}
SIZES = {
    "image": "0.02",
    "imageSizes": [{"upToPixels": 1_048_576, "image": "0.018"}, {"upToPixels": 262_144, "image": "0.016"}],
}
HALF_NANO = {"prompt": "0.0005", "completion": "0.0005"}
SURCHARGED = {**CHAT, "adapterPercent": "10"}
NAMED = {**SURCHARGED, "adapters": {"acme/ink": "25", "acme/pen": "0"}}
EVERYTHING = {
    **CHAT,
    "image": "0.01",
    "megapixel": "0.02",
    "megapixelStep": "0.001",
    "inputImage": "0.003",
    "audioSecond": "0.0001",
    "videoSecond": "0.05",
    "gpuSecond": "0.001",
    "request": "0.0002",
    "adapterPercent": "5",
}
CACHED = {"prompt_tokens": 1200, "cached_prompt_tokens": 200}
LONG_PROMPT = {"prompt_tokens": 300_000, "cached_prompt_tokens": 100_000}

TABLE = [
    Row("prompt", CHAT, {"prompt_tokens": 1000}, 150_000, "1000 x 150 nano"),
    Row("completion", CHAT, {"completion_tokens": 300}, 180_000, "300 x 600"),
    Row("both", CHAT, {"prompt_tokens": 7, "completion_tokens": 3}, 2850, "7 x 150 + 3 x 600 = 1050 + 1800"),
    Row("cached", CHAT, CACHED, 165_000, "1000 x 150 + 200 x 75, and not 1200 x 150 + 200 x 75"),
    Row("cached without a price of its own", {"prompt": "0.15"}, CACHED, 180_000, "1200 x 150"),
    Row("all cached", CHAT, {"prompt_tokens": 1200, "cached_prompt_tokens": 1200}, 90_000, "1200 x 75"),
    Row("cached for nothing", {**CHAT, "cachedPrompt": "0"}, CACHED, 150_000, "1000 x 150 + 200 x 0"),
    Row("cached dearer", {**CHAT, "cachedPrompt": "0.30"}, CACHED, 210_000, "1000 x 150 + 200 x 300"),
    Row("cached alone has a price", {"cachedPrompt": "0.075"}, CACHED, 15_000, "200 x 75"),
    Row("no price for the unit", {"completion": "1"}, {"prompt_tokens": 10**6}, 0, "prompts have no price here"),
    Row("nothing used", EVERYTHING, {}, 0, "no line at all"),
    Row("half rounds to even, down", HALF_NANO, {"prompt_tokens": 1}, 0, "0.5 -> 0"),
    Row("half rounds to even, up", HALF_NANO, {"prompt_tokens": 3}, 2, "1.5 -> 2"),
    Row("half rounds to even, down again", HALF_NANO, {"prompt_tokens": 5}, 2, "2.5 -> 2"),
    Row("just over half", {"prompt": "0.000500001"}, {"prompt_tokens": 1}, 1, "0.500001 -> 1"),
    Row("just under half", {"prompt": "0.000499999"}, {"prompt_tokens": 1}, 0, "0.499999 -> 0"),
    Row("each line is rounded", HALF_NANO, {"prompt_tokens": 1, "completion_tokens": 1}, 0, "0.5 -> 0, twice"),
    Row("each line up", HALF_NANO, {"prompt_tokens": 3, "completion_tokens": 3}, 4, "1.5 -> 2, twice; not 3"),
    Row("a picodollar", {"prompt": "0.000000000001"}, {"prompt_tokens": 1_500_000_000}, 2, "1.5e9 x 1e-9 = 1.5 -> 2"),
    Row("huge", {"prompt": "1000000"}, {"prompt_tokens": 10**12}, 10**21, "10^12 x 10^9 nano"),
    Row("huge and odd", {"prompt": "3.3"}, {"prompt_tokens": 10**15 + 1}, 3300 * (10**15 + 1), "(10^15 + 1) x 3300"),
    Row("at a tier's edge", LONG, {"prompt_tokens": 200_000}, 250_000_000, "200000 x 1250"),
    Row("over a tier's edge", LONG, {"prompt_tokens": 200_001}, 500_002_500, "200001 x 2500: the whole prompt"),
    Row("a tier's answer", LONG, {"prompt_tokens": 300_000, "completion_tokens": 1000}, 765_000_000, "750e6 + 15e6"),
    Row("a tier's cached", LONG, LONG_PROMPT, 562_500_000, "200000 x 2500 + 100000 x 625"),
    Row("what a tier leaves out", SHORT_TIER, LONG_PROMPT, 531_000_000, "200000 x 2500 + 100000 x 310"),
    Row("the second tier", TWO_TIERS, {"prompt_tokens": 2001}, 8_004_000, "2001 x 4000"),
    Row("the first tier", TWO_TIERS, {"prompt_tokens": 2000}, 4_000_000, "2000 x 2000, though listed second"),
    Row("images", {"image": "0.04"}, {"images": 3, "pixels": 3}, 120_000_000, "3 x 40e6"),
    Row("small images", SIZES, {"images": 2, "pixels": 524_288}, 32_000_000, "2 x 16e6: 262144 pixels each"),
    Row("a pixel more", SIZES, {"images": 1, "pixels": 262_145}, 18_000_000, "the next size"),
    Row("a pixel more of two", SIZES, {"images": 2, "pixels": 524_289}, 36_000_000, "262144.5 pixels each"),
    Row("beyond all sizes", SIZES, {"images": 1, "pixels": 1_048_577}, 20_000_000, "`image`"),
    Row("beyond, unpriced", {"imageSizes": SIZES["imageSizes"]}, {"images": 1, "pixels": 2**21}, 0, "no `image`"),
    Row("megapixels", {"megapixel": "0.01"}, {"pixels": 262_144}, 2_621_440, "0.262144 x 10e6"),
    Row("steps", {"megapixelStep": "0.0001"}, {"pixel_steps": 262_144 * 25}, 655_360, "6.5536 x 100e3"),
    Row("input images", {"inputImage": "0.002"}, {"input_images": 2}, 4_000_000, "2 x 2e6"),
    Row("audio", {"audioSecond": "0.0001"}, {"audio_ms": 90_500}, 9_050_000, "90.5 x 100e3"),
    Row("video", {"videoSecond": "0.05"}, {"video_ms": 4250}, 212_500_000, "4.25 x 50e6"),
    Row("GPU", {"gpuSecond": "0.0011"}, {"gpu_ms": 37}, 40_700, "0.037 x 1100e3"),
    Row("GPU, rounded", {"gpuSecond": "0.000123456789"}, {"gpu_ms": 1}, 123, "123.456789 -> 123"),
    Row("GPU, at a half", {"gpuSecond": "0.0000125"}, {"gpu_ms": 1}, 12, "12.5 -> 12"),
    Row("a call", {"request": "0.0001", **CHAT}, {"prompt_tokens": 1}, 100_150, "100e3 + 150"),
    Row("a call without work", {"request": "0.0001"}, {}, 0, "nothing ran"),
    Row("a surcharge", SURCHARGED, CACHED, 181_500, "165000 + 16500", (INK,)),
    Row("two surcharges", SURCHARGED, CACHED, 198_000, "165000 + 2 x 16500: none on the other", (INK, PEN)),
    Row("a surcharge by name", NAMED, CACHED, 206_250, "165000 + 41250", (INK,)),
    Row("no surcharge by name", NAMED, CACHED, 165_000, "165000 + 0", (PEN,)),
    Row("another adapter", NAMED, CACHED, 181_500, "165000 + 16500", ("acme/inky@sha256:" + "1" * 64,)),
    Row("only the named", {**CHAT, "adapters": {"acme/ink": "1.5"}}, CACHED, 167_475, "165000 + 2475", (INK, PEN)),
    Row(
        "a surcharge at a half", {"gpuSecond": "0.000005", "adapterPercent": "10"}, {"gpu_ms": 1}, 5, "5 + 0.5", (INK,)
    ),
    Row("a surcharge up", {"gpuSecond": "0.000015", "adapterPercent": "10"}, {"gpu_ms": 1}, 17, "15 + 1.5", (INK,)),
    Row("a surcharge on nothing", SURCHARGED, {}, 0, "10 % of 0", (INK,)),
    Row("free", CHAT, {"prompt_tokens": 1000}, 90_000, "600 x 150", free={"prompt_tokens": 400}),
    Row("more free than needed", CHAT, {"prompt_tokens": 1000}, 0, "0 x 150", free={"prompt_tokens": 4000}),
    Row("free goes to the uncached first", CHAT, CACHED, 7500, "100 x 75", free={"prompt_tokens": 1100}),
    Row("a free image", SIZES, {"images": 3, "pixels": 786_432}, 32_000_000, "2 x 16e6", free={"images": 1}),
    Row("free steps", {"megapixelStep": "1"}, {"pixel_steps": 5}, 3000, "3 x 1000", free={"pixel_steps": 2}),
    Row("free in a tier", LONG, {"prompt_tokens": 300_000}, 2500, "1 x 2500", free={"prompt_tokens": 299_999}),
    Row(
        "free and surcharged",
        SURCHARGED,
        {"prompt_tokens": 1000},
        99_000,
        "90000 x 1.1",
        (INK,),
        {"prompt_tokens": 400},
    ),
    Row(
        "everything",
        EVERYTHING,
        {
            "prompt_tokens": 100,
            "cached_prompt_tokens": 40,
            "completion_tokens": 10,
            "images": 2,
            "pixels": 2_000_000,
            "pixel_steps": 20_000_000,
            "input_images": 1,
            "audio_ms": 1500,
            "video_ms": 200,
            "gpu_ms": 2500,
        },
        100_661_400,
        "60x150 + 40x75 + 10x600 = 18000; 20e6 + 40e6 + 20e6 + 3e6 + 150e3 + 10e6 + 2.5e6 + 200e3 = 95.85e6; "
        "95868000, and 5 % of it 4793400: 100661400",
        (INK,),
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_a_charge_is_what_a_person_works_out(row: Row) -> None:
    version = version_of(Prices.model_validate(row.prices))
    used = Quantities(**row.used)
    assert cost_of(used, version, row.adapters, row.free) == row.nano, row.sum
    assert bill(used, version, row.adapters, row.free).total == row.nano


def test_every_line_of_a_bill_says_how_it_comes_about() -> None:
    version = version_of(Prices.model_validate({**LONG, "adapterPercent": "12.5", "gpuSecond": "0.0000125"}))
    lines = bill(Quantities(prompt_tokens=300_000, cached_prompt_tokens=1, gpu_ms=1), version, [INK]).lines
    assert [(line.what, line.quantity, line.unit, line.rate, line.nano) for line in lines] == [
        ("cached_prompt_tokens", 1, "million tokens", "0.625", 625),
        ("prompt_tokens", 299_999, "million tokens", "2.50", 749_997_500),
        ("gpu_ms", 1, "second of one GPU", "0.0000125", 12),
        ("adapter acme/ink", 749_998_137, "per cent", "12.5", 93_749_767),
    ]
    assert [line.note for line in lines] == [
        "1 cached prompt tokens (the prompt has more than 200000 tokens) at $0.625 per million tokens: $0.000000625",
        "299999 prompt tokens (the prompt has more than 200000 tokens) at $2.50 per million tokens: $0.7499975",
        "1 gpu ms at $0.0000125 per second of one GPU: $0.000000012, rounded from 12.5 nano-dollars",
        "12.5 % of $0.749998137 for the adapter acme/ink: $0.093749767, rounded from 93749767.125 nano-dollars",
    ]


@pytest.mark.parametrize("unit", ["prompt_tokens", "images", "pixels", "gpu_ms"])
def test_less_than_nothing_has_no_price(unit: str) -> None:
    with pytest.raises(ValueError, match="never negative"):
        cost_of(Quantities(**{unit: -1}), version_of(Prices.model_validate(EVERYTHING)))


def test_unpriced_is_shown_as_null_and_free_as_zero() -> None:
    assert cost_shown(None) is None
    assert cost_shown(0) == {"nano_usd": 0, "usd": "0"}
    assert cost_shown(1_230) == {"nano_usd": 1230, "usd": "0.00000123"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"tiers": [{"abovePromptTokens": 5}, {"abovePromptTokens": 5}]}, "two tiers"),
        ({"imageSizes": [{"upToPixels": 5, "image": "1"}, {"upToPixels": 5, "image": "2"}]}, "two prices"),
        ({"adapters": {"ink": "5"}}, "tenant/name"),
        ({"adapters": {INK: "5"}}, "without a digest"),
        ({"prompt": "-1"}, "from 0 to"),
        ({"prompt": "1e-3"}, "plain decimal"),
        ({"prompt": 0.1}, "string"),
        ({"freePerMonth": {"pixels": 5}}, "pixel_steps"),
    ],
)
def test_prices_that_say_nothing_clear_are_refused(body: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Prices.model_validate(body)


def test_a_version_is_known_by_all_that_it_says() -> None:
    prices = Prices(prompt="1")
    ids = {
        price_id("m", "", 0, prices, 0),
        price_id("n", "", 0, prices, 0),
        price_id("m", "acme", 0, prices, 0),
        price_id("m", "", 1, prices, 0),
        price_id("m", "", 0, prices, 1),
        price_id("m", "", 0, Prices(prompt="1.0"), 0),
        price_id("m", "", 0, prices, 0, "someone"),
    }
    assert len(ids) == 7
    assert price_id("m", "", 0, prices, 0) in ids


# Laws

money = st.decimals(0, 50, places=6).map(lambda amount: format(amount, "f")) | st.sampled_from(
    ["0", "0.0005", "0.0015"]
)
maybe = st.none() | money


@st.composite
def price_documents(draw: st.DrawFn) -> Prices:
    """Any prices, sensible or not: tiers that are cheaper, large images for less, dear cached tokens."""
    flat = ("prompt", "cachedPrompt", "completion", "image", "megapixel", "megapixelStep", "inputImage", "gpuSecond")
    body: dict[str, Any] = {name: draw(maybe) for name in (*flat, "request", "adapterPercent")}
    edges = draw(st.lists(st.integers(1, 60), max_size=3, unique=True))
    tier = st.fixed_dictionaries({"prompt": maybe, "cachedPrompt": maybe, "completion": maybe})
    body["tiers"] = [{"abovePromptTokens": edge, **draw(tier)} for edge in edges]
    sizes = draw(st.lists(st.integers(1, 60), max_size=3, unique=True))
    body["imageSizes"] = [{"upToPixels": size, "image": draw(money)} for size in sizes]
    body["adapters"] = draw(st.dictionaries(st.sampled_from(["acme/ink", "acme/pen"]), money, max_size=2))
    return Prices.model_validate(body)


quantity = st.integers(0, 80) | st.integers(0, 10**9)
used_quantities = st.builds(Quantities, **{unit: quantity for unit in UNITS}).map(
    lambda q: replace(q, cached_prompt_tokens=min(q.cached_prompt_tokens, q.prompt_tokens))
)
adapter_lists = st.lists(st.sampled_from([INK, PEN, "acme/third@sha256:0"]), max_size=3, unique=True)


@given(price_documents(), used_quantities, adapter_lists)
def test_a_bill_is_the_sum_of_its_lines_and_adapters_have_no_order(
    prices: Prices, used: Quantities, adapters: list[str]
) -> None:
    version = version_of(prices)
    found: Bill = bill(used, version, adapters)
    assert found.total == sum(line.nano for line in found.lines) == cost_of(used, version, adapters)
    assert cost_of(used, version, adapters[::-1]) == found.total
    assert found.total >= 0


@given(price_documents(), st.lists(used_quantities, max_size=6), st.randoms())
def test_sums_depend_on_no_order_and_no_grouping(prices: Prices, all_used: list[Quantities], chance: Any) -> None:
    version = version_of(prices)
    total = sum(cost_of(used, version) for used in all_used)
    shuffled = chance.sample(all_used, len(all_used))
    cut = chance.randint(0, len(shuffled))
    groups = [sum(cost_of(used, version) for used in group) for group in (shuffled[:cut], shuffled[cut:])]
    by_line: dict[str, int] = {}
    for used in shuffled:
        for line in bill(used, version).lines:
            by_line[line.what] = by_line.get(line.what, 0) + line.nano
    assert total == sum(groups) == sum(by_line.values())


@given(st.integers(0, 10**18), money)
def test_a_line_is_quantity_times_rate_rounded_once(num_tokens: int, rate: str) -> None:
    exact = Fraction(rate) * NANO_PER_USD * num_tokens / 10**6
    cost = cost_of(Quantities(completion_tokens=num_tokens), version_of(Prices(completion=rate)))
    assert cost == rounded(exact) == round(exact)


@given(price_documents(), used_quantities, st.sampled_from(UNITS), st.integers(1, 100), adapter_lists)
def test_more_never_costs_less_where_prices_have_no_steps(
    prices: Prices, used: Quantities, unit: str, more: int, adapters: list[str]
) -> None:
    stepless = prices.model_copy(update={"tiers": [], "image_sizes": [], "cached_prompt": None})
    version = version_of(stepless)
    larger = replace(used, **{unit: getattr(used, unit) + more})
    assert cost_of(used, version, adapters) <= cost_of(larger, version, adapters)


@st.composite
def bounds(draw: st.DrawFn) -> tuple[Quantities, Quantities]:
    """A bound whose images are of one size, and something within it whose images are no larger."""
    size, bound = draw(st.integers(0, 80)), draw(used_quantities)
    bound = replace(bound, images=min(bound.images, 50), cached_prompt_tokens=bound.prompt_tokens)
    bound = replace(bound, pixels=bound.images * size)
    within = {unit: draw(st.integers(0, getattr(bound, unit)) | st.just(getattr(bound, unit))) for unit in UNITS}
    within["cached_prompt_tokens"] = min(within["cached_prompt_tokens"], within["prompt_tokens"])
    within["pixels"] = draw(st.integers(0, size)) * within["images"]
    return bound, Quantities(**within)


@given(price_documents(), bounds(), adapter_lists)
def test_what_is_within_a_ceiling_never_costs_more_than_the_ceiling(
    prices: Prices, bound_and_used: tuple[Quantities, Quantities], adapters: list[str]
) -> None:
    bound, used = bound_and_used
    version = version_of(prices)
    assert used.within(bound)
    assert cost_of(used, version, adapters) <= cost_at_most(bound, version, adapters)


@pytest.mark.parametrize(
    ("prices", "bound", "nano"),
    [
        pytest.param({"prompt": "2", "tiers": [{"abovePromptTokens": 100, "prompt": "1"}]}, 150, 200_000, id="tier"),
        pytest.param({"prompt": "2", "tiers": [{"abovePromptTokens": 100, "prompt": "1"}]}, 900, 900_000, id="long"),
        pytest.param({"prompt": "1", "cachedPrompt": "3"}, 100, 300_001, id="cached dearer"),
        pytest.param({"prompt": "3"}, 100, 300_000, id="plain"),
    ],
)
def test_the_dearest_within_a_bound_need_not_be_the_bound(prices: dict[str, Any], bound: int, nano: int) -> None:
    most = Quantities(prompt_tokens=bound, cached_prompt_tokens=bound)
    assert cost_at_most(most, version_of(Prices.model_validate(prices))) == nano


@given(price_documents(), used_quantities, st.dictionaries(st.sampled_from(["prompt_tokens", "images"]), quantity))
def test_what_is_free_only_ever_lowers_a_cost(prices: Prices, used: Quantities, free: dict[str, int]) -> None:
    version = version_of(prices)
    assert 0 <= cost_of(used, version, (), free) <= cost_of(used, version)
