"""A replica whose calls use adapters, without Ray around it: the real registry, files, cache and queue; the echo
engine, which fails a call whose adapter was freed under it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.books import KeptBooks
from fakes.databases import new_sqlite
from fakes.gateway import settings_in
from sqlalchemy import select

from deployments import metering
from deployments.llm import LlmReplica
from deployments.replica import ModelArgs, ModelReplica
from deployments.text_to_image import TextToImageReplica
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.modules import WEIGHTS_FILE, AdapterContents
from serve.catalog.adapters.registry import AdapterRegistry, NewVersion
from serve.catalog.adapters.stored import StoredFile, Words
from serve.catalog.catalog import Catalog
from serve.catalog.weights import tree_digest
from serve.clock import SystemClock
from serve.domain.adapters import AdapterArchitecture, AdapterFacts, AdapterFormat, ModuleKind
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import InvalidRequest, NotFound, SlipwayError, StorageUnavailable, Unprocessable
from serve.domain.folds import Answer
from serve.domain.generation import AdapterUse, CallContext, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.serving.fair_queue import FairQueue
from serve.serving.route_memory import Preload
from serve.settings import AdaptersSettings
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.storage.tables import layouts

ACME = TenantName("acme")
CONTEXT = CallContext(RequestId("r"), ACME, ProjectName("default"), KeyId("k"))
CONTENTS = AdapterContents(
    AdapterFacts(
        format=AdapterFormat.PEFT,
        architecture=AdapterArchitecture.LANGUAGE,
        kinds=(ModuleKind.LORA,),
        components=("language_model",),
        rank=4,
        num_modules=1,
        num_parameters=64,
    ),
    (),
    {},
)


def document(adapters: dict[str, Any] | None = None, **spec: Any) -> ModelDocument:
    body = {"family": "llm", "tasks": ["chat"], "card": {"title": "P"}, "engine": {"kind": "echo"}} | spec
    body["adapters"] = {"enabled": True} | (adapters or {})
    named = {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": "parrot"}, "spec": body}
    return ModelDocument.model_validate(named)


def echo(**spec: Any) -> dict[str, Any]:
    return {"engine": {"kind": "echo"} | spec}


class Installation:
    """The stores of one installation, and its one replica."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings_in(folder)
        for name in ("data_dir", "cache_dir", "state_dir"):
            monkeypatch.setenv(f"SLIPWAY_STORAGE_{name}".upper(), str(getattr(self.settings.storage, name)))
        monkeypatch.setattr(metering, "RayBooks", KeptBooks)
        new_sqlite(self.settings.storage.data_dir / "slipway.db")
        self.records = Records(self.settings.storage.url())
        objects = open_object_store(self.settings)
        self.registry = AdapterRegistry(self.records, objects, SystemClock(), AdaptersSettings(grace_seconds=0))
        self.folder = folder

    async def replica(self, made: ModelDocument) -> ModelReplica:
        kind = LlmReplica if made.spec.family == "llm" else TextToImageReplica
        # Ray awaits `__del__`; the interpreter calls it too, and cannot await.
        collectable = type(kind.__name__, (kind,), {"__del__": lambda self: None})
        replica: ModelReplica = collectable(ModelArgs(name=made.name, build="b"))
        await self.configure(replica, made)
        return replica

    async def configure(self, replica: ModelReplica, made: ModelDocument) -> None:
        await Catalog(self.records, SystemClock()).apply(made, "api")
        await replica.reconfigure({"name": made.name, "digest": made.digest()})

    async def adapter(self, name: str, data: bytes = b"weights", tenant: TenantName = ACME) -> str:
        folder = self.folder / "uploads" / tenant / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS_FILE).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        file = StoredFile(WEIGHTS_FILE, sha256, len(data))
        digest = tree_digest({WEIGHTS_FILE: sha256})
        stored, _ = await self.registry.add(NewVersion(tenant, name, digest, folder, (file,), CONTENTS), Words())
        return stored.version.id


@pytest.fixture
async def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    made = Installation(tmp_path, monkeypatch)
    yield made
    await made.records.close()


async def close(replica: ModelReplica) -> None:
    """What Ray does when it takes a replica away."""
    await ModelReplica.__del__(replica)


def chat(words: str, *adapters: str, **more: Any) -> ModelCall:
    uses = tuple(AdapterUse(each, 0.5) for each in adapters)
    return ModelCall(Task.CHAT, {"messages": [{"role": "user", "content": words}]} | more, CONTEXT, uses)


async def said(replica: ModelReplica, call: ModelCall) -> str:
    answer = Answer()
    async for batch in replica.call(call):
        answer.add(batch)
    return answer.choices[0].text


