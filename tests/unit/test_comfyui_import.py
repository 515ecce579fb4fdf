"""Graphs of ComfyUI as workflows: what folds into which node, what stays as it is, and that nothing is lost."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from fakes.comfyui import NAMES, comfy_graph, comfy_import
from fakes.workflows import served_models
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.domain.errors import InvalidRequest
from serve.domain.images import Sampler
from serve.domain.task import Task
from serve.domain.workflow import WorkflowSpec
from serve.workflow.comfyui.classes import CLASSES
from serve.workflow.comfyui.importing import TRANSLATORS, Imported
from serve.workflow.comfyui.model_names import model_for
from serve.workflow.comfyui.samplers import sampler_for
from serve.workflow.compiling.compiling import Compiled, compile_workflow
from serve.workflow.facts import Known
from serve.workflow.problems import Code

SAVED = {"app_mode", "subgraph"}
PROMPT = "beautiful scenery nature glass bottle landscape, purple galaxy bottle"


def compiled(found: Imported) -> Compiled:
    return compile_workflow(found.spec, Known(served_models()))


def node(found: Imported, name: str) -> dict[str, Any]:
    """A node's inputs, and what it is."""
    one = found.spec.nodes[name]
    return {"type": one.type, "task": one.task, "map": one.map, **one.inputs}


def inert(found: Imported) -> set[str]:
    return {one.type.removeprefix("comfy:") for one in found.spec.nodes.values() if one.type.startswith("comfy:")}


def warned(found: Imported, *words: str) -> bool:
    return any(all(word in told for word in words) for told in found.warnings)


def check_nothing_is_lost(found: Imported, ids: set[str]) -> None:
    """Every node of the graph is a node here, a part of one, an input, an output or a note."""
    spec = found.spec
    became = spec.provenance.became
    assert ids <= became.keys()
    inputs = {f"input:{one.name}" for one in spec.interface.inputs}
    outputs = {f"output:{one.name}" for one in spec.interface.outputs}
    notes = {"note"} if spec.layout.notes else set()
    for id, places in became.items():
        assert places, id
        assert set(places) <= spec.nodes.keys() | inputs | outputs | notes, id
    made_of = {place for places in became.values() for place in places}
    assert spec.nodes.keys() <= made_of
    for name, one in spec.nodes.items():
        if one.type.startswith("comfy:"):
            assert one.original is not None, name
    assert spec.provenance.warnings == found.warnings


# What is in the graphs that are tested with


@pytest.mark.parametrize("name", sorted(set(NAMES) - SAVED))
def test_the_graphs_have_the_signatures_of_their_classes(name: str) -> None:
    for id, one in comfy_graph(name).items():
        known = CLASSES.get(one["class_type"])
        if known is None:
            assert name == "custom_nodes", one["class_type"]
            continue
        given, needed = set(one["inputs"]), {port.name for port in known.inputs if not port.is_optional}
        assert needed <= given <= {port.name for port in known.inputs}, (id, one["class_type"])


def test_there_are_many_graphs_and_every_class_that_is_translated_has_a_signature() -> None:
    assert len(NAMES) >= 15
    assert TRANSLATORS.keys() <= CLASSES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_no_node_of_any_graph_is_lost(name: str) -> None:
    graph = comfy_graph(name)
    found = comfy_import(graph)
    nodes = graph if name not in SAVED else {}
    check_nothing_is_lost(found, set(nodes))
    for id, one in nodes.items():
        kept = [found.spec.nodes[place] for place in found.spec.provenance.became[id] if place in found.spec.nodes]
        for place in kept:
            if place.type == f"comfy:{one['class_type']}":
                assert place.original == one


