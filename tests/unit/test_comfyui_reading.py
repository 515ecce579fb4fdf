"""Files that carry graphs: pictures, both formats of JSON, and those that are meant to do harm."""

import contextlib
import io
import json
import struct
import zlib
from typing import Any

import pytest
from fakes.comfyui import comfy_graph, comfy_import
from fakes.effort import effort
from fakes.workflows import ref, workflow
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from serve.domain.errors import InvalidRequest
from serve.media.png_chunks import with_text

SECONDS = 5.0
"""For whatever a stranger sends; it takes a fraction of that."""


def png(zipped: bool = False, **texts: Any) -> bytes:
    """A picture with texts, as ComfyUI writes them."""
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text if isinstance(text, str) else json.dumps(text), zip=zipped)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def exif(format: str, **tags: Any) -> bytes:
    """A picture with the texts of ComfyUI's animated files."""
    block = Image.Exif()
    for tag, name in ((0x0110, "prompt"), (0x010F, "workflow")):
        if name in tags:
            block[tag] = f"{name}:{json.dumps(tags[name])}"
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, format, exif=block)
    return stream.getvalue()


def code_of(data: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        comfy_import(data)
    return caught.value.code


GRAPH = comfy_graph("text_to_image")
SAVED = comfy_graph("app_mode")
PLAIN = comfy_import(GRAPH).spec


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(GRAPH).encode(),
        b"\xef\xbb\xbf" + json.dumps(GRAPH).encode(),
        {"prompt": GRAPH, "client_id": "x"},
        {"output": GRAPH, "workflow": {"nodes": [], "links": []}},
        png(prompt=GRAPH),
        png(True, prompt=GRAPH),
        with_text(png(), {"prompt": json.dumps(GRAPH)}),
        exif("WEBP", prompt=GRAPH),
        exif("JPEG", prompt=GRAPH),
        png(prompt=json.dumps(GRAPH | {"9": GRAPH["9"] | {"is_changed": [float("nan")]}})),
    ],
    ids=["json", "byte order mark", "request", "both", "png", "zTXt", "iTXt", "webp", "jpeg", "nan"],
)
def test_the_same_graph_is_read_wherever_it_is(data: Any) -> None:
    found = comfy_import(data).spec
    assert (found.nodes, found.interface) == (PLAIN.nodes, PLAIN.interface)


@pytest.mark.parametrize("data", [png(workflow=SAVED), exif("WEBP", workflow=SAVED), SAVED])
def test_the_saved_format_alone_is_enough(data: Any) -> None:
    assert comfy_import(data).spec.nodes == comfy_import(SAVED).spec.nodes


def test_of_both_formats_one_says_what_is_done_and_the_other_how_it_looks() -> None:
    prompt = {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "shapes-sd.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "as it ran", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "3": GRAPH["3"],
        "8": GRAPH["8"],
        "9": GRAPH["9"],
    }
    found = comfy_import(png(prompt=prompt, workflow=SAVED)).spec
    assert [(one.name, one.default) for one in found.interface.inputs] == [("text", "as it ran"), ("guidance", 8)]
    assert found.nodes["ksampler_3"].inputs["width"] == 128
    assert found.layout.nodes["ksampler_3"].x == 863
    assert found.layout.notes[0].text == "Made for the shapes model."


def test_our_own_pictures_give_the_workflow_that_made_them() -> None:
    spec = workflow(
        {"gen": {"type": "model:shapes-sd", "inputs": {"prompt": "ein Füchslein"}}}, {"image": ["gen", "image"]}
    )
    written = spec.model_dump_json(by_alias=True, exclude_defaults=True)
    signed = with_text(png(prompt=GRAPH), {"slipway_workflow": written, "slipway_run": "{}"})
    assert comfy_import(signed).spec == spec
    again = with_text(signed, {"slipway_workflow": PLAIN.model_dump_json(by_alias=True, exclude_defaults=True)})
    assert comfy_import(again).spec == PLAIN
    assert comfy_import({"apiVersion": "x", "kind": "Workflow", "spec": json.loads(written)}).spec == spec
    assert ref("gen", "image") == {"$ref": ["gen", "image"]}