async def test_a_calls_adapters_reach_its_engine(installation: Installation) -> None:
    stripes, outline = await installation.adapter("stripes"), await installation.adapter("outline", b"others")
    replica = await installation.replica(document())
    text = await said(replica, chat("hello", outline, stripes))
    assert text == f"[outline@{outline[-64:-56]} x 0.5, stripes@{stripes[-64:-56]} x 0.5] hello"
    assert await said(replica, chat("plain")) == "plain"
    await said(replica, chat("again", stripes))
    counted = replica.counters()
    assert (counted["adapter_requests_store"], counted["adapter_requests_host"]) == (2, 1)
    assert (counted["adapters_prepared_total"], counted["adapter_in_use"]) == (2, 0)
    await close(replica)


async def test_a_model_that_takes_none_opens_no_store_and_says_so(installation: Installation) -> None:
    replica = await installation.replica(document({"enabled": False}))
    assert replica._stores is None
    assert not (installation.settings.storage.cache_dir / "adapters").exists()
    with pytest.raises(Unprocessable, match="takes no adapters") as caught:
        await said(replica, chat("hello", await installation.adapter("stripes")))
    assert (caught.value.code, caught.value.param) == ("adapters_not_enabled", "adapters")
    assert replica.record_routing_stats()["adapters"] == {}
    await close(replica)


async def test_a_card_that_takes_them_no_longer_refuses_them(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document())
    await said(replica, chat("hello", stripes))
    await installation.configure(replica, document({"enabled": False}))
    with pytest.raises(Unprocessable, match="takes no adapters"):
        await said(replica, chat("hello", stripes))
    assert await said(replica, chat("plain")) == "plain"
    await close(replica)


async def test_a_cold_adapter_takes_no_place_from_calls_that_are_ready(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document(**echo(maxConcurrency=1, adapterLoadMs=60_000)))
    cold = asyncio.create_task(said(replica, chat("cold", stripes)))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(50):
        await replica.check_health()
        assert await said(replica, chat("ready")) == "ready"
    assert not cold.done()
    cold.cancel()
    await asyncio.wait([cold])
    await close(replica)


async def test_a_cold_call_keeps_its_turn(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document(**echo(maxConcurrency=1, adapterLoadMs=20, tokenMs=5)))
    ended: list[str] = []

    async def call(words: str, *adapters: str) -> None:
        await said(replica, chat(words, *adapters))
        ended.append(words)

    first = replica.call(chat("a b", max_tokens=4000))
    await anext(first)
    cold = asyncio.create_task(call("cold", stripes))
    await asyncio.sleep(0)
    later = asyncio.create_task(call("later"))
    async with asyncio.timeout(50):
        while not replica.counters()["adapter_resident_host"]:
            await asyncio.sleep(0.01)
        await first.aclose()
        await asyncio.gather(cold, later)
    assert ended == ["cold", "later"]
    await close(replica)


async def test_under_pressure_no_call_finds_its_adapter_freed(installation: Installation) -> None:
    ids = [await installation.adapter(f"a{i}", bytes([i])) for i in range(6)]
    policy = {"maxHost": 1, "hostMemory": "1"}
    replica = await installation.replica(document(policy, **echo(maxConcurrency=4, tokenMs=1)))
    calls = [chat("one two three", ids[i % 6], ids[(i * 5 + 1) % 6]) for i in range(48)]
    answers = await asyncio.gather(*(said(replica, each) for each in calls))
    assert all(text.endswith("one two three") for text in answers)
    counted = replica.counters()
    assert counted["adapter_evictions_host"] > 6
    assert (counted["adapter_in_use"], counted["aborted"]) == (0, 0)
    assert counted["adapter_resident_host"] <= 1
    await close(replica)


async def test_leaving_lets_the_adapters_and_the_place_go(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document(**echo(maxConcurrency=1, tokenMs=5)))
    stream = replica.call(chat("a b", stripes, max_tokens=1000))
    await anext(stream)
    assert replica.counters()["adapter_in_use"] == 1
    await stream.aclose()
    assert replica.counters()["adapter_in_use"] == 0
    assert (await said(replica, chat("next", stripes))).endswith("next")
    await close(replica)


async def test_leaving_while_it_loads_lets_the_load_end(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document(**echo(maxConcurrency=1, adapterLoadMs=60_000)))
    call = asyncio.create_task(said(replica, chat("cold", stripes)))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait([call])
    assert replica.record_autoscaling_stats()["backlog_seconds"] == 0
    async with asyncio.timeout(50):
        assert await said(replica, chat("next")) == "next"
        await close(replica)