RUNS = {"text_to_image", "image_to_image", "masked_image_to_image", "outpaint", "two_loras_clip_skip"}
RUNS |= {"lora_model_only", "advanced_sampler", "app_mode", "subgraph", "comfy_deploy"}
STAYS = {
    "base_and_refiner": {
        "CheckpointLoaderSimple",
        "EmptyLatentImage",
        "CLIPTextEncode",
        "KSamplerAdvanced",
        "VAEDecode",
    },
    "control_net": {"CheckpointLoaderSimple", "EmptyLatentImage", "CLIPTextEncode", "KSampler", "VAEDecode"}
    | {"ControlNetLoader", "ControlNetApplyAdvanced"},
    "upscale_with_model": {"UpscaleModelLoader", "ImageUpscaleWithModel"},
    "latent_hires_fix": {"CheckpointLoaderSimple", "CLIPTextEncode", "LatentUpscale", "KSampler", "VAEDecode"},
    "picture_operations": {"FeatherMask"},
    "custom_nodes": {"CheckpointLoaderSimple", "EmptyLatentImage", "CLIPTextEncode", "KSampler", "VAEDecode"}
    | {"IPAdapterAdvanced", "IPAdapterUnifiedLoader", "CR Apply LoRA Stack"},
}


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_equivalent_stays_and_each_says_so(name: str) -> None:
    found = comfy_import(comfy_graph(name))
    assert inert(found) == STAYS.get(name, set())
    result = compiled(found)
    told = {problem.node for problem in result.errors if problem.code is Code.UNSUPPORTED_NODE}
    assert told == {key for key, one in found.spec.nodes.items() if one.type.startswith("comfy:")}
    for key in told:
        (id,) = [id for id, places in found.spec.provenance.became.items() if key in places]
        assert warned(found, f" {id}: ")
    assert (result.graph is not None) == (name in RUNS)


# Folding


def test_text_to_image_is_one_node_with_the_values_of_seven() -> None:
    found = comfy_import(comfy_graph("text_to_image"))
    assert list(found.spec.nodes) == ["ksampler_3"]
    assert node(found, "ksampler_3") == {
        "type": "model:sd15",
        "task": Task.TEXT_TO_IMAGE,
        "map": [],
        "prompt": PROMPT,
        "negative_prompt": "text, watermark",
        "steps": 20,
        "guidance_scale": 8,
        "sampler": "euler",
        "seed": 156680208700286,
        "width": 512,
        "height": 512,
    }
    assert [(one.name, one.from_) for one in found.spec.interface.outputs] == [("image", ["ksampler_3", "image"])]
    assert found.warnings == [
        "KSampler 3: the checkpoint v1-5-pruned-emaonly-fp16.safetensors is taken for the served model sd15"
    ]
    assert found.spec.provenance.imported_from == "comfyui-api"
    assert (found.spec.provenance.source_digest or "").startswith("sha256:")


@pytest.mark.parametrize(
    ("steps", "denoise", "ours"),
    [
        (20, 1, (20, 1)),
        (20, 0.5, (40, 0.5)),
        (20, 0.87, (22, 0.9091)),
        (14, 0.75, (18, 0.7778)),
        (100, 0.5, (150, 0.5)),
        (1, 0.01, (100, 0.01)),
    ],
)
def test_as_many_steps_run_as_in_comfyui(steps: int, denoise: float, ours: tuple[int, float]) -> None:
    graph = comfy_graph("image_to_image")
    graph["3"]["inputs"] |= {"steps": steps, "denoise": denoise}
    found = comfy_import(graph)
    made = node(found, "ksampler_3")
    assert (made["steps"], made["strength"]) == ours
    if ours[0] < 150:
        assert int(ours[0] * ours[1]) == steps
    else:
        assert warned(found, "at most 150")
    assert made["task"] is Task.IMAGE_TO_IMAGE
    assert made["image"] == {"$input": "image"}


def test_inpainting_takes_the_mask_from_the_transparency_and_grows_it() -> None:
    found = comfy_import(comfy_graph("inpaint"), **{"512-inpainting-ema": "sd15-inpainting"})
    assert node(found, "ksampler_3")["mask"] == {"$ref": ["vaeencodeforinpaint_12_mask", "mask"]}
    assert node(found, "vaeencodeforinpaint_12_mask")["pixels"] == 3
    assert node(found, "loadimage_11_opacity")["channel"] == "opacity"
    assert node(found, "loadimage_11_mask")["type"] == "op:mask.invert"
    assert node(found, "ksampler_3")["type"] == "model:sd15-inpainting"
    assert compiled(found).graph is not None


