"""Files that were made to hurt: each is refused by its header or its name, before anything loads it."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from fakes.weights import safetensors_bytes, tensor

from serve.catalog.inspection import inspect
from serve.catalog.safetensors import check_safetensors
from serve.catalog.sources.source import Listing, RemoteFile
from serve.catalog.weight_plan import Action, plan_weights
from serve.domain.errors import InvalidRequest

F32 = tensor("F32", [2, 2], 0, 16)

HOSTILE_HEADERS = {
    "empty": (b"", "truncated"),
    "a header of 2^63 bytes": (struct.pack("<Q", 2**63) + b"{}", "header_too_large"),
    "a header of 99 MB": (struct.pack("<Q", 99 * 2**20) + b"{}", "header_too_large"),
    "a header beyond the file": (struct.pack("<Q", 100) + b"{}", "truncated"),
    "a header that is no JSON": (safetensors_bytes(b"\x80\x02pickle"), "invalid_header"),
    "a header that is a list": (safetensors_bytes(b"[]"), "invalid_header"),
    "a header that is nested": (safetensors_bytes(b'{"a":' * 5000 + b"1" + b"}" * 5000), "invalid_header"),
    "a number of 10,000 digits": (safetensors_bytes(b'{"a": ' + b"9" * 10_000 + b"}"), "invalid_header"),
    "the same tensor twice": (
        safetensors_bytes(b'{"w": %s, "w": %s}' % ((json.dumps(F32).encode(),) * 2)),
        "duplicate_key",
    ),
    "metadata that is no text": (safetensors_bytes({"__metadata__": {"a": 1}, "w": F32}), "invalid_header"),
    "an entry with more": (safetensors_bytes({"w": F32 | {"code": "x"}}), "invalid_header"),
    "a dtype of its own": (safetensors_bytes({"w": F32 | {"dtype": "OBJECT"}}), "invalid_header"),
    "overlapping": (
        safetensors_bytes({"a": tensor("F32", [4], 0, 16), "b": tensor("F32", [4], 8, 24)}, b"\0" * 24),
        "overlap",
    ),
    "the same bytes twice": (safetensors_bytes({"a": F32, "b": F32}), "overlap"),
    "a hole": (safetensors_bytes({"a": F32, "b": tensor("F32", [4], 20, 36)}, b"\0" * 36), "hole"),
    "a hole at the front": (safetensors_bytes({"a": tensor("F32", [2, 2], 4, 20)}, b"\0" * 20), "hole"),
    "bytes after the end": (safetensors_bytes({"w": F32}, b"\0" * 17), "hole"),
    "bytes that are not there": (safetensors_bytes({"w": F32}, b"\0" * 15), "truncated"),
    "a negative dimension": (safetensors_bytes({"w": tensor("F32", [-2, -2], 0, 16)}), "invalid_shape"),
    "a dimension that is true": (safetensors_bytes({"w": tensor("F32", [True, 4], 0, 16)}), "invalid_shape"),
    "an absurd shape": (safetensors_bytes({"w": tensor("F32", [2**40, 2**40], 0, 16)}), "invalid_shape"),
    "a shape that wraps around": (
        safetensors_bytes({"w": tensor("F32", [2**32, 2**32, 1], 0, 0)}, b""),
        "invalid_shape",
    ),
    "a thousand dimensions": (safetensors_bytes({"w": tensor("F32", [1] * 1000, 0, 4)}, b"\0" * 4), "invalid_shape"),
    "a size that does not add up": (safetensors_bytes({"w": tensor("F32", [3], 0, 16)}), "invalid_size"),
    "offsets that go back": (safetensors_bytes({"w": tensor("F32", [2, 2], 16, 0)}), "invalid_size"),
    "offsets that are fractions": (safetensors_bytes({"w": F32 | {"data_offsets": [0.0, 16.0]}}), "invalid_size"),
}


@pytest.mark.parametrize(("data", "code"), HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
def test_a_hostile_header_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidRequest) as caught:
        check_safetensors(path, "model.safetensors")
    assert caught.value.code == f"safetensors_{code}"
    assert "model.safetensors is not loaded: " in caught.value.message


@pytest.mark.parametrize(
    "header",
    [
        {"w": F32},
        {"b": tensor("F16", [4], 8, 16), "a": tensor("I64", [], 0, 8), "__metadata__": {"format": "pt"}},
        {"a": tensor("F32", [0, 7], 0, 0), "w": F32},
        {"w": tensor("F4", [32], 0, 16)},
    ],
    ids=["one", "out of order", "an empty tensor", "half bytes"],
)
def test_an_honest_header_passes(header: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(header))
    check_safetensors(path, "model.safetensors")


def listing(*paths: str) -> Listing:
    return Listing("r", tuple(RemoteFile(path, 10) for path in paths))


REFUSED_NAMES = {
    "a pickle": (("model.safetensors", "pytorch_model.bin"), "pickle_refused"),
    "a checkpoint": (("model.ckpt",), "pickle_refused"),
    "a capital pickle": (("model.safetensors", "X.PT"), "pickle_refused"),
    "python": (("model.safetensors", "modeling_x.py"), "code_refused"),
    "a library": (("model.safetensors", "x.so"), "code_refused"),
    "a way up": (("../model.safetensors",), "unsafe_path"),
    "a way up inside": (("a/../../model.safetensors",), "unsafe_path"),
    "the root": (("/etc/model.safetensors",), "unsafe_path"),
    "a backslash": (("..\\model.safetensors",), "unsafe_path"),
    "an end of text": (("a\0.safetensors",), "unsafe_path"),
    "a turn of direction": (("a\u202e.safetensors",), "unsafe_path"),
    "a name too long": (("x" * 300 + ".safetensors",), "unsafe_path"),
    "the same path twice": (("model.safetensors", "model.safetensors"), "unsafe_path"),
    "a million files": (tuple(f"{n}.json" for n in range(10_001)), "too_many_files"),
    "no weights": (("config.json",), "no_weights"),
    "two GGUF files": (("a.gguf", "b.gguf"), "ambiguous_weights"),
}


@pytest.mark.parametrize(("paths", "code"), REFUSED_NAMES.values(), ids=REFUSED_NAMES)
def test_a_name_can_be_enough(paths: tuple[str, ...], code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan_weights(listing(*paths), passes_over_pickles=False)
    assert caught.value.code == code


def test_from_a_hub_only_what_is_needed_is_fetched() -> None:
    needed = ["config.json", "model.safetensors", "tokenizer.model", "merges.txt", "chat_template.jinja"]
    left = ["pytorch_model.bin", "README.md", "original/params.json", "consolidated.safetensors", "onnx/model.json"]
    plan = plan_weights(listing(*needed, *left), passes_over_pickles=True)
    assert sorted(f.path for f in plan.chosen) == sorted(needed)
    assert all(d.reason for d in plan.decisions if d.action is Action.SKIP)


def test_a_hub_with_nothing_but_pickles_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan_weights(listing("config.json", "pytorch_model.bin"), passes_over_pickles=True)
    assert caught.value.code == "pickle_refused"


def test_a_gguf_file_is_taken_alone_and_converted() -> None:
    plan = plan_weights(listing("model.Q4.gguf", "README.md"), passes_over_pickles=False)
    assert (plan.convert, [f.path for f in plan.chosen]) == ("model.Q4.gguf", ["model.Q4.gguf"])


REFUSED_FILES = {
    "auto_map": ("config.json", {"auto_map": {"AutoModel": "m.M"}}, "remote_code_refused"),
    "auto_map within": ("config.json", {"text_config": {"a": [{"auto_map": {"x": "y"}}]}}, "remote_code_refused"),
    "auto_map of a tokenizer": ("tokenizer_config.json", {"auto_map": {"x": "y"}}, "remote_code_refused"),
    "trust": ("config.json", {"trust_remote_code": True}, "remote_code_refused"),
    "a custom pipeline": ("model_index.json", {"_class_name": ["my", "Pipe"]}, "remote_code_refused"),
    "a gadget": ("model_index.json", {"_class_name": "P", "vae": ["subprocess", "Popen"]}, "remote_code_refused"),
    "a module": ("modules.json", [{"type": "os.system"}], "remote_code_refused"),
    "no JSON": ("config.json", None, "invalid_config"),
    "a shard elsewhere": (
        "model.safetensors.index.json",
        {"weight_map": {"w": "../../x.safetensors"}},
        "missing_shard",
    ),
    "a GGUF that is none": ("model.gguf", {}, "invalid_gguf"),
}


@pytest.mark.parametrize(("name", "body", "code"), REFUSED_FILES.values(), ids=REFUSED_FILES)
def test_a_file_that_brings_code_is_refused(name: str, body: Any, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{" if body is None else json.dumps(body))
    with pytest.raises(InvalidRequest) as caught:
        inspect(tmp_path, [name])
    assert caught.value.code == code
    assert name in caught.value.message


def test_honest_configuration_passes(tmp_path: Path) -> None:
    bodies: dict[str, Any] = {
        "config.json": {"model_type": "llama", "auto_map": None},
        "model_index.json": {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]},
        "modules.json": [{"type": "sentence_transformers.models.Transformer"}],
    }
    for name, body in bodies.items():
        (tmp_path / name).write_text(json.dumps(body))
    inspect(tmp_path, bodies)
