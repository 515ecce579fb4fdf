"""Adapters over HTTP: brought, seen, used and taken away, each tenant's its own."""

import asyncio
import io
import json
import threading
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.adapter_files import MODULE, WIDTH, image_adapter, language_adapter, safetensors, sd15_adapter
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway, model_document, settings_in

from deployments.engines.echo import EchoEngine
from deployments.engines.engine import AppliedAdapter
from serve.auth.access import DEFAULT_SCOPES, Caller
from serve.catalog.adapters.disposal import AdapterDisposal
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import InvalidRequest
from serve.domain.generation import EventBatch, ModelCall
from serve.domain.names import KeyId, ProjectName, RunId, TenantName
from serve.domain.usage import Tally
from serve.gateway import zip_stream
from serve.gateway.adapter_uploads import fetch_parts
from serve.settings import AdaptersSettings

IMAGES, WIDE, XL = "images", "wide", "xl"
WEIGHTS = "sha256:" + "11" * 32
WIDE_WEIGHTS = "sha256:" + "22" * 32
USER = [{"role": "user", "content": "hi"}]
PROMPT = {"prompt": "a star"}


def image_document(name: str, architecture: str = "sd15", digest: str | None = None) -> Any:
    weights = None if digest is None else {"uri": f"hf://models/{name}", "digest": digest}
    return model_document(
        name,
        ["text_to_image", "image_to_image"],
        family="text_to_image",
        card={"title": name, "baseArchitecture": architecture},
        adapters={"enabled": True, "maxPerCall": 2},
        **({"weights": weights} if weights else {}),
    )


class RememberingEngine(EchoEngine):
    """Echoes, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(EchoSpec(kind="echo"))
        self.calls: list[ModelCall] = []

    def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.calls.append(call)
        assert [use.id for use in call.adapters] == [applied.id for applied in adapters]
        return super().stream(call, adapters)


@pytest.fixture
def engine() -> RememberingEngine:
    return RememberingEngine()


@pytest.fixture
async def made(tmp_path: Path, engine: RememberingEngine) -> AsyncIterator[Gateway]:
    """Models: chat with adapters, an SD 1.5 of a known and one of another width, an SDXL."""
    settings = settings_in(tmp_path, adapters=AdaptersSettings(max_bytes=100_000, cache_seconds=60))
    async with gateway(tmp_path, {CHAT: engine}, settings) as made:
        catalog = made.services.catalog
        await catalog.apply(
            model_document(CHAT, ["chat", "completion"], adapters={"enabled": True, "maxRank": 8}), "api"
        )
        await catalog.apply(image_document(IMAGES, digest=WEIGHTS), "api")
        await catalog.apply(image_document(WIDE, digest=WIDE_WEIGHTS), "api")
        await catalog.apply(image_document(XL, "sdxl"), "api")
        layouts = KnownLayouts(made.services.records, made.services.clock)
        await layouts.record(WEIGHTS, {MODULE: (WIDTH, WIDTH)})
        await layouts.record(WIDE_WEIGHTS, {MODULE: (320, 320)})
        yield made


@pytest.fixture
async def client(made: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with made.client() as client:
        yield client


@pytest.fixture
async def other(made: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another tenant, without the admin scope."""
    async with made.client(made.other_key) as client:
        yield client


async def upload(
    client: httpx.AsyncClient, name: str = "stripes", files: Mapping[str, bytes] | None = None, **fields: Any
) -> httpx.Response:
    files = {"a.safetensors": image_adapter()} if files is None else files
    sent = [("file", (called, data)) for called, data in files.items()]
    return await client.post("/v1/adapters", data={"name": name, **fields}, files=sent)


async def added(client: httpx.AsyncClient, name: str = "stripes", **more: Any) -> Any:
    response = await upload(client, name, **more)
    assert response.status_code == 201, response.text
    return response.json()