def test_an_outpainted_picture_is_padded_here_too() -> None:
    found = comfy_import(comfy_graph("outpaint"))
    padded = node(found, "imagepadforoutpaint_13")
    assert (padded["type"], padded["top"], padded["right"], padded["left"]) == ("op:image.pad", 128, 256, 0)
    assert node(found, "ksampler_3")["image"] == {"$ref": ["imagepadforoutpaint_13", "image"]}
    assert warned(found, "ImagePadForOutpaint 13", "feathered otherwise")


def test_a_batch_is_a_list_and_what_follows_runs_over_it() -> None:
    found = comfy_import(comfy_graph("batch_scaled"))
    assert node(found, "ksampler_3")["num_images"] == 4
    scaled = node(found, "imagescaleby_10")
    assert (scaled["image"], scaled["map"], scaled["scale"]) == ({"$ref": ["ksampler_3", "images"]}, ["image"], 0.5)
    assert warned(found, "seed + i")


def test_a_second_sampler_starts_from_the_scaled_picture_of_the_first() -> None:
    graph = comfy_graph("title_marks_hires")
    for one in graph.values():
        one["_meta"]["title"] = one["class_type"]
    graph["5"]["inputs"] |= {"width": 128, "height": 128}
    found = comfy_import(graph)
    assert node(found, "ksampler_12")["image"] == {"$ref": ["imagescale_10", "image"]}
    assert (node(found, "ksampler_12")["steps"], node(found, "ksampler_12")["strength"]) == (20, 0.5)
    assert node(found, "imagescale_10") == {
        "type": "op:image.resize",
        "task": None,
        "map": [],
        "image": {"$ref": ["ksampler_3", "image"]},
        "width": 1024,
        "fit": "stretch",
        "resample": "bicubic",
    }
    assert compiled(found).graph is not None


def test_samplers_in_a_row_go_over_a_picture_and_that_is_told() -> None:
    graph = comfy_graph("text_to_image")
    graph["20"] = copy.deepcopy(graph["3"])
    graph["20"]["inputs"] |= {"latent_image": ["3", 0], "denoise": 0.5}
    graph["8"]["inputs"]["samples"] = ["20", 0]
    found = comfy_import(graph)
    assert node(found, "ksampler_20")["image"] == {"$ref": ["ksampler_3", "image"]}
    assert warned(found, "KSampler 20", "decoded and encoded again")


def test_loras_are_adapters_and_every_difference_is_told() -> None:
    found = comfy_import(comfy_graph("two_loras_clip_skip"), **{"stripes.safetensors": "acme-stripes"})
    assert node(found, "ksampler_3")["adapters"] == [
        {"name": "ink-wash-v2", "scale": 0.8},
        {"name": "acme-stripes", "scale": 1},
    ]
    assert warned(found, "Ink Wash_v2.safetensors", "strength 0.6 for the text encoder")
    assert warned(found, "Ink Wash_v2.safetensors", "is the adapter ink-wash-v2 here")
    assert not warned(found, "acme-stripes here")
    assert warned(found, "CLIPSetLastLayer 12", "clip skip")
    graph = comfy_graph("two_loras_clip_skip")
    graph["7"]["inputs"]["clip"] = ["4", 1]
    assert warned(comfy_import(graph), "KSampler 3", "different LoRAs")
    alone = comfy_import(comfy_graph("lora_model_only"))
    assert warned(alone, "sdxl_lightning_4step_lora", "the model alone")
    assert warned(alone, "zeroed negative prompt")
    assert warned(alone, "scheduler sgm_uniform")


