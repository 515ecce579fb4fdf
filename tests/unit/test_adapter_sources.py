"""Where adapters come from: hubs, addresses, and the project itself."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.adapter_files import MODULE, WIDTH, image_adapter, language_adapter, written
from fakes.clock import ManualClock
from fakes.gateway import model_document
from fakes.hub import COMMIT, Hub, serving_hub

from serve.catalog.adapters.fetching import AdapterSources
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.packing import pack
from serve.catalog.adapters.registry import AdapterRegistry, NewVersion
from serve.catalog.adapters.seeding import AdapterSeeding
from serve.catalog.adapters.stored import Words
from serve.catalog.builtin import builtin_adapters, builtin_documents, builtin_names
from serve.catalog.cards import Card
from serve.domain.documents import ModelDocument
from serve.domain.errors import InvalidRequest, PayloadTooLarge, PermissionDenied
from serve.domain.names import TenantName
from serve.gateway.fetch import GuardedFetcher
from serve.settings import AdaptersSettings, ObjectsSettings
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records

ACME = TenantName("acme")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub(language_adapter() | {"README.md": b"x", "checkpoint-1/adapter_model.safetensors": b"y"}) as hub:
        yield hub


def fetch(hub: Hub, folder: Path, uri: str = "hf://org/model", is_admin: bool = False, limit: int = 2**20) -> set[str]:
    sources = AdapterSources(ObjectsSettings(), hub.url, "secret-token")
    found = sources.fetch(uri, folder, limit, is_admin=is_admin, param="uri")
    assert {path: file.read_bytes() for path, file in found.items()} == {path: hub.files[path] for path in found}
    return set(found)


@pytest.mark.parametrize("uri", ["hf://org/model", "hf://org/model@main", f"hf://org/model@{COMMIT}"])
def test_a_peft_repository_gives_its_two_files(hub: Hub, tmp_path: Path, uri: str) -> None:
    assert fetch(hub, tmp_path, uri) == {"adapter_model.safetensors", "adapter_config.json"}


def test_a_file_can_be_named_and_must_be_where_there_are_several(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"a.safetensors": image_adapter(), "b.safetensors": image_adapter(0.1)}
    assert fetch(hub, tmp_path, "hf://org/model/a.safetensors") == {"a.safetensors"}
    for uri in ("hf://org/model", "hf://org/model/c.safetensors"):
        with pytest.raises(InvalidRequest) as caught:
            fetch(hub, tmp_path, uri)
        assert (caught.value.code, caught.value.param) == ("adapter_no_weights", "uri")
        assert "a.safetensors, b.safetensors" in str(caught.value)


def test_the_platforms_token_opens_nothing_for_tenants(hub: Hub, tmp_path: Path) -> None:
    hub.token = "secret-token"
    with pytest.raises(InvalidRequest) as caught:
        fetch(hub, tmp_path)
    assert caught.value.code == "weights_forbidden"
    assert fetch(hub, tmp_path, is_admin=True)


def test_too_much_is_refused_before_a_byte_is_read(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLarge):
        fetch(hub, tmp_path, limit=100)
    assert hub.asked == []


@pytest.mark.parametrize("uri", ["hf://model", "hf://org/../x", "hf://org/model@a/b/../c", "ftp://a/b", "builtin://x"])
def test_what_reads_like_no_address_is_refused(hub: Hub, tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fetch(hub, tmp_path, uri, is_admin=True)
    assert caught.value.param == "uri"


@pytest.mark.parametrize("uri", ["s3://bucket/x", "file:///etc/passwd", "builtin://shapes-sd/stripes"])
def test_addresses_of_the_platform_are_for_administrators(hub: Hub, tmp_path: Path, uri: str) -> None:
    with pytest.raises(PermissionDenied):
        fetch(hub, tmp_path, uri)


async def test_an_address_is_read_into_a_file_and_no_further_than_the_limit(hub: Hub) -> None:
    url = f"{hub.url}/org/model/resolve/{COMMIT}/adapter_model.safetensors"
    whole = hub.files["adapter_model.safetensors"]
    for limit in (len(whole), len(whole) - 1):
        file = io.BytesIO()
        reading = GuardedFetcher(True).download(url, to=file, max_bytes=limit, timeout=10, param="uri")
        if limit == len(whole):
            await reading
            assert file.getvalue() == whole
            continue
        with pytest.raises(InvalidRequest) as caught:
            await reading
        assert caught.value.code == "fetch_failed"
        assert len(file.getvalue()) <= limit
    with pytest.raises(InvalidRequest) as refused:
        await GuardedFetcher(False).download(url, to=io.BytesIO(), max_bytes=limit, timeout=10, param="uri")
    assert refused.value.code == "forbidden_address"


def test_every_builtin_adapter_is_of_a_builtin_model_that_takes_it() -> None:
    seen: list[str] = []
    for document in builtin_documents(builtin_names()):
        adapters = builtin_adapters(document.name)
        assert not adapters or document.spec.adapters.enabled
        assert {adapter.spec.base for adapter in adapters} <= {document.name}
        seen += [adapter.name for adapter in adapters]
    assert len(set(seen)) == len(seen) >= 8


def shapes_card() -> Card:
    spec = {"title": "x", "baseArchitecture": "sd15"}
    more = {"family": "text_to_image", "card": spec, "adapters": {"enabled": True}}
    document: ModelDocument = model_document("shapes-sd", ["text_to_image"], **more)
    return Card(document, document.digest())


async def test_what_ships_is_put_in_place_once_and_what_is_missing_is_told(
    records: Records, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path / "shipped" / "shapes-sd" / "stripes", {"x.safetensors": image_adapter()})
    written(tmp_path / "shipped" / "shapes-sd" / "moon", {"x.safetensors": image_adapter()[:-1]})
    layouts = KnownLayouts(records, clock)
    await layouts.record("model:shapes-sd", {MODULE: (WIDTH, WIDTH)})
    registry = AdapterRegistry(records, FilesystemObjects(tmp_path / "o"), clock, AdaptersSettings())
    sources = AdapterSources(ObjectsSettings(), builtin_root=tmp_path / "shipped")
    seeding = AdapterSeeding(registry, layouts, sources, ACME)
    for _ in range(2):
        assert await seeding.install([shapes_card()], 2**20) == ["stripes"]
    assert "outline is not part of this installation" in caplog.text
    assert "moon was not put in place" in caplog.text
    (adapter,) = await registry.list(TenantName("other"))
    assert (adapter.managed_by, adapter.title, adapter.shared_with) == ("builtin", "Stripes", ("*",))
    assert len(await registry.versions(ACME, "stripes")) == 1


async def test_a_name_that_somebody_took_stays_theirs(records: Records, clock: ManualClock, tmp_path: Path) -> None:
    folder = tmp_path / "shipped" / "shapes-sd" / "stripes"
    written(folder, {"x.safetensors": image_adapter()})
    registry = AdapterRegistry(records, FilesystemObjects(tmp_path / "o"), clock, AdaptersSettings())
    sources = AdapterSources(ObjectsSettings(), builtin_root=tmp_path / "shipped")
    seeding = AdapterSeeding(registry, KnownLayouts(records, clock), sources, ACME)
    await seeding.install([shapes_card()], 2**20)
    mine = await registry.get(ACME, ACME, "stripes")
    packed = pack(written(tmp_path / "in", {"x.safetensors": image_adapter(0.1)}), tmp_path / "packed", 2**20)
    new = NewVersion(ACME, "stripes", packed.digest, packed.folder, packed.files, packed.contents)
    taken, _ = await registry.add(new, Words(title="mine"))
    assert taken.version.id != mine.version.id
    assert await seeding.install([shapes_card()], 2**20) == []
    assert (await registry.get(ACME, ACME, "stripes")).version.id == taken.version.id