def test_our_own_workflows_take_other_models_for_theirs() -> None:
    document = {"format": "workflow/v1", "nodes": {"gen": {"type": "model:gone", "inputs": {"prompt": "a star"}}}}
    assert comfy_import(document, gone="shapes-sd").spec.nodes["gen"].type == "model:shapes-sd"
    assert comfy_import(document, gone="also gone").spec.nodes["gen"].type == "model:gone"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_json"),
        (b"no json", "invalid_json"),
        (b"\xff\xfe{", "invalid_json"),
        (b"[1, 2]", "invalid_graph"),
        (b"{}", "invalid_graph"),
        ({"nodes": []}, "invalid_graph"),
        ({"nodes": [5]}, "invalid_graph"),
        ({"nodes": [{"type": "KSampler"}]}, "invalid_graph"),
        ({"prompt": {}}, "invalid_graph"),
        ({"3": 5}, "invalid_graph"),
        ({"3": {"inputs": {}}}, "invalid_graph"),
        ({"3": {"class_type": 5, "inputs": {}}}, "invalid_graph"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"a":' * 100_000, "invalid_json"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "invalid_graph"),
        (b'{"3": {"class_type": "A\\u0000B", "inputs": {}}}', "invalid_graph"),
        (b'{"3": {"class_type": "\\ud800", "inputs": {}}}', "invalid_graph"),
        (b'{"3": {"class_type": "A", "inputs": {"x": 1e999}}}', "invalid_graph"),
        (b'{"3": {"class_type": "A", "inputs": {"x": ' + b"9" * 400 + b"}}}", "invalid_graph"),
        (b'{"3": {"class_type": "A", "inputs": {"x": ' + b"9" * 5000 + b"}}}", "invalid_json"),
        (b" " * (4 * 2**20 + 1), "too_large"),
        ({str(id): {"class_type": "A", "inputs": {}} for id in range(100_000)}, "too_large"),
        ({"nodes": [{"id": id, "type": "A"} for id in range(100_000)]}, "too_large"),
        ({str(id): {"class_type": "A", "inputs": {}} for id in range(1999)}, "too_large"),
        (png(), "no_workflow"),
        (png(parameters="a cat, steps 20"), "no_workflow"),
        (png(prompt="no json"), "invalid_json"),
        (png(slipway_workflow='{"nodes": {"A B": {"type": "op:constant"}}}'), "invalid_value"),
        (exif("WEBP"), "no_workflow"),
        (exif("JPEG"), "no_workflow"),
        (b"\x89PNG\r\n\x1a\n", "no_workflow"),
        (b"\xff\xd8\xff", "no_workflow"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "no_workflow"),
    ],
)
def test_what_is_no_graph_is_refused_with_a_code_and_soon(data: Any, code: str) -> None:
    with effort() as spent:
        assert code_of(data) == code
    assert spent.seconds < SECONDS


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(side: int = 2**31 - 1, num_chunks: int = 0, text: bytes = b"") -> bytes:
    """A picture that declares more than there is, in as many pieces as are asked for."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    packed = chunk(b"zTXt", b"prompt\0\0" + zlib.compress(text)) if text else b""
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"a\0b") * num_chunks + packed + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [bomb(num_chunks=100_000), bomb(text=b" " * 2**27), bomb()[:-20], bomb(text=b"{}")[:40]],
    ids=["chunks", "unpacks", "cut", "cut early"],
)
def test_pictures_that_are_bombs_are_refused_unread(data: bytes) -> None:
    with effort() as spent:
        assert code_of(data) == "no_workflow"
    assert spent.seconds < SECONDS


def test_a_picture_is_never_decoded_for_its_text() -> None:
    assert comfy_import(bomb(text=json.dumps(GRAPH).encode())).spec.nodes == PLAIN.nodes


def test_cycles_stay_as_they_are_and_are_told() -> None:
    graph = comfy_graph("latent_hires_fix")
    graph["10"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["12", 0], "vae": ["4", 2]}}
    found = comfy_import(graph)
    kept = {name for name, one in found.spec.nodes.items() if one.type.startswith("comfy:")}
    assert {"vaeencode_10", "ksampler_11", "vaedecode_12"} <= kept
    assert any("KSampler 11: it waits for its own result" in told for told in found.warnings)


def long_chain(length: int) -> dict[str, Any]:
    graph: dict[str, Any] = {"0": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}
    for id in range(1, length):
        graph[str(id)] = {"class_type": "InvertMask", "inputs": {"mask": [str(id - 1), int(id == 1)]}}
    graph["end"] = {"class_type": "MaskPreview", "inputs": {"mask": [str(length - 1), 0]}}
    return graph


def wide_fan(width: int) -> dict[str, Any]:
    graph: dict[str, Any] = {"0": {"class_type": "PrimitiveInt", "inputs": {"value": 3}}}
    for id in range(1, width):
        graph[str(id)] = {"class_type": "PrimitiveString", "inputs": {"value": "x"}}
    graph["end"] = {"class_type": "Unknown", "inputs": {f"in{id}": [str(id), 0] for id in range(width)}}
    return graph


def nested_subgraphs(depth: int, width: int) -> dict[str, Any]:
    """Each subgraph holds `width` of the next one; the last one is empty."""
    planes = [
        {"id": f"s{level}", "nodes": [{"id": id, "type": f"s{level + 1}"} for id in range(width)], "links": []}
        for level in range(depth)
    ]
    top = {"nodes": [{"id": 1, "type": "s0"}], "links": []}
    return top | {"definitions": {"subgraphs": [*planes, {"id": f"s{depth}", "nodes": [], "links": []}]}}


def endless_reroutes(count: int) -> dict[str, Any]:
    nodes = [{"id": id, "type": "Reroute", "inputs": [{"name": "", "type": "*"}]} for id in range(count)]
    sink = {"id": count, "type": "Sink", "inputs": [{"name": f"i{slot}", "type": "*"} for slot in range(5000)]}
    links: list[Any] = [[id, id, 0, (id + 1) % count, 0, "*"] for id in range(count)]
    links += [[count + slot, slot % count, 0, count, slot, "*"] for slot in range(5000)]
    return {"nodes": [*nodes, sink], "links": links}


@pytest.mark.parametrize(
    ("graph", "is_taken"),
    [
        (long_chain(490), True),
        (long_chain(1900), False),
        (wide_fan(100), True),
        (wide_fan(1900), False),
        (nested_subgraphs(5, 8), False),
        (nested_subgraphs(3, 3), False),
        (nested_subgraphs(20, 1), False),
        (endless_reroutes(1500), True),
        ({"nodes": [{"id": 1, "type": "A"}], "links": [[0, 1, 0, 1, 0, "*"]] * 250_000}, False),
    ],
    ids=[
        "chain",
        "long chain",
        "fan",
        "wide fan",
        "subgraphs",
        "empty subgraphs",
        "deep subgraphs",
        "reroutes",
        "links",
    ],
)
def test_large_graphs_take_no_long_time(graph: dict[str, Any], is_taken: bool) -> None:
    with effort() as spent:
        if is_taken:
            assert comfy_import(graph).spec.nodes
        else:
            assert code_of(graph) in ("too_large", "invalid_graph")
    assert spent.seconds < SECONDS


def test_a_million_warnings_are_a_thousand() -> None:
    graph = {str(id): {"class_type": "A", "inputs": {}} for id in range(400)}
    found = comfy_import(graph | {f"no node {id}": id for id in range(1500)})
    assert len(found.warnings) == 1000
    assert len(found.spec.nodes) == 400


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NODE = st.fixed_dictionaries(
    {"id": st.integers(0, 5) | ANYTHING, "type": st.sampled_from(["KSampler", "Reroute", "Note", "s"]) | ANYTHING},
    optional={
        name: ANYTHING | st.sampled_from([2, 4, [{"name": "x", "type": "A", "link": 1}]])
        for name in ("mode", "inputs", "outputs", "widgets_values", "pos", "size", "title", "flags", "bgcolor")
    },
)
LINK = st.lists(st.integers(0, 5), min_size=5, max_size=6) | ANYTHING
PLANE = st.fixed_dictionaries(
    {"nodes": st.lists(NODE, max_size=5), "links": st.lists(LINK, max_size=6) | ANYTHING},
    optional={"groups": ANYTHING, "extra": ANYTHING | st.fixed_dictionaries({"linearData": ANYTHING})},
)
PLANES = st.builds(lambda top, inner: top | {"definitions": {"subgraphs": [inner | {"id": "s"}]}}, PLANE, PLANE)

TWICE = [{"id": 0, "type": "s"}, {"id": 0, "type": "s"}]


def test_of_two_nodes_with_one_id_the_last_is_taken_and_told() -> None:
    inner = {"id": "s", "nodes": [{"id": 1, "type": "Mystery"}], "links": []}
    imported = comfy_import({"nodes": TWICE, "links": [], "definitions": {"subgraphs": [inner]}})
    assert [node.type for node in imported.spec.nodes.values()] == ["comfy:Mystery"]
    assert any("several nodes have this id" in told for told in imported.warnings), imported.warnings


@settings(max_examples=200, deadline=None)
@given(ANYTHING | PLANES | st.dictionaries(st.text(max_size=3), ANYTHING, max_size=3))
def test_any_json_at_all_is_read_or_refused(value: Any) -> None:
    for data in (value, json.dumps(value).encode()):
        if isinstance(data, (dict, bytes)):
            with contextlib.suppress(InvalidRequest):
                assert comfy_import(data).spec.provenance.became


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 900), st.binary(max_size=4), st.sampled_from(["PNG", "WEBP"]))
def test_damaged_pictures_are_read_or_refused(at: int, noise: bytes, format: str) -> None:
    whole = png(prompt=GRAPH) if format == "PNG" else exif(format, prompt=GRAPH)
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    with contextlib.suppress(InvalidRequest):
        assert comfy_import(damaged).spec.nodes