def told(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def zipped(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


async def test_an_upload_is_read_and_stored(client: httpx.AsyncClient) -> None:
    view = await added(client, base=IMAGES, title="Stripes", trigger_words="striped, in stripes", default_scale="0.7")
    assert view["id"] == f"default/stripes@{view['digest']}"
    assert (view["architecture"], view["format"], view["rank"], view["base"]) == ("sd15", "diffusers", 2, IMAGES)
    assert (view["trigger_words"], view["default_scale"]) == (["striped", "in stripes"], 0.7)
    got = (await client.get("/v1/adapters/stripes")).json()
    assert got == view | {"versions": got["versions"]}
    assert [version["id"] for version in got["versions"]] == [view["id"]]
    content = await client.get("/v1/adapters/stripes/content")
    assert content.content == image_adapter()
    assert content.headers["content-length"] == str(len(image_adapter()))


@pytest.mark.parametrize("as_zip", [False, True], ids=["two files", "a zip of a folder"])
async def test_a_peft_directory_comes_as_files_or_as_a_zip_and_leaves_as_a_zip(
    client: httpx.AsyncClient, as_zip: bool
) -> None:
    files = language_adapter()
    sent = {"a.zip": zipped({f"x/{name}": data for name, data in files.items()})} if as_zip else files
    view = await added(client, "words", files=sent)
    assert (view["architecture"], view["format"]) == ("language", "peft")
    content = await client.get("/v1/adapters/words/content")
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


async def test_the_same_bytes_again_are_the_same_version(client: httpx.AsyncClient) -> None:
    first = await added(client)
    again = await upload(client, title="Now with a title")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert again.json()["title"] == "Now with a title"
    second = await added(client, files={"a.safetensors": image_adapter(0.1)})
    assert second["id"] != first["id"]
    versions = (await client.get("/v1/adapters/stripes")).json()["versions"]
    assert {version["id"] for version in versions} == {first["id"], second["id"]}
    old = (await client.get(f"/v1/adapters/stripes@{first['digest']}")).json()
    assert (old["id"], old["is_present"]) == (first["id"], False)


HOSTILE = {
    "a pickle": ({"a.safetensors": b"\x80\x02}q\x00."}, "adapter_pickle"),
    "a header of 2^63": ({"a.safetensors": b"\xff" * 7 + b"\x7f" + b"{}"}, "safetensors_header_too_large"),
    "cut short": ({"a.safetensors": image_adapter()[:-4]}, "safetensors_truncated"),
    "NaN": ({"a.safetensors": image_adapter(float("nan"))}, "adapter_not_finite"),
    "a zip that climbs": ({"a.zip": zipped({"../a.safetensors": image_adapter()})}, None),
    "no adapter": ({"a.safetensors": safetensors({"x": (2, 2)})}, "adapter_unrecognised"),
}


@pytest.mark.parametrize("case", HOSTILE, ids=list(HOSTILE))
async def test_hostile_files_are_refused_and_leave_nothing(client: httpx.AsyncClient, made: Gateway, case: str) -> None:
    files, code = HOSTILE[case]
    response = await upload(client, files=files)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "file")
    assert response.json()["error"]["code"] == code or code is None
    assert (await client.get("/v1/adapters")).json()["data"] == []
    storage = made.services.settings.storage
    assert list((storage.cache_dir / "adapter-uploads").iterdir()) == []
    assert not (storage.data_dir / "objects" / "adapters").exists()


async def test_too_large_an_upload_is_refused(client: httpx.AsyncClient) -> None:
    response = await upload(client, files={"a.safetensors": image_adapter(rank=2000)})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "adapter_too_large")


