"""Adapters through the engine as the platform sees it: files in, pictures out, refusals that say why."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from fakes.adapters import ATTENTION, dora, lora, random_weights, shapes_of, write_diffusers
from fakes.diffusion_models import tiny_sd, tiny_sdxl
from numpy.typing import NDArray
from PIL import Image

from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.front import DiffusionEngine
from deployments.engines.engine import AdapterFolder, AppliedAdapter, Produced
from serve.domain.documents import AdapterPolicy
from serve.domain.documents import DiffusionEngine as DiffusionSpec
from serve.domain.errors import EngineFailed, Unprocessable
from serve.domain.generation import CallContext, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.media.metadata import read_metadata

SPEC = DiffusionSpec(kind="diffusion", max_rows=8)
CONTEXT = CallContext(RequestId("r"), TenantName("t"), ProjectName("p"), KeyId("k"))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Setting:
    engine: DiffusionEngine
    low_rank: AdapterFolder
    stretched: AdapterFolder
    of_sdxl: AdapterFolder

    async def applied(self, folder: AdapterFolder, scale: float = 1.0) -> AppliedAdapter:
        return AppliedAdapter(folder.id, scale, await self.engine.prepare_adapter(folder))

    async def painted(self, *adapters: AppliedAdapter, **inputs: Any) -> Produced:
        call = ModelCall(
            Task.TEXT_TO_IMAGE,
            {"prompt": "a star", "steps": 3, "seed": 1, "width": 64, "height": 64, **inputs},
            CONTEXT,
            stream=False,
        )
        events = [event for batch in [b async for b in self.engine.stream(call, adapters)] for event in batch]
        assert isinstance(events[0], Produced)
        return events[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Setting]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    policy = AdapterPolicy(enabled=True, max_resident=2, max_rank=16)
    engine = DiffusionEngine(SPEC, tiny_sd(folder / "sd"), "tiny", 0, policy)
    await engine.start()
    low_rank, stretched = (
        _written(folder / name, folder / "sd", make) for name, make in (("stripes", lora(4)), ("outline", dora(4)))
    )
    of_sdxl = _written(folder / "other", tiny_sdxl(folder / "sdxl"), lora(4))
    yield Setting(engine, low_rank, stretched, of_sdxl)
    await engine.close()
    torch.set_num_threads(threads)


def _written(folder: Path, model: Path, make: Any) -> AdapterFolder:
    unet = Bundle.load(model, device="cpu", dtype=torch.float32).unet
    return write_diffusers(folder, random_weights(shapes_of({"unet": unet}, ATTENTION), make, seed=1))


def pixels(produced: Produced) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(produced.data))).astype(np.int16)


def distance(one: Produced, other: Produced) -> int:
    return int(np.abs(pixels(one) - pixels(other)).max())


async def test_adapters_change_the_picture_and_are_told_in_its_file(setting: Setting) -> None:
    stripes, outline = await setting.applied(setting.low_rank, 0.5), await setting.applied(setting.stretched, -1.0)
    plain, one, both = await asyncio.gather(
        setting.painted(), setting.painted(stripes), setting.painted(stripes, outline)
    )
    assert distance(plain, one) > 2
    assert distance(one, both) > 2
    digests = [folder.id.partition("@sha256:")[2][:8] for folder in (setting.low_rank, setting.stretched)]
    told = read_metadata(both.data)["parameters"].splitlines()[-1]
    assert f'Adapters: "stripes@{digests[0]}: 0.5, outline@{digests[1]}: -1"' in told
    assert "Adapters" not in read_metadata(plain.data)["parameters"]


async def test_a_picture_without_adapters_is_not_touched_by_those_beside_it(setting: Setting) -> None:
    stripes, outline = await setting.applied(setting.low_rank), await setting.applied(setting.stretched)
    alone = await setting.painted(seed=5)
    beside, *_ = await asyncio.gather(
        setting.painted(seed=5), *(setting.painted(a, steps=5) for a in (stripes, outline))
    )
    assert distance(alone, beside) <= 1


async def test_scales_of_nothing_are_no_adapters(setting: Setting) -> None:
    nothing = await setting.painted(await setting.applied(setting.low_rank, 0.0))
    assert distance(nothing, await setting.painted()) <= 1


async def test_what_is_on_the_device_is_counted(setting: Setting) -> None:
    stripes = await setting.applied(setting.low_rank, 0.25)
    before = setting.engine.counters()
    await setting.painted(stripes)
    await setting.painted(stripes, num_images=2)
    after = setting.engine.counters()
    assert after["mixture_loads_total"] - before["mixture_loads_total"] == 1
    assert after["mixture_hits_total"] - before["mixture_hits_total"] == 2
    assert after["mixtures_loaded"] <= 2


async def test_adapters_are_mixed_in_another_thread_than_the_model_runs_in(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixer = setting.engine._mixer
    assert mixer is not None
    names: list[str] = []
    mix = mixer.mix

    def watched(adapters: Sequence[Any]) -> Any:
        names.append(threading.current_thread().name)
        return mix(adapters)

    monkeypatch.setattr(mixer, "mix", watched)
    await setting.painted(await setting.applied(setting.low_rank, 0.3))
    assert [name.startswith("slipway-codec") for name in names] == [True]


async def test_a_call_with_adapters_leaves_at_the_next_step_when_it_is_closed(setting: Setting) -> None:
    call = ModelCall(Task.TEXT_TO_IMAGE, {"prompt": "", "steps": 100, "seed": 1, "width": 64, "height": 64}, CONTEXT)
    async with aclosing(setting.engine.stream(call, [await setting.applied(setting.stretched)])) as stream:
        await anext(stream)
    plain = await setting.painted(seed=3)
    assert distance(plain, await setting.painted(seed=3)) <= 1
    assert setting.engine.counters()["running"] == 0


async def test_an_adapter_for_another_base_is_refused_with_what_was_found_and_expected(setting: Setting) -> None:
    with pytest.raises(Unprocessable, match=r"reads \d+ numbers.*this model") as caught:
        await setting.engine.prepare_adapter(setting.of_sdxl)
    assert caught.value.code == "wrong_base"


async def test_an_engine_without_adapters_says_so(setting: Setting, tmp_path: Path) -> None:
    engine = DiffusionEngine(SPEC, tmp_path, "plain", 0)
    with pytest.raises(Unprocessable) as caught:
        await engine.prepare_adapter(setting.low_rank)
    assert caught.value.code == "adapters_not_supported"


async def test_what_another_engine_prepared_is_no_adapter_here(setting: Setting) -> None:
    class Other:
        num_bytes = 0

        def close(self) -> None: ...

    with pytest.raises(EngineFailed, match="Other"):
        await setting.painted(AppliedAdapter("acme/x@sha256:" + "0" * 64, 1.0, Other()))