def test_prompts_mean_what_they_meant() -> None:
    found = comfy_import(comfy_graph("batch_scaled"))
    assert node(found, "ksampler_3")["prompt"] == r"(a lighthouse:1.3) at \[dawn\], embedding:easyneg"
    assert warned(found, "CLIPTextEncode 6", "embedding")
    assert warned(found, "CLIPTextEncode 6", "weights")
    assert node(found, "ksampler_3")["seed"] == (2**64 - 1) % 2**53
    assert warned(found, "seed 18446744073709551615")


def test_values_that_one_node_uses_are_written_there_and_shared_ones_are_held() -> None:
    graph = comfy_graph("primitives")
    found = comfy_import(graph)
    made = node(found, "ksampler_3")
    assert (made["steps"], made["guidance_scale"]) == (24, 6.5)
    assert made["adapters"] == [{"name": "stripes", "scale": 0.75}]
    assert node(found, "stringconcatenate_22")["text_1"] == "a red circle"
    graph["3"]["inputs"]["seed"] = ["23", 0]
    shared = comfy_import(graph)
    held = shared.spec.nodes["primitiveint_23"]
    assert (held.type, held.inputs) == ("op:constant", {"value": 24, "type": "number"})
    assert node(shared, "ksampler_3")["seed"] == node(shared, "ksampler_3")["steps"]


def test_pictures_are_worked_on_by_operations() -> None:
    found = comfy_import(comfy_graph("picture_operations"))
    types = {one.type for one in found.spec.nodes.values()}
    wanted = "resize composite crop blur info new"
    assert {f"op:image.{word}" for word in wanted.split()} | {"op:list.make", "op:mask.combine"} <= types
    assert found.spec.nodes["imageblur_7"].inputs["radius"] == pytest.approx(8 * 0.5396, abs=0.01)
    assert [(one.name, one.from_[0]) for one in found.spec.interface.outputs] == [
        ("both", "imagebatch_9"),
        ("preview", "maskcomposite_13"),
        ("mask", "feathermask_16"),
    ]
    graph = comfy_graph("picture_operations")
    for id in ("16", "17"):
        del graph[id]
    assert compiled(comfy_import(graph)).graph is not None


def test_an_advanced_sampler_that_begins_late_is_a_part_of_the_way() -> None:
    graph = comfy_graph("image_to_image")
    old = graph["3"]["inputs"]
    shared = {name: old[name] for name in ("model", "positive", "negative", "latent_image", "cfg", "scheduler")}
    own = {"add_noise": "enable", "noise_seed": 1, "steps": 30, "sampler_name": "ddim", "start_at_step": 12}
    more = {"end_at_step": 10000, "return_with_leftover_noise": "disable"}
    graph["3"] = {"class_type": "KSamplerAdvanced", "inputs": shared | own | more}
    made = node(comfy_import(graph), "ksampleradvanced_3")
    assert (made["steps"], made["strength"], made["sampler"]) == (30, 0.6, "ddim")
    graph["3"]["inputs"]["end_at_step"] = 20
    assert "KSamplerAdvanced" in inert(comfy_import(graph))


@pytest.mark.parametrize(
    ("sampler", "scheduler", "ours", "is_told"),
    [
        ("euler", "normal", "euler", False),
        ("dpmpp_2m", "karras", "dpmpp_2m_karras", False),
        ("dpmpp_2m_sde_gpu", "karras", "dpmpp_2m_sde_karras", False),
        ("uni_pc_bh2", "normal", "unipc", False),
        ("ddim", "ddim_uniform", "ddim", False),
        ("lcm", "sgm_uniform", "lcm", False),
        ("uni_pc", "normal", "unipc", True),
        ("euler_ancestral", "karras", "euler_ancestral", True),
        ("euler", "simple", "euler", True),
        ("dpmpp_sde", "karras", "dpmpp_2m_sde_karras", True),
        ("lms", "beta", "euler", True),
        ("my_sampler", "normal", "my_sampler", True),
    ],
)
def test_samplers_have_our_names_and_what_is_not_equal_is_told(
    sampler: str, scheduler: str, ours: str, is_told: bool
) -> None:
    choice = sampler_for(sampler, scheduler)
    assert (choice.name, choice.differs is not None) == (ours, is_told)
    assert ours in set(Sampler) or ours == "my_sampler"


