"""Uploads that were made to hurt: each is refused with a reason, before anything is believed, and nothing is run."""

import asyncio
import io
import json
import os
import pickle
import stat
import struct
import zipfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.adapter_headers import adapter_bytes, lora
from fakes.weights import safetensors_bytes, tensor

from serve.catalog.adapters.packing import PackedAdapter, pack, receive
from serve.catalog.adapters.values import check_finite
from serve.domain.errors import InvalidRequest, PayloadTooLarge

LIMIT = 2**20
STEM = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
GOOD = adapter_bytes(lora(STEM))
PEFT = adapter_bytes(lora("base_model.model.lm_head"))
CONFIG = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}).encode()
RAN = "SLIPWAY_TEST_A_PICKLE_RAN"


class Gadget:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.putenv, (RAN, "1")


def packed(uploads: Mapping[str, bytes], folder: Path, max_bytes: int = LIMIT) -> PackedAdapter:
    """`uploads` as the gateway hands them over: in files of other names."""
    paths = {name: folder / f"upload-{at}" for at, name in enumerate(uploads)}
    for name, path in paths.items():
        path.write_bytes(uploads[name])
    return pack(paths, folder / "made", max_bytes)


def archive(entries: Mapping[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as target:
        for name, data in entries.items():
            target.writestr(name, data)
    return made.getvalue()


def torch_checkpoint() -> bytes:
    """The zip that torch.save writes."""
    return archive({"archive/data.pkl": pickle.dumps(Gadget()), "archive/data/0": b"\0" * 16}, zipfile.ZIP_STORED)


def of_values(dtype: str, *values: int) -> bytes:
    """An adapter of two tensors of 64 elements whose first numbers have these bits."""
    width = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "F8_E4M3": 1}[dtype]
    data = b"".join(value.to_bytes(width, "little") for value in values).ljust(128 * width, b"\0")
    header = {
        f"{STEM}.lora_A.weight": tensor(dtype, [1, 64], 0, 64 * width),
        f"{STEM}.lora_B.weight": tensor(dtype, [64, 1], 64 * width, 128 * width),
    }
    return safetensors_bytes(header, data)


def wide(rank: int) -> bytes:
    return adapter_bytes({f"{STEM}.lora_A.weight": (rank, 1), f"{STEM}.lora_B.weight": (1, rank)}, dtype="F16")


def twice() -> bytes:
    entry = json.dumps(tensor("F16", [4, 2], 0, 16)).encode()
    name = f"{STEM}.lora_A.weight".encode()
    return safetensors_bytes(b'{"%s": %s, "%s": %s}' % (name, entry, name, entry))


OVERLAPPING = {
    f"{STEM}.lora_A.weight": tensor("F32", [1, 4], 0, 16),
    f"{STEM}.lora_B.weight": tensor("F32", [4, 1], 8, 24),
}
FILES: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps(Gadget()), "adapter_pickle"),
    "an old pickle": (pickle.dumps(Gadget(), protocol=2), "adapter_pickle"),
    "a checkpoint of torch": (torch_checkpoint(), "adapter_pickle"),
    "a header of 2^63": (struct.pack("<Q", 2**63) + b"{}", "safetensors_header_too_large"),
    "a header of 99 MB": (struct.pack("<Q", 99 * 2**20) + b"{}", "safetensors_header_too_large"),
    "a header that begins as a pickle": (struct.pack("<Q", 640) + b"{" + b" " * 700, "safetensors_invalid_header"),
    "overlapping offsets": (safetensors_bytes(OVERLAPPING, b"\0" * 24), "safetensors_overlap"),
    "offsets beyond the end": (GOOD[:-2], "safetensors_truncated"),
    "a file cut short": (GOOD[:100], "safetensors_truncated"),
    "nothing": (b"", "safetensors_truncated"),
    "duplicate keys": (twice(), "safetensors_duplicate_key"),
    "NaN in F16": (of_values("F16", 0, 0x7E00), "adapter_not_finite"),
    "infinity in F16": (of_values("F16", 0xFC00), "adapter_not_finite"),
    "NaN in BF16": (of_values("BF16", 0x7FC0), "adapter_not_finite"),
    "NaN in F32": (of_values("F32", 1, 2, 0x7F80_0001), "adapter_not_finite"),
    "NaN in F64": (of_values("F64", 0xFFF8_0000_0000_0000), "adapter_not_finite"),
    "NaN in alpha": (
        safetensors_bytes(
            {
                f"{STEM}.lora_A.weight": tensor("F16", [1, 1], 0, 2),
                f"{STEM}.lora_B.weight": tensor("F16", [1, 1], 2, 4),
                f"{STEM}.alpha": tensor("F16", [], 4, 6),
            },
            b"\0\0\0\0\x00\x7e",
        ),
        "adapter_not_finite",
    ),
    "float8": (of_values("F8_E4M3"), "adapter_dtype"),
    "rank 10^6": (wide(10**5 * 2), "adapter_rank"),
    "no tensors": (safetensors_bytes({}, b""), "adapter_unrecognised"),
    "a whole model": (adapter_bytes({"model.layers.0.mlp.up_proj.weight": (4, 4)}), "adapter_unrecognised"),
    "another family": (adapter_bytes(lora("transformer.blocks.0.attn.to_q")), "adapter_unrecognised"),
    "a key without end": (adapter_bytes(lora("unet.down_blocks.0." + "a" * 100_000)), "adapter_unrecognised"),
    "PEFT without its configuration": (PEFT, "adapter_incomplete"),
    "half a module": (adapter_bytes({f"{STEM}.lora_A.weight": (4, 64)}), "adapter_incomplete"),
    "one part under two names": (
        adapter_bytes(lora(STEM) | {f"{STEM}.lora.down.weight": (4, 64)}),
        "adapter_incomplete",
    ),
    "gzip": (b"\x1f\x8b" + b"\0" * 30, "adapter_archive_invalid"),
    "7z": (b"7z\xbc\xaf" + b"\0" * 30, "adapter_archive_invalid"),
}


