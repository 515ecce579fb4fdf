"""The adapter benchmark's own arithmetic: what is asked, what the files hold, and which rival policy keeps what."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from benchmarks import adapter_rivals, adapter_rounds
from benchmarks.adapter_calls import UNIFORM, ZIPF, AdapterCall, Demand, adapter_calls, demands
from benchmarks.adapter_files import FILE, Stored, random_adapter
from benchmarks.adapter_report import at_demand, losses, same_pictures
from benchmarks.adapter_rounds import BASELINES, OURS, OURS_PLAIN, Block
from serve.catalog.adapters.reading import read_adapter
from serve.domain.adapters import ModuleKind

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def block(speed: float, num: int = 4, level: int = 0) -> Block:
    return Block(num / speed, [np.full((2, 2, 3), level, dtype=np.uint8)] * num)


def test_every_number_of_adapters_is_asked_for_both_ways_but_one_alone() -> None:
    assert [demand.name for demand in demands([1, 4])] == ["1/uniform", "4/uniform", "4/zipf"]


def test_by_zipf_the_second_is_asked_for_half_as_often_as_the_first() -> None:
    assert Demand(3, ZIPF).shares() == pytest.approx(np.array([6, 3, 2]) / 11)
    assert Demand(4, UNIFORM).shares() == pytest.approx(np.full(4, 0.25))


def test_the_calls_that_are_drawn_have_the_adapters_that_are_said() -> None:
    drawn = [call.adapter for call in adapter_calls("a", 4000, Demand(4, ZIPF))]
    shares = [drawn.count(number) / len(drawn) for number in range(4)]
    assert shares == pytest.approx(list(Demand(4, ZIPF).shares()), abs=0.03)


def test_fewer_calls_are_the_first_of_many() -> None:
    assert adapter_calls("a", 3, Demand(8, UNIFORM)) == adapter_calls("a", 9, Demand(8, UNIFORM))[:3]
    assert adapter_calls("a", 3, Demand(8, UNIFORM)) != adapter_calls("b", 3, Demand(8, UNIFORM))


def test_random_adapters_are_files_that_an_upload_takes(tmp_path: Path) -> None:
    save_file(random_adapter({LAYER: (8, 16)}, rank=4, seed=1), tmp_path / FILE)
    [module] = read_adapter(tmp_path).modules
    assert (module.component, module.module, module.kind, module.rank) == ("unet", LAYER, ModuleKind.LORA, 4)
    assert (module.in_features, module.out_features) == (8, 16)


class Recorded:
    """A pipeline that notes what is done to its adapters."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def load_lora_weights(self, folder: Path, weight_name: str, adapter_name: str | None) -> None:
        self.done.append(f"load {adapter_name or folder.name}")

    def unload_lora_weights(self) -> None:
        self.done.append("unload")

    def delete_adapters(self, name: str) -> None:
        self.done.append(f"delete {name}")

    def set_adapters(self, name: str) -> None:
        pass

    def __call__(self, prompts: list[str], **given: Any) -> Any:
        return SimpleNamespace(images=[np.zeros((2, 2, 3))] * len(prompts))


def with_adapters(*numbers: int) -> list[AdapterCall]:
    return [AdapterCall(n, 0.0, "a circle", 4, 7.5, 0, adapter) for n, adapter in enumerate(numbers)]


STORED = [Stored(f"t/a{number}", Path(f"/nowhere/{number}/{FILE}")) for number in range(4)]


def test_the_stock_way_changes_adapters_only_where_the_next_call_has_another() -> None:
    pipeline = Recorded()
    adapter_rivals.LoadedByCall(pipeline, 8, STORED).paint(with_adapters(0, 0, 1, 0))
    assert pipeline.done == ["load 0", "unload", "load 1", "unload", "load 0"]


def test_multiplexing_keeps_the_last_used() -> None:
    pipeline = Recorded()
    adapter_rivals.Multiplexed(pipeline, 8, STORED, max_models=2).paint(with_adapters(0, 1, 0, 2, 0, 1))
    loads = [f"load adapter_{number}" for number in (0, 1)]
    assert pipeline.done == [*loads, "delete adapter_1", "load adapter_2", "delete adapter_2", "load adapter_1"]


def figures_of(ours: float, without: float, rivals: float) -> dict[str, list[Block]]:
    speeds = {OURS: ours, OURS_PLAIN: without} | dict.fromkeys([*BASELINES, *BASELINES.values()], rivals)
    return {name: [block(speed)] for name, speed in speeds.items()}


def test_what_is_kept_is_by_the_same_system_without_adapters() -> None:
    found = at_demand(figures_of(ours=3, without=4, rivals=6))
    assert found[OURS]["kept"]["value"] == 0.75
    assert found[adapter_rounds.MIXED]["kept"]["value"] == 1
    assert found[adapter_rounds.MIXED]["ours_by_theirs"]["value"] == 0.5


def test_losses_name_what_is_lost_to_whom() -> None:
    even = {"4/zipf": at_demand(figures_of(ours=4, without=4, rivals=2))}
    behind = {"4/zipf": at_demand(figures_of(ours=3, without=4, rivals=6))}
    assert losses(even, {})["cases"] == []
    assert {case["figure"] for case in losses(behind, {})["cases"]} == {"kept", *(f"by {name}" for name in BASELINES)}


def test_pictures_are_compared_with_those_of_the_same_calls() -> None:
    blocks = {OURS: [block(1, 4, level=9)], adapter_rounds.LOADED: [block(1, 2, level=8)], OURS_PLAIN: [block(1, 4)]}
    found = same_pictures({"1/uniform": blocks})
    assert found == {"compared": 2, "same": 2, "most_levels_apart": 1, "pictures": 4, "changed_by_adapters": 4}