def test_a_sampler_that_nobody_knows_is_an_error_and_not_another_one() -> None:
    graph = comfy_graph("text_to_image")
    graph["3"]["inputs"]["sampler_name"] = "my_sampler"
    (problem,) = compiled(comfy_import(graph)).errors
    assert (problem.code, problem.param) == (Code.INVALID_VALUE, "nodes.ksampler_3.inputs.sampler")


# Models


@pytest.mark.parametrize(
    ("checkpoint", "task", "name"),
    [
        ("v1-5-pruned-emaonly.safetensors", Task.TEXT_TO_IMAGE, "sd15"),
        ("SD1.5/v1-5-pruned.ckpt", Task.IMAGE_TO_IMAGE, "sd15"),
        ("sd15.safetensors", Task.TEXT_TO_IMAGE, "sd15"),
        ("sd-v1-5-inpainting.ckpt", Task.IMAGE_TO_IMAGE, "sd15-inpainting"),
        ("sd-v1-5-inpainting.ckpt", Task.TEXT_TO_IMAGE, None),
        ("sd_xl_base_1.0.safetensors", Task.TEXT_TO_IMAGE, "sdxl-base"),
        ("sd_xl_refiner_1.0.safetensors", Task.IMAGE_TO_IMAGE, None),
        ("sd_xl_turbo_1.0_fp16.safetensors", Task.TEXT_TO_IMAGE, None),
        ("shapes_sd.safetensors", Task.TEXT_TO_IMAGE, "shapes-sd"),
        ("dreamshaper_8.safetensors", Task.TEXT_TO_IMAGE, None),
        ("sd15_dreamy_mix.safetensors", Task.TEXT_TO_IMAGE, None),
        ("smollm2-135m-instruct.safetensors", Task.TEXT_TO_IMAGE, None),
        ("", Task.TEXT_TO_IMAGE, None),
    ],
)
def test_a_checkpoint_is_a_served_model_only_where_its_name_says_so(
    checkpoint: str, task: Task, name: str | None
) -> None:
    assert model_for(checkpoint, task, served_models(), {}).name == name


def test_a_name_that_may_be_two_models_is_neither() -> None:
    models = {f"sdxl-{word}": served_models()["sdxl-base"] for word in ("base", "fp16")}
    choice = model_for("sd_xl_base_1.0.safetensors", Task.TEXT_TO_IMAGE, models, {})
    assert (choice.name, "sdxl-base, sdxl-fp16" in choice.reason) == (None, True)


def test_a_checkpoint_that_is_not_served_is_an_error_with_its_name_until_one_is_chosen() -> None:
    graph = comfy_graph("text_to_image")
    graph["4"]["inputs"]["ckpt_name"] = "dreamshaper_8.safetensors"
    found = comfy_import(graph)
    (problem,) = compiled(found).errors
    assert (problem.code, problem.node) == (Code.UNKNOWN_MODEL, "ksampler_3")
    assert "dreamshaper_8.safetensors" in problem.message
    assert warned(found, "dreamshaper_8.safetensors", "choose one")
    for key in ("dreamshaper_8.safetensors", "dreamshaper_8"):
        chosen = comfy_import(graph, **{key: "sd15"})
        assert chosen.spec.nodes["ksampler_3"].type == "model:sd15"
        assert chosen.warnings == []
        assert compiled(chosen).graph is not None


# Interfaces


def inputs_of(found: Imported) -> dict[str, tuple[str, Any]]:
    return {one.name: (one.type, one.default) for one in found.spec.interface.inputs}