@pytest.mark.parametrize(("data", "code"), FILES.values(), ids=FILES)
def test_a_hostile_file_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        packed({"style.safetensors": data}, tmp_path, 2 * LIMIT)
    assert caught.value.code == code
    assert len(caught.value.message) < 500
    assert os.environ.get(RAN) is None


def test_rank_a_million_is_refused_by_its_configuration_too(tmp_path: Path) -> None:
    config = json.dumps({"peft_type": "LORA", "r": 10**6}).encode()
    with pytest.raises(InvalidRequest) as caught:
        packed({"adapter_model.safetensors": PEFT, "adapter_config.json": config}, tmp_path)
    assert caught.value.code == "adapter_rank"


@pytest.mark.parametrize("name", ["style.ckpt", "style.PT", "pytorch_lora_weights.bin", "x.pkl"])
def test_a_pickles_name_is_enough(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="a program that runs when it is opened") as caught:
        packed({name: GOOD}, tmp_path)
    assert caught.value.code == "adapter_pickle"


def link(name: str, kind: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def raw(name: str, into: str) -> bytes:
    """An archive whose entry has a name that zipfile itself would not write."""
    assert len(name) == len(into)
    return archive({name: GOOD}).replace(name.encode(), into.encode())


def with_count(data: bytes, num_entries: int) -> bytes:
    at = data.rfind(b"PK\x05\x06")
    return data[: at + 10] + struct.pack("<H", num_entries) + data[at + 12 :]


def declared(data: bytes, num_bytes: int) -> bytes:
    """An archive whose list of entries says another size for the first one."""
    at = data.find(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<I", num_bytes) + data[at + 28 :]


def doubled() -> bytes:
    return archive({"adapter_modelA.safetensors": GOOD, "adapter_modelB.safetensors": GOOD}).replace(
        b"adapter_modelB", b"adapter_modelA"
    )


def encrypted() -> bytes:
    data = bytearray(archive({"a.safetensors": GOOD}))
    data[data.find(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def elsewhere() -> bytes:
    """An archive whose one entry begins where no file reaches, which takes the 64 bits of zip64 to say."""
    made, extra = bytearray(archive({"a.safetensors": GOOD})), struct.pack("<HHQ", 1, 8, 2**62)
    at = made.rfind(b"PK\x01\x02")
    made[at + 30 : at + 32], made[at + 42 : at + 46] = struct.pack("<H", len(extra)), b"\xff" * 4
    end = made.rfind(b"PK\x05\x06")
    (num_bytes,) = struct.unpack("<I", made[end + 12 : end + 16])
    made[end + 12 : end + 16] = struct.pack("<I", num_bytes + len(extra))
    return bytes(made[:end] + extra + made[end:])


END_64 = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)
ZIPPED = archive({"a.safetensors": GOOD})
AT_END = ZIPPED.rfind(b"PK\x05\x06")
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "a way up": (archive({"../a.safetensors": GOOD}), "adapter_archive_path"),
    "a way up inside": (archive({"x/../../a.safetensors": GOOD}), "adapter_archive_path"),
    "a way up beside": (archive({"a.safetensors": GOOD, "../../etc/cron.d/x": b"x"}), "adapter_archive_path"),
    "the root": (archive({"/tmp/a.safetensors": GOOD}), "adapter_archive_path"),
    "a drive": (archive({"C:/a.safetensors": GOOD}), "adapter_archive_path"),
    "a backslash": (archive({"..\\a.safetensors": GOOD}), "adapter_archive_path"),
    "an end of text": (raw("aX.safetensors", "a\0.safetensors"), "adapter_archive_path"),
    "a long name": (archive({"a" * 300 + ".safetensors": GOOD}), "adapter_archive_path"),
    "a link": (archive({link("a.safetensors"): b"/etc/passwd"}), "adapter_archive_link"),
    "a device": (archive({link("a.safetensors", stat.S_IFCHR): b""}), "adapter_archive_link"),
    "a name twice": (doubled(), "adapter_archive_duplicate"),
    "a name in two cases": (archive({"a.safetensors": GOOD, "A.safetensors": GOOD}), "adapter_archive_duplicate"),
    "a folder that is a file": (archive({"a/": b"", "a": b"x"}), "adapter_archive_duplicate"),
    "a bomb": (archive({"a.safetensors": bytes(50 * 2**20)}), "adapter_archive_ratio"),
    "a bomb beside": (archive({"a.safetensors": GOOD, "b": bytes(50 * 2**20)}), "adapter_archive_ratio"),
    "a thousand and one entries": (archive({f"{n}": b"" for n in range(1001)}), "adapter_archive_entries"),
    "more entries than it has": (with_count(ZIPPED, 60_000), "adapter_archive_entries"),
    "zip64": (ZIPPED[:AT_END] + END_64 + ZIPPED[AT_END:], "adapter_archive_entries"),
    "an entry beyond its end": (elsewhere(), "adapter_archive_invalid"),
    "more bytes than it says": (declared(archive({"a.safetensors": GOOD}), 40), "adapter_archive_invalid"),
    "other bytes than it says": (
        archive({"a.safetensors": GOOD}, zipfile.ZIP_STORED).replace(GOOD, GOOD[:-9] + b"x" * 9),
        "adapter_archive_invalid",
    ),
    "bytes that do not unpack": (ZIPPED[:60] + b"\xff" * 20 + ZIPPED[80:], "adapter_archive_invalid"),
    "cut short": (ZIPPED[:-30], "adapter_archive_invalid"),
    "encrypted": (encrypted(), "adapter_archive_invalid"),
    "lzma": (archive({"a.safetensors": GOOD}, zipfile.ZIP_LZMA), "adapter_archive_invalid"),
    "a pickle": (archive({"a.safetensors": pickle.dumps(Gadget())}), "adapter_pickle"),
    "nothing but a pickle": (archive({"adapter_model.bin": b"x", "README.md": b"x"}), "adapter_pickle"),
    "an archive in it": (archive({"a.safetensors": ZIPPED}), "adapter_archive_invalid"),
    "two adapters": (archive({"a.safetensors": GOOD, "b.safetensors": GOOD}), "adapter_ambiguous"),
    "none": (archive({"README.md": b"x"}), "adapter_no_weights"),
    "nothing": (archive({}), "adapter_no_weights"),
}


@pytest.mark.parametrize(("data", "code"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_hostile_archive_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        packed({"adapter.zip": data}, tmp_path)
    assert caught.value.code == code
    assert os.environ.get(RAN) is None
    assert {path.name for path in tmp_path.iterdir()} <= {"upload-0", "made"}
    assert {path.name for path in (tmp_path / "made").iterdir()} <= {"adapter_model.safetensors"}


GOOD_UPLOADS: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "one file": ({"my style (v2).safetensors": GOOD}, ["adapter_model.safetensors"]),
    "one file with others": ({"a.safetensors": GOOD, "README.md": b"x"}, ["adapter_model.safetensors"]),
    "a directory of PEFT": (
        {"adapter_config.json": CONFIG, "adapter_model.safetensors": PEFT},
        ["adapter_config.json", "adapter_model.safetensors"],
    ),
    "a zip of it": (
        {
            "x.zip": archive(
                {
                    "run/": b"",
                    "run/adapter_config.json": CONFIG,
                    "run/adapter_model.safetensors": PEFT,
                    "run/training_args.bin": pickle.dumps(Gadget()),
                    "run/checkpoint-5/adapter_model.safetensors": b"older",
                }
            )
        },
        ["adapter_config.json", "adapter_model.safetensors"],
    ),
    "a configuration elsewhere": (
        {"x.zip": archive({"a.safetensors": GOOD, "other/adapter_config.json": b"{"})},
        ["adapter_model.safetensors"],
    ),
}


@pytest.mark.parametrize(("uploads", "names"), GOOD_UPLOADS.values(), ids=GOOD_UPLOADS)
def test_an_honest_upload_becomes_a_small_folder(uploads: dict[str, bytes], names: list[str], tmp_path: Path) -> None:
    made = packed(uploads, tmp_path)
    assert sorted(path.name for path in made.folder.iterdir()) == names
    assert [file.name for file in made.files] == names
    assert made.num_bytes == sum(path.stat().st_size for path in made.folder.iterdir())
    assert made.contents.facts.num_modules == 1
    assert os.environ.get(RAN) is None


def test_the_same_adapter_has_the_same_digest_however_it_comes(tmp_path: Path) -> None:
    ways = [{"a.safetensors": GOOD}, {"b.zip": archive({"c/d.safetensors": GOOD})}]
    digests = set()
    for at, uploads in enumerate(ways):
        (tmp_path / str(at)).mkdir()
        digests.add(packed(uploads, tmp_path / str(at)).digest)
    assert len(digests) == 1


def test_a_header_of_640_bytes_is_no_pickle(tmp_path: Path) -> None:
    """Its length is written as pickles begin."""
    plain = len(GOOD) - 8 - 2 * (4 * 64 + 64 * 4)
    padding = "x" * (640 - plain - len('"__metadata__": {"a": ""}, '))
    data = adapter_bytes(lora(STEM), {"a": padding})
    assert data[:2] == b"\x80\x02"
    assert packed({"a.safetensors": data}, tmp_path).contents.metadata == {"a": padding}


@pytest.mark.parametrize("name", ["a.safetensors", "a.zip"])
def test_what_unpacks_to_more_than_the_limit_is_too_large(name: str, tmp_path: Path) -> None:
    data = GOOD if name == "a.safetensors" else archive({"a.safetensors": GOOD})
    with pytest.raises(PayloadTooLarge) as caught:
        packed({name: data}, tmp_path, 1000)
    assert caught.value.code == "adapter_too_large"
    assert (tmp_path / "made" / "adapter_model.safetensors").stat().st_size <= 1000


def test_an_upload_is_written_as_it_comes_and_ends_at_the_limit(tmp_path: Path) -> None:
    taken = []

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(10):
            taken.append(at)
            yield b"x" * 100

    async def upload(max_bytes: int, num_before: int = 0) -> int:
        return await receive(chunks(), tmp_path / "upload", max_bytes, num_before)

    assert asyncio.run(upload(1000)) == 1000
    taken.clear()
    with pytest.raises(PayloadTooLarge):
        asyncio.run(upload(250))
    assert taken == [0, 1, 2]
    assert (tmp_path / "upload").stat().st_size == 200
    with pytest.raises(PayloadTooLarge, match="may have 1000 bytes"):
        asyncio.run(upload(1000, num_before=900))


def test_numbers_at_the_edge_of_what_is_finite_pass(tmp_path: Path) -> None:
    for dtype, largest in (("F16", 0x7BFF), ("BF16", 0xFF7F), ("F32", 0x7F7F_FFFF), ("F64", 0x7FEF_FFFF_FFFF_FFFF)):
        path = tmp_path / dtype
        path.write_bytes(of_values(dtype, largest, 1))
        check_finite(path)