async def test_only_a_form_may_be_as_long_as_an_adapter(client: httpx.AsyncClient, made: Gateway) -> None:
    settings = made.services.settings
    longer = b"[" + b" " * settings.gateway.max_body_bytes + b"]"
    assert len(longer) < settings.gateway.max_body_bytes + settings.adapters.max_bytes
    for headers in ({}, {"content-type": "application/json"}):
        response = await client.post("/v1/adapters", content=longer, headers=headers)
        assert told(response) == (413, "payload_too_large", None)
    form = {"content-type": "multipart/form-data; boundary=x", "content-length": str(10**12)}
    response = await client.post("/v1/adapters", content=b"", headers=form)
    assert told(response) == (413, "payload_too_large", None)
    assert "SLIPWAY_ADAPTERS_MAX_BYTES" in response.json()["error"]["message"]


async def test_an_upload_is_not_hurt_by_another_that_ends(client: httpx.AsyncClient, made: Gateway) -> None:
    uploads = made.services.settings.storage.cache_dir / "adapter-uploads"
    uploads.mkdir(parents=True)
    (uploads / "gone").symlink_to(uploads / "taken away after it was listed")
    await added(client)


async def test_a_slow_address_keeps_nobody_else_waiting_and_ends(made: Gateway, tmp_path: Path) -> None:
    may_end = threading.Event()

    class Slow:
        def fetch(self, *_: Any, **__: Any) -> dict[str, Path]:
            may_end.wait(120)
            return {}

    settings = made.services.settings.model_copy(update={"adapters": AdaptersSettings(fetch_seconds=0.05)})
    services = replace(made.services, settings=settings, adapter_sources=Slow())
    caller = Caller(TenantName("default"), ProjectName("default"), KeyId("k"), frozenset())
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    fetching = asyncio.create_task(fetch_parts(services, tmp_path, caller, "hf://org/name", "uri"))
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(lambda: "free")
        with pytest.raises(InvalidRequest, match="uri did not come whole"):
            await fetching
    finally:
        may_end.set()


async def test_a_download_that_is_cut_lets_go_of_its_file() -> None:
    is_closed = False

    async def content() -> AsyncGenerator[bytes, None]:
        nonlocal is_closed
        try:
            while True:
                yield b"x"
        finally:
            is_closed = True

    chunks = zip_stream.zipped([("a", content())])
    await anext(chunks)
    await chunks.aclose()
    assert is_closed


@pytest.mark.parametrize(
    ("files", "base", "words"),
    [
        ({"a.safetensors": sd15_adapter()}, XL, ["sd15", "sdxl"]),
        ({"a.safetensors": image_adapter()}, WIDE, ["reads 8", "320"]),
        (language_adapter(), IMAGES, ["language", "sd15"]),
        ({"a.safetensors": image_adapter(width=16)}, None, ["reads 16", "320", IMAGES, WIDE]),
    ],
    ids=["architecture", "sizes", "family", "none named"],
)
async def test_a_wrong_base_is_named_with_what_was_found(
    client: httpx.AsyncClient, files: Mapping[str, bytes], base: str | None, words: list[str]
) -> None:
    response = await upload(client, files=files, **({"base": base} if base else {}))
    assert told(response) == (422, "wrong_base", "base")
    assert [word for word in words if word not in response.json()["error"]["message"]] == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "content"}, (400, "invalid_value", "name")),
        ({"name": "Big"}, (400, "invalid_value", "name")),
        ({"base": "nothing"}, (404, "model_not_found", "base")),
        ({"base": EMBEDDER}, (422, "adapters_not_enabled", "base")),
        ({"default_scale": "nan"}, (400, "out_of_range", "default_scale")),
        ({"colour": "red"}, (400, "unknown_field", "colour")),
    ],
)
async def test_what_is_wrong_in_the_form_is_said(
    client: httpx.AsyncClient, fields: dict[str, str], expected: tuple[int, str, str]
) -> None:
    name = fields.pop("name", "stripes")
    status, code, param = told(await upload(client, name, **fields))
    assert (status, param) == (expected[0], expected[2])
    assert code in (expected[1], "invalid_value")