def test_titles_mark_inputs_and_outputs() -> None:
    found = comfy_import(comfy_graph("title_marks_hires"))
    assert inputs_of(found) == {
        "how_many_steps": ("number", 20),
        "size_width": ("number", 512),
        "size_height": ("number", 512),
        "size_batch_size": ("number", 1),
        "prompt": ("text", PROMPT),
        "seed": ("number", 99),
    }
    assert node(found, "ksampler_3")["steps"] == {"$input": "how_many_steps"}
    assert node(found, "ksampler_12")["seed"] == {"$input": "seed"}
    titles = {one.name: one.title for one in found.spec.interface.outputs}
    assert titles == {"large_picture": "Large Picture", "draft": ""}


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("input: Words", "words"),
        ("INPUT:words", "words"),
        ("[input] words", "words"),
        ("[input: words]", "words"),
        ("input: my words = text", "my_words"),
        ("[Input]", "text"),
        ("inputs of mine", None),
        ("the input: words", None),
    ],
)
def test_marks_in_titles_are_read_as_documented(title: str, name: str | None) -> None:
    graph = comfy_graph("text_to_image")
    graph["6"]["_meta"]["title"] = title
    assert list(inputs_of(comfy_import(graph))) == ([name] if name else [])


def test_a_mark_on_nothing_is_told() -> None:
    graph = comfy_graph("text_to_image")
    graph["8"]["_meta"]["title"] = "input: picture"
    graph["6"]["_meta"]["title"] = "input: words = colour"
    graph["4"]["_meta"]["title"] = "input: model"
    graph["3"]["_meta"]["title"] = "input: way = sampler_name"
    found = comfy_import(graph)
    assert warned(found, "VAEDecode 8", "has no value to be one")
    assert warned(found, "CLIPTextEncode 6", "'colour'")
    assert warned(found, "KSampler 3", "sampler_name cannot be an input here")
    assert inputs_of(found) == {"model": ("model", "sd15")}
    assert found.spec.nodes["ksampler_3"].type == "task:text_to_image"


def test_app_mode_says_inputs_outputs_and_layout_come_from_the_saved_file() -> None:
    found = comfy_import(comfy_graph("app_mode"))
    assert inputs_of(found) == {"text": ("text", "a yellow triangle"), "guidance": ("number", 7)}
    assert [(one.name, one.primary) for one in found.spec.interface.outputs] == [("shapes", True)]
    made = node(found, "ksampler_3")
    assert (made["steps"], made["sampler"], made["width"]) == (18, "dpmpp_2m_karras", 256)
    place = found.spec.layout.nodes["ksampler_3"]
    assert (place.x, place.y, place.width) == (863, 186, 315)
    texts = [note.text for note in found.spec.layout.notes]
    assert texts[0] == "Made for the shapes model."
    assert [text.split(":")[0] for text in texts[1:]] == ["LoraLoader 16", "ImageInvert 14", "PreviewImage 10"]
    assert json.loads(texts[1].partition("\n")[2])["widgets_values"] == ["leftover.safetensors", 1, 1]
    assert [group.title for group in found.spec.layout.groups] == ["Prompts"]
    assert warned(found, "scheduler cannot be an input here")
    assert warned(found, "seed was another one for each run")
    graph = comfy_graph("app_mode")
    next(one for one in graph["nodes"] if one["id"] == 7)["widgets_values"] = ["{dull|blurry}"]
    assert warned(comfy_import(graph), "CLIPTextEncode 7", "{one|another}")


def test_subgraphs_are_laid_flat() -> None:
    found = comfy_import(comfy_graph("subgraph"))
    assert list(found.spec.nodes) == ["ksampler_20_3"]
    assert node(found, "ksampler_20_3")["prompt"] == "a red star"
    assert set(found.spec.provenance.became) == {"1", "8", "9", "20:3", "20:5", "20:6", "20:7"}