async def test_pinned_adapters_are_there_from_the_start_and_follow_the_card(installation: Installation) -> None:
    stripes, outline = await installation.adapter("stripes"), await installation.adapter("outline", b"others")
    replica = await installation.replica(document({"pinned": ["acme/stripes", "acme/nowhere"], "maxHost": 1}))
    assert replica.record_routing_stats()["adapters"] == {stripes.rpartition("@")[2]: 7}
    newer = await installation.adapter("stripes", b"newer weights")
    pinned = {"pinned": ["acme/stripes", f"acme/stripes@{stripes.rpartition('@')[2]}"], "maxHost": 1}
    await installation.configure(replica, document(pinned))
    await said(replica, chat("hello", outline))
    told = replica.record_routing_stats()["adapters"]
    assert set(told) == {each.rpartition("@")[2] for each in (stripes, newer, outline)}
    assert replica.counters()["adapter_in_use"] == 2
    await close(replica)


async def test_a_preload_is_only_haste(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document())
    await replica.preload_adapter(Preload(stripes, "here"))
    await replica.preload_adapter(Preload("acme/unknown@sha256:" + "0" * 64, "here"))
    await replica.preload_adapter(Preload("what", "here"))
    assert list(replica.record_routing_stats()["adapters"]) == [stripes.rpartition("@")[2]]
    before = replica.counters()["adapters_prepared_total"]
    await said(replica, chat("hello", stripes))
    assert replica.counters()["adapters_prepared_total"] == before
    await close(replica)


@pytest.mark.parametrize("adapter", ["acme/unknown@sha256:" + "0" * 64, "stripes", "../../etc/passwd"])
async def test_an_adapter_that_is_not_there_fails_its_call_alone(installation: Installation, adapter: str) -> None:
    replica = await installation.replica(document(**echo(maxConcurrency=1)))
    with pytest.raises(SlipwayError) as caught:
        await said(replica, chat("hello", adapter))
    assert (caught.value.code, caught.value.param) == ("adapter_not_found", "adapters")
    assert isinstance(caught.value, NotFound | InvalidRequest)
    assert await said(replica, chat("plain")) == "plain"
    await close(replica)


async def test_a_file_swapped_on_this_node_is_fetched_anew(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    first = await installation.replica(document())
    await said(first, chat("hello", stripes))
    await close(first)
    entry = installation.settings.storage.cache_dir / "adapters" / "entries" / stripes[-64:]
    (entry / WEIGHTS_FILE).write_bytes(b"WEIGHTS")
    second = await installation.replica(document())
    assert (await said(second, chat("hello", stripes))).endswith("hello")
    assert (entry / WEIGHTS_FILE).read_bytes() == b"weights"
    await close(second)


async def test_the_sizes_of_its_base_are_written_down(installation: Installation) -> None:
    painter = document(family="text_to_image", tasks=["text_to_image"], weights={"uri": "builtin://shapes-sd"})
    replica = await installation.replica(painter)
    assert replica._weights is not None
    async with installation.records.read() as connection:
        rows = (await connection.execute(select(layouts))).all()
    assert [row.digest for row in rows] == [replica._weights.digest]
    assert rows[0].shapes["unet.conv_in"][1] == 4
    await close(replica)


async def test_a_base_whose_sizes_cannot_be_written_down_starts_all_the_same(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise StorageUnavailable("no")

    monkeypatch.setattr(KnownLayouts, "record", fails)
    painter = document(family="text_to_image", tasks=["text_to_image"], weights={"uri": "builtin://shapes-sd"})
    replica = await installation.replica(painter)
    assert replica.record_routing_stats()["load"] == 0
    await close(replica)


async def test_routers_are_not_told_of_every_millisecond_of_the_backlog(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await installation.replica(document())
    told = []
    for seconds in (0.0, 0.1001, 0.1234, 0.1249, 7.49):
        monkeypatch.setattr(FairQueue, "backlog_seconds", seconds)
        told.append(replica.record_routing_stats()["backlog_seconds"])
    assert told == [0.0, 0.1, 0.1, 0.1, 7.5]
    await close(replica)


async def test_health_and_figures_are_told_while_adapters_are_used(installation: Installation) -> None:
    stripes = await installation.adapter("stripes")
    replica = await installation.replica(document())
    await said(replica, chat("hello", stripes))
    await replica.check_health()
    await said(replica, chat("hello", stripes))
    await replica.check_health()
    stats = replica.record_routing_stats()
    assert (stats["load"], stats["backlog_seconds"]) == (0, 0)
    await close(replica)