async def test_an_adapter_comes_from_an_asset(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    asset = (await client.post("/v1/assets?name=x.safetensors", content=image_adapter())).json()
    body = {"name": "stripes", "uri": f"asset:{asset['id']}"}
    first = await client.post("/v1/adapters", json=body)
    assert first.status_code == 201, first.text
    pinned = await client.post("/v1/adapters", json=body | {"digest": first.json()["digest"]})
    assert (pinned.status_code, pinned.json()) == (200, first.json() | {"updated_at": pinned.json()["updated_at"]})
    wrong = await client.post("/v1/adapters", json=body | {"digest": WEIGHTS})
    assert told(wrong) == (400, "digest_mismatch", "digest")
    assert (await other.post("/v1/adapters", json=body)).status_code == 404
    asset = (await client.post("/v1/assets?name=x.safetensors", content=image_adapter()[:-4])).json()
    broken = await client.post("/v1/adapters", json=body | {"uri": f"asset:{asset['id']}"})
    assert told(broken) == (400, "safetensors_truncated", "uri")


async def test_addresses_of_this_machine_are_for_administrators(
    client: httpx.AsyncClient, other: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "x.safetensors").write_bytes(image_adapter())
    body = {"name": "stripes", "uri": f"file://{tmp_path}/x.safetensors"}
    assert (await client.post("/v1/adapters", json=body)).status_code == 201
    for uri in (body["uri"], "s3://bucket/x", "builtin://shapes-sd/stripes"):
        response = await other.post("/v1/adapters", json=body | {"uri": uri})
        assert told(response) == (403, "address_not_allowed", "uri")
    forbidden = await other.post("/v1/adapters", json=body | {"uri": "https://169.254.169.254/x.safetensors"})
    assert told(forbidden) == (400, "forbidden_address", "uri")


async def test_another_tenants_adapter_is_an_unknown_one_on_every_route(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    mine = await added(client)

    def requests(name: str) -> list[tuple[str, str, Any]]:
        there = f"default/{name}"
        return [
            ("GET", f"/v1/adapters/{there}", None),
            ("GET", f"/v1/adapters/{there}@{mine['digest']}", None),
            ("GET", f"/v1/adapters/{there}/content", None),
            ("PATCH", f"/v1/adapters/{there}", {"title": "x"}),
            ("DELETE", f"/v1/adapters/{there}", None),
            ("GET", f"/v1/models/{IMAGES}:{there}", None),
            ("POST", f"/v1/models/{IMAGES}:{there}/runs", {"input": PROMPT}),
            ("POST", f"/v1/models/{IMAGES}/runs", {"input": PROMPT, "adapters": [{"name": there}]}),
            ("POST", "/v1/images/generations", {"model": f"{IMAGES}:{there}", **PROMPT}),
            ("POST", "/v1/chat/completions", {"model": f"{CHAT}:{there}", "messages": USER}),
            ("GET", f"/v1/admin/documents/Adapter/{name}", None),
        ]

    for real, unreal in zip(requests("stripes"), requests("nothing"), strict=True):
        answers = [await other.request(method, path, json=body) for method, path, body in (real, unreal)]
        assert {told(answer)[:2] for answer in answers} == {(404, "adapter_not_found")}, real
        texts = [json.dumps(answer.json()).replace("stripes", "N").replace("nothing", "N") for answer in answers]
        assert texts[0] == texts[1], real
        assert [sorted(answer.headers) for answer in answers[:1]] == [sorted(answer.headers) for answer in answers[1:]]
    assert (await other.get("/v1/adapters")).json()["data"] == []
    assert "stripes" not in (await other.get("/v1/models")).text
    assert (await client.get("/v1/adapters/stripes")).status_code == 200


async def test_two_tenants_with_one_name_use_each_their_own(
    client: httpx.AsyncClient, other: httpx.AsyncClient, engine: RememberingEngine
) -> None:
    mine = await added(client, "words", files=language_adapter(0.1))
    theirs = await added(other, "words", files=language_adapter(0.2))
    for one in (client, other):
        answer = await one.post("/v1/chat/completions", json={"model": f"{CHAT}:words", "messages": USER})
        assert answer.status_code == 200
    assert [call.adapters[0].id for call in engine.calls] == [mine["id"], theirs["id"]]
    contents = [(await one.get("/v1/adapters/words/content")).content for one in (client, other)]
    assert contents[0] != contents[1]


async def test_a_chat_names_adapters_in_its_model_and_beside_it(
    client: httpx.AsyncClient, engine: RememberingEngine
) -> None:
    first = await added(client, "one", files=language_adapter(0.1), default_scale="0.5")
    second = await added(client, "two", files=language_adapter(0.2))
    body = {"model": f"{CHAT}:one", "messages": USER, "adapters": [{"name": "two", "scale": -0.25}]}
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
    uses = [(use.id, use.scale) for use in engine.calls[-1].adapters]
    assert uses == [(first["id"], 0.5), (second["id"], -0.25)]
    assert "adapters" not in engine.calls[-1].inputs


@pytest.mark.parametrize(
    ("model", "adapters", "expected"),
    [
        (f"{IMAGES}:one", [{"name": "one"}], (400, "duplicate_adapter", "adapters.0.name")),
        (f"{IMAGES}:one", [{"name": "two"}, {"name": "three"}], (400, "too_many_adapters", "adapters")),
        (IMAGES, [{"name": "one", "scale": 11}], (400, "out_of_range", "adapters.0.scale")),
        (IMAGES, [{"name": "a/b/c"}], (400, "invalid_adapter", "adapters.0.name")),
        (IMAGES, [{"name": "words"}], (422, "wrong_base", "adapters.0.name")),
        (f"{WIDE}:one", None, (422, "wrong_base", "model")),
        (f"{XL}:one", None, (422, "wrong_base", "model")),
        (f"{IMAGES}:none", None, (404, "adapter_not_found", "model")),
    ],
)
async def test_what_is_wrong_with_a_calls_adapters_is_said(
    client: httpx.AsyncClient, model: str, adapters: Any, expected: tuple[int, str, str]
) -> None:
    for number, name in enumerate(("one", "two", "three")):
        await added(client, name, files={"a.safetensors": image_adapter(number + 0.5)})
    await added(client, "words", files=language_adapter())
    body = {"model": model, "adapters": adapters, **PROMPT}
    assert told(await client.post("/v1/images/generations", json=body)) == expected


async def test_models_that_make_vectors_say_that_they_take_no_adapters(client: httpx.AsyncClient) -> None:
    await added(client, "words", files=language_adapter())
    for body in ({"model": EMBEDDER, "adapters": [{"name": "words"}]}, {"model": f"{EMBEDDER}:words"}):
        response = await client.post("/v1/embeddings", json=body | {"input": "a"})
        assert response.status_code in (400, 422)
        assert "adapters" in response.json()["error"]["message"]


async def test_a_rank_over_the_cards_is_refused_for_language(client: httpx.AsyncClient) -> None:
    await added(client, "words", files=language_adapter(rank=9, width=16))
    response = await client.post("/v1/chat/completions", json={"model": f"{CHAT}:words", "messages": USER})
    assert told(response) == (422, "adapter_rank", "model")


async def test_a_run_keeps_the_version_that_it_was_accepted_with(client: httpx.AsyncClient, made: Gateway) -> None:
    first = await added(client, default_scale="0.5")
    path = f"/v1/models/{IMAGES}:stripes/runs"
    headers = {"Idempotency-Key": "k"}
    run = (await client.post(path, json={"input": PROMPT}, headers=headers)).json()
    assert run["adapters"] == [{"id": first["id"], "scale": 0.5}]
    await added(client, files={"a.safetensors": image_adapter(0.1)})
    assert (await client.get(f"/v1/runs/{run['id']}")).json()["adapters"] == run["adapters"]
    newer = (await client.post(path, json={"input": PROMPT})).json()
    assert newer["adapters"][0]["id"] != first["id"]
    assert (await client.delete("/v1/adapters/stripes")).status_code == 204
    assert (await client.post(path, json={"input": PROMPT}, headers=headers)).json()["id"] == run["id"]
    assert told(await client.post(path, json={"input": PROMPT}))[:2] == (404, "adapter_not_found")
    stored = await made.services.runs.get(TenantName("default"), RunId(run["id"]))
    assert (await made.services.adapters.version(stored.adapters[0].id)).digest == first["digest"]


async def test_a_key_of_another_adapter_is_another_request(client: httpx.AsyncClient) -> None:
    await added(client, "one")
    await added(client, "two", files={"a.safetensors": image_adapter(0.1)})
    headers = {"Idempotency-Key": "k"}
    await client.post(f"/v1/models/{IMAGES}:one/runs", json={"input": PROMPT}, headers=headers)
    again = await client.post(f"/v1/models/{IMAGES}:two/runs", json={"input": PROMPT}, headers=headers)
    assert told(again)[:2] == (409, "idempotency_key_reuse")


async def test_models_list_what_the_caller_may_write(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await added(client, shared_with="other")
    await added(client, "private", files={"a.safetensors": image_adapter(0.1)})
    listed = {model["id"]: model["parent"] for model in (await client.get("/v1/models")).json()["data"]}
    assert {name: parent for name, parent in listed.items() if ":" in name} == {
        f"{IMAGES}:stripes": IMAGES,
        f"{IMAGES}:private": IMAGES,
    }
    theirs = [model["id"] for model in (await other.get("/v1/models")).json()["data"] if model["parent"]]
    assert theirs == [f"{IMAGES}:default/stripes"]
    one = (await other.get(f"/v1/models/{theirs[0]}")).json()
    assert (one["id"], one["owned_by"]) == (theirs[0], "default")


async def test_a_shared_adapter_is_used_and_read_and_not_changed(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await added(client, shared_with="other")
    assert (await other.get("/v1/adapters/default/stripes/content")).content == image_adapter()
    view = (await other.get("/v1/adapters/default/stripes")).json()
    assert (view["address"], view["shared_with"]) == ("default/stripes", [])
    await added(other, "mine", shared_with="default")
    for path in ("/v1/adapters/other/mine", "/v1/adapters"):
        seen = (await client.get(path)).json()
        assert "'shared_with': ['default']" in str(seen)  # an administrator's PATCH replaces the list
    for method, body in (("PATCH", {"title": "mine"}), ("DELETE", None)):
        assert (await other.request(method, "/v1/adapters/default/stripes", json=body)).status_code == 403
    await client.patch("/v1/adapters/stripes", json={"shared_with": []})
    assert (await other.get("/v1/adapters/default/stripes")).status_code == 404


async def test_sharing_with_everyone_is_for_administrators(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    assert (await upload(other, shared_with="*")).status_code == 403
    await added(client, shared_with="*")
    assert [a["address"] for a in (await other.get("/v1/adapters")).json()["data"]] == ["default/stripes"]


async def test_a_key_that_only_calls_models_moves_no_name(client: httpx.AsyncClient, made: Gateway) -> None:
    _, token = await made.services.keys.create(
        tenant="default", project="default", title="app", scopes=DEFAULT_SCOPES, parent=None
    )
    async with made.client(token) as app:
        assert (await upload(app)).status_code == 403
        assert (await app.get("/v1/adapters")).status_code == 200


async def test_deleting_hides_and_the_sweep_removes(client: httpx.AsyncClient, made: Gateway) -> None:
    view = await added(client)
    assert (await client.post(f"/v1/models/{IMAGES}:stripes/runs", json={"input": PROMPT})).status_code == 202
    assert (await client.delete(f"/v1/adapters/stripes@{view['digest']}")).status_code == 204
    assert (await client.get("/v1/adapters/stripes")).status_code == 404
    services = made.services
    now = AdaptersSettings(grace_seconds=0)
    disposal = AdapterDisposal(services.records, services.adapters.blobs, services.clock, now)
    assert await disposal.sweep() == 0
    for run in (await client.get("/v1/runs")).json()["data"]:
        await client.post(f"/v1/runs/{run['id']}/cancel")
    assert await disposal.sweep() == 1


async def test_a_page_goes_on_where_the_last_one_ended(client: httpx.AsyncClient) -> None:
    for number in range(3):
        await added(client, f"a{number}", files={"a.safetensors": image_adapter(number + 0.5)})
    first = (await client.get("/v1/adapters?limit=2")).json()
    assert first["has_more"]
    last = first["data"][-1]
    rest = (await client.get(f"/v1/adapters?limit=2&after={last['tenant']}/{last['name']}")).json()
    assert [a["name"] for a in first["data"] + rest["data"]] == ["a0", "a1", "a2"]
    assert not rest["has_more"]


async def test_a_tenant_applies_documents_to_itself(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    asset = (await other.post("/v1/assets?name=x.safetensors", content=image_adapter())).json()
    spec = {"weights": {"uri": f"asset:{asset['id']}"}, "base": IMAGES, "title": "Stripes", "defaultScale": 0.6}
    document = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Adapter", "metadata": {"name": "stripes"}, "spec": spec}
    path = "/v1/admin/documents/Adapter/stripes"
    results = [(await other.put(path, json=document)).json()["result"] for _ in range(2)]
    assert results == ["created", "unchanged"]
    assert (await other.get(path)).json()["document"]["spec"]["base"] == IMAGES
    assert len((await other.get("/v1/admin/documents?kind=Adapter")).json()["data"]) == 1
    assert (await client.get("/v1/admin/documents?kind=Adapter")).json()["data"] == []
    assert len((await client.get("/v1/admin/documents?kind=Adapter&tenant=other")).json()["data"]) == 1
    assert (await other.get("/v1/admin/documents?kind=Adapter&tenant=default")).status_code == 403
    wrong = document | {"spec": spec | {"base": WIDE}}
    assert told(await other.put(path, json=wrong)) == (422, "wrong_base", "spec.base")
    wrong = document | {"spec": spec | {"weights": spec["weights"] | {"digest": WEIGHTS}}}
    assert told(await other.put(path, json=wrong)) == (400, "digest_mismatch", "spec.weights.digest")
    await added(other, files={"a.safetensors": image_adapter(0.1)})
    assert (await other.get(path)).status_code == 404, "it says which files the name means, and means others"
    assert (await other.put(path, json=document)).json()["result"] == "configured"
    assert (await other.delete(path)).status_code == 204
    assert (await other.get("/v1/adapters/stripes")).status_code == 404


async def test_documents_have_the_names_and_tenants_that_there_are(client: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(image_adapter())
    spec = {"weights": {"uri": f"file://{tmp_path}/x.safetensors"}}
    document = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Adapter", "metadata": {"name": "content"}, "spec": spec}
    reserved = await client.put("/v1/admin/documents/Adapter/content", json=document)
    assert told(reserved) == (400, "invalid_value", "metadata.name")
    document["metadata"] = {"name": "stripes"}
    for tenant in ("nobody", "../x"):
        response = await client.put(f"/v1/admin/documents/Adapter/stripes?tenant={tenant}", json=document)
        assert response.status_code == 404


async def test_a_card_says_what_it_takes(client: httpx.AsyncClient) -> None:
    card = (await client.get(f"/v1/catalog/{IMAGES}")).json()
    assert card["adapters"] == {"enabled": True, "architecture": "sd15", "max_rank": 64, "max_per_call": 2}
