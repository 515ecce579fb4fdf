"""What lies on the device, and what a batch's layers see, as mixtures come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fakes.adapters import ATTENTION, lora, random_weights, shapes_of, write_diffusers
from fakes.diffusion_models import tiny_sd
from torch import Tensor

from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.arena import MAX_BUFFERS, Arena, Binding
from deployments.engines.diffusion.assembly import blank_rows, native_shape, rehearse_adapters
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.deltas import ImageAdapter, LowRank
from deployments.engines.diffusion.layers import AdaptedLinear, adapt
from deployments.engines.diffusion.mixtures import Floorplan, Mixer, Mixture, Packed
from deployments.engines.diffusion.predictors import BUCKETS, EagerPredictor
from deployments.engines.diffusion.rows import Bound, Rows
from serve.catalog.layouts import layout_of

ALL = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
FIRST = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


class Bench:
    """A UNet with an arena of room for two, and adapters of several ranks and depths."""

    def __init__(self, folder: Path) -> None:
        self.bundle = Bundle.load(tiny_sd(folder / "model"), device="cpu", dtype=torch.float32)
        self.floorplan = Floorplan(self.bundle.unet)
        layout = layout_of(folder / "model")
        self.adapters: dict[str, ImageAdapter] = {}
        for name, endings, rank in [("a", ATTENTION, 4), ("b", ATTENTION, 8), ("c", ALL, 12), ("d", ("to_q",), 20)]:
            weights = random_weights(shapes_of({"unet": self.bundle.unet}, endings), lora(rank), seed=rank)
            self.adapters[name] = read_image_adapter(write_diffusers(folder / name, weights), layout, torch.float32)
        self.arena = Arena(self.bundle.unet, self.floorplan, max_resident=2)
        self.mixer = Mixer(self.floorplan, 32, torch.float32)

    def mixed(self, *names: str, scale: float = 1.0) -> Mixture:
        mixture = self.mixer.mix([(self.adapters[name], scale) for name in names])
        assert mixture is not None
        return mixture

    def held(self, *names: str, in_use: tuple[str, ...] = ()) -> Packed:
        packed = self.arena.hold(self.mixed(*names), lambda: {self.mixed(name).key for name in in_use if name})
        assert packed is not None
        return packed

    def layer(self, name: str = FIRST) -> AdaptedLinear:
        layer = self.bundle.unet.get_submodule(name)
        assert isinstance(layer, AdaptedLinear)
        return layer

    def seen(self, num_rows: int, name: str = FIRST) -> list[Tensor]:
        """What a layer adds to its weight, by row."""
        bound = self.layer(name).bound
        if bound is None:
            return [torch.zeros_like(self.layer(name).weight).flatten(1)] * num_rows
        return list((bound.up @ bound.down).expand(num_rows, -1, -1))

    def expected(self, name: str, layer: str = FIRST) -> Tensor:
        delta = self.adapters[name].components["unet"].get(layer)
        if delta is None:
            return torch.zeros_like(self.layer(layer).weight).flatten(1)
        assert isinstance(delta, LowRank)
        return delta.up @ delta.down

    def bind(self, *rows: str) -> Binding | None:
        """Rows of these adapters, "" for none."""
        binding = self.arena.plan([self.held(name, in_use=rows) if name else None for name in rows])
        self.arena.bind(binding, len(rows))
        return binding

    def check(self, *rows: str) -> None:
        for layer in (FIRST, "down_blocks.1.attentions.0.proj_in", FIRST.replace("attn1.to_q", "ff.net.2")):
            for found, name in zip(self.seen(len(rows), layer), rows, strict=True):
                wanted = self.expected(name, layer) if name else torch.zeros_like(found)
                torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("arena"))


@pytest.fixture
def bench(made: Bench) -> Iterator[Bench]:
    """The same networks and adapters with an arena of their own for each test."""
    made.arena = Arena(made.bundle.unet, made.floorplan, max_resident=2)
    with torch.inference_mode():
        yield made
        made.arena.forget(())


def test_eviction_under_pressure_never_frees_what_is_in_use(bench: Bench) -> None:
    first, second = bench.held("a"), bench.held("b", in_use=("a",))
    third = bench.held("c", in_use=("a", "b"))
    assert len(bench.arena) == 3
    assert bench.arena.totals.num_evicted == 0
    again = [bench.held(name, in_use=("a", "b", "c")) for name in ("a", "b", "c")]
    assert [one is other for one, other in zip(again, (first, second, third), strict=True)] == [True] * 3
    bench.arena.forget({first.key, third.key})
    assert bench.held("a") is first
    assert bench.held("c", in_use=("a",)) is third
    assert bench.arena.totals.num_evicted == 1


def test_the_least_recently_used_of_the_idle_goes(bench: Bench) -> None:
    first, second = bench.held("a"), bench.held("b")
    assert bench.held("a") is first
    bench.held("c")
    assert bench.held("a") is first
    assert bench.held("b") is not second
    assert bench.arena.counters() | {"mixture_load_seconds_total": 0.0} == {
        "mixtures_loaded": 2,
        "mixture_hits_total": 2,
        "mixture_loads_total": 4,
        "mixture_load_seconds_total": 0.0,
        "mixtures_evicted_total": 2,
        "mixture_rows_laid_total": 0,
    }


def test_rows_of_any_rank_and_depth_lie_side_by_side(bench: Bench) -> None:
    bench.bind("a", "c", "", "d", "b")
    bench.check("a", "c", "", "d", "b")
    bench.bind("c", "a", "b", "", "")
    bench.check("c", "a", "b", "", "")


def test_layers_that_no_row_changes_are_left_alone(bench: Bench) -> None:
    bench.bind("a", "b")
    assert bench.layer().bound is not None
    assert bench.layer(FIRST.replace("attn1.to_q", "ff.net.2")).bound is None
    bench.bind("", "")
    assert bench.layer().bound is None


def test_rows_that_stay_are_not_copied_again(bench: Bench) -> None:
    bench.bind("a", "b", "", "b")
    laid = bench.arena.totals.num_rows_laid
    bench.bind("a", "b", "a", "b")
    assert bench.arena.totals.num_rows_laid == laid + 1
    bench.check("a", "b", "a", "b")


def test_a_batch_of_one_mixture_keeps_it_once(bench: Bench) -> None:
    bench.bind("b", "b", "b")
    bound = bench.layer().bound
    assert bound is not None
    assert len(bound.down) == 1
    bench.check("b", "b", "b")


def test_batches_that_take_turns_each_see_their_own(bench: Bench) -> None:
    """Two lanes share the room; each finds its rows there at its turn."""
    one, other = bench.bind("a", "b"), bench.bind("b", "", "a")
    for _ in range(2):
        bench.arena.bind(one, 2)
        bench.check("a", "b")
        bench.arena.bind(other, 3)
        bench.check("b", "", "a")


def test_room_is_where_it_was_until_more_rows_need_it(bench: Bench) -> None:
    """A recorded pass reads the same memory; when that moved, the number says so."""
    one, two = bench.held("a"), bench.held("b")
    bounds = [bench.arena.bind(bench.arena.plan(rows), len(rows)) for rows in ([one, two], [two, one], [two, one] * 4)]
    assert bounds[0] == bounds[1]
    assert bounds[2] != bounds[0]


def test_room_for_shapes_that_are_out_of_use_is_given_back(bench: Bench) -> None:
    for rank in (8, 16, 32):
        for depth in (1, 2, 3):
            bench.arena.bind(bench.arena.blank(2, rank, depth), 2)
    assert len(bench.arena._buffers) == MAX_BUFFERS


def test_a_forgotten_arena_lays_everything_anew(bench: Bench) -> None:
    binding = bench.bind("a", "b")
    bench.arena.forget(("a", "b"))
    assert bench.layer().bound is None
    bench.arena.bind(binding, 2)
    bench.check("a", "b")


def test_a_row_that_could_not_be_written_is_written_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = bench.held("a"), bench.held("b")
    bench.arena.bind(bench.arena.plan([one, None]), 2)
    binding = bench.arena.plan([one, two])
    broken = Packed(two.key, two.rank, two.depth, two.flat[:-1].new_zeros(3, 3))
    with pytest.raises(RuntimeError):
        bench.arena.bind(bench.arena.plan([one, broken]), 2)
    bench.arena.bind(binding, 2)
    bench.check("a", "b")


def test_the_order_of_adapters_and_scales_of_nothing_make_no_other_mixture(bench: Bench) -> None:
    a, b = bench.adapters["a"], bench.adapters["b"]
    both = bench.mixer.mix([(a, 0.5), (b, 1.0)])
    same = bench.mixer.mix([(b, 1.0), (bench.adapters["c"], 0.0), (a, 0.5)])
    assert both is not None
    assert same is not None
    assert same.key == both.key
    assert same.packed is both.packed
    assert bench.mixer.mix([(a, 0.0)]) is None
    assert bench.mixed("a").key != bench.mixed("a", scale=0.5).key


def test_what_the_arena_does_not_hold_is_merged(bench: Bench) -> None:
    assert bench.mixed("c", "d").merged is None
    small = Mixer(bench.floorplan, 31, torch.float32)
    mixture = small.mix([(bench.adapters["c"], 1.0), (bench.adapters["d"], 1.0)])
    assert mixture is not None
    assert mixture.packed is None
    assert mixture.merged


def test_padding_rows_and_plain_rows_are_untouched(bench: Bench) -> None:
    """A pass of more rows than the batch has, as recorded passes are."""
    predictor, rows = EagerPredictor(bench.bundle), blank_rows(bench.bundle, 4, native_shape(bench.bundle))
    bench.arena.bind(None)
    plain = predictor(rows)
    bench.arena.bind(bench.arena.plan([bench.held("a"), None, bench.held("c", in_use=("a",))]), 4)
    changed = (predictor(rows) - plain).flatten(1).norm(dim=1) / plain.flatten(1).norm(dim=1)
    assert changed[0] > 1e-2
    assert changed[2] > 1e-2
    assert changed[1] < 1e-5
    assert changed[3] < 1e-5


def test_only_layers_of_one_point_adapt(bench: Bench) -> None:
    with pytest.raises(ValueError, match="1 x 1"):
        adapt(bench.bundle.unet, ["conv_in"])
    assert adapt(bench.bundle.unet, [FIRST])[FIRST] is bench.layer()


def test_what_failed_halfway_leaves_nobody_with_anothers_adapter(bench: Bench) -> None:
    before = bench.bind("a", "b")
    good = bench.held("b", in_use=("a", "b"))
    broken = Packed("broken", good.rank, good.depth, good.flat.repeat(2))
    with pytest.raises(RuntimeError):
        bench.arena.bind(bench.arena.plan([good, broken]), 2)
    bench.arena.bind(before, 2)
    bench.check("a", "b")


def test_what_was_rehearsed_is_met_again_in_every_row_count(bench: Bench) -> None:
    met: set[tuple[int, Bound | None]] = set()

    class Recording(EagerPredictor):
        buckets = BUCKETS[:4]

        def __call__(self, rows: Rows) -> Tensor:
            met.add((len(rows.sample), rows.bound))
            return rows.sample

    rehearse_adapters(bench.bundle, Recording(bench.bundle), bench.arena, max_rows=8)
    bench.arena.bind(None)
    rehearsed = set(met)
    rehearse_adapters(bench.bundle, Recording(bench.bundle), bench.arena, max_rows=8)
    assert met == rehearsed


def test_rows_of_one_mixture_are_laid_apart_where_passes_are_recorded(bench: Bench) -> None:
    bench.arena = Arena(bench.bundle.unet, bench.floorplan, max_resident=2, can_share=False)
    binding = bench.bind("a", "a")
    assert binding is not None
    assert not binding.is_shared
    bench.check("a", "a")


def test_buffers_are_within_their_bytes_whatever_the_ranks(bench: Bench) -> None:
    bench.bind("a", "b")
    room = sum(buffer.flat.nbytes for buffer in bench.arena._buffers.values())
    bench.arena = Arena(bench.bundle.unet, bench.floorplan, max_resident=2, max_buffer_bytes=room)
    small = bench.bind("a", "b")
    bench.bind("c", "")
    bench.check("c", "")
    assert [key[:2] for key in bench.arena._buffers] == [(16, 3)], "it is larger than all room, and alone"
    bench.arena.bind(small, 2)
    bench.check("a", "b")
    assert sum(buffer.flat.nbytes for buffer in bench.arena._buffers.values()) <= room