def test_nodes_of_comfy_pack_are_inputs() -> None:
    found = comfy_import(comfy_graph("comfy_pack"))
    assert inputs_of(found) == {
        "prompt": ("text", "a green star"),
        "steps": ("number", 20),
        "guidance": ("number", 7.5),
    }
    bounds = {one.name: (one.constraints.minimum, one.constraints.maximum) for one in found.spec.interface.inputs}
    assert bounds == {"prompt": (None, None), "steps": (1, 50), "guidance": (1, 12)}


def test_nodes_of_comfy_deploy_are_inputs_and_outputs() -> None:
    found = comfy_import(comfy_graph("comfy_deploy"))
    assert inputs_of(found) == {
        "prompt": ("text", "a blue square"),
        "seed": ("number", None),
        "photo": ("image", None),
        "change": ("number", 0.6),
        "style": ("adapter", {"name": "stripes", "scale": 0.9}),
        "checkpoint": ("model", "shapes-sd"),
    }
    by_name = {one.name: one for one in found.spec.interface.inputs}
    assert by_name["seed"].optional
    assert by_name["prompt"].description == "What to paint."
    assert found.spec.nodes["comfydeployoutputimage_9"].inputs["format"] == "webp"
    assert [one.name for one in found.spec.interface.outputs] == ["result"]


def test_a_picture_that_goes_straight_out_is_held_by_a_node() -> None:
    load = {"class_type": "LoadImage", "inputs": {"image": "a.png"}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "ComfyUI"}}
    found = comfy_import({"1": load, "2": save})
    assert [one.type for one in found.spec.nodes.values()] == ["op:constant.image"]
    assert compiled(found).graph is not None


# Whatever is done to a graph


API = sorted(set(NAMES) - SAVED)
JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([{"$input": "x"}, {"__value__": [1, 2]}, ["3", 0], ["4", 1], ["8", 0], ["99", 0], ["3", 70], []]),
    st.sampled_from(["euler", "enable", "or", "sd15.safetensors", "input: x"]),
)


@st.composite
def mangled(draw: st.DrawFn) -> dict[str, Any]:
    """A graph in which inputs were taken out, replaced, joined otherwise, and nodes taken out or renamed."""
    graph = comfy_graph(draw(st.sampled_from(API)))
    for _ in range(draw(st.integers(1, 6))):
        id = draw(st.sampled_from(sorted(graph)))
        inputs = graph[id]["inputs"]
        match draw(st.sampled_from(["drop", "replace", "class", "title", "remove"])):
            case "drop" if inputs:
                del inputs[draw(st.sampled_from(sorted(inputs)))]
            case "replace" if inputs:
                inputs[draw(st.sampled_from(sorted(inputs)))] = draw(JUNK)
            case "class":
                graph[id]["class_type"] = draw(st.sampled_from([*sorted(CLASSES), "Strange Node"]))
            case "title":
                marks = ["input: a", "output: b", "[input]", "[output: c] = d", "input: x = seed"]
                graph[id]["_meta"]["title"] = draw(st.sampled_from(marks))
            case "remove" if len(graph) > 1:
                del graph[id]
    return graph


@settings(max_examples=300, deadline=None)
@given(mangled())
def test_nothing_is_lost_of_any_graph_and_the_result_is_a_document(graph: dict[str, Any]) -> None:
    try:
        found = comfy_import(graph)
    except InvalidRequest:
        return
    check_nothing_is_lost(found, set(graph))
    plain = found.spec.model_dump_json(by_alias=True, exclude_defaults=True)
    assert WorkflowSpec.model_validate_json(plain) == found.spec
    for problem in compiled(found).problems:
        assert not (problem.code is Code.UNKNOWN_NODE and problem.node is not None), problem
        assert problem.code is not Code.UNKNOWN_INPUT or "interface has no" not in problem.message, problem


def test_the_same_graph_becomes_the_same_workflow() -> None:
    graph: Mapping[str, Any] = comfy_graph("control_net")
    assert comfy_import(graph).spec.digest() == comfy_import(json.dumps(graph, indent=2).encode()).spec.digest()
    assert comfy_import(graph) == comfy_import(graph)
