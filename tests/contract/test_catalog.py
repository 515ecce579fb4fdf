"""The catalogue over a real database: who manages what, and what is remembered."""

import asyncio
from typing import Any

import pytest
from fakes.clock import ManualClock

from serve.catalog.catalog import Catalog
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import Conflict, InvalidRequest, NotFound
from serve.domain.task import Task
from serve.storage.records import Records


def document(name: str = "m", title: str = "M", **spec: Any) -> ModelDocument:
    body = {"family": "llm", "tasks": ["chat"], "engine": {"kind": "echo"}, "card": {"title": title}} | spec
    return ModelDocument.model_validate(
        {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": name}, "spec": body}
    )


@pytest.fixture
def catalog(database: Records, clock: ManualClock) -> Catalog:
    return Catalog(database, clock)


async def test_applying_says_what_it_did(catalog: Catalog, clock: ManualClock) -> None:
    assert await catalog.apply(document(), "api") == "created"
    clock.advance(1)
    assert await catalog.apply(document(), "api") == "unchanged"
    assert await catalog.apply(document(title="N"), "api") == "configured"
    record = (await catalog.card("m")).record
    assert record is not None
    assert (record.generation, record.updated_ms - record.created_ms) == (2, 1000)


async def test_a_model_has_one_manager(catalog: Catalog) -> None:
    await catalog.apply(document(), "kubernetes")
    with pytest.raises(Conflict, match="managed by kubernetes"):
        await catalog.apply(document(title="N"), "api")
    with pytest.raises(Conflict):
        await catalog.delete("m", "api")
    assert (await catalog.card("m")).document == document()


async def test_a_builtin_model_is_anyones_to_take_over(catalog: Catalog) -> None:
    assert await catalog.install(document()) == "created"
    assert await catalog.install(document(title="newer")) == "configured"
    assert await catalog.apply(document(title="mine"), "api") == "configured"
    assert await catalog.install(document(title="newest")) == "unchanged"
    assert (await catalog.card("m")).document.spec.card.title == "mine"


async def test_of_many_who_create_one_does(database: Records, clock: ManualClock) -> None:
    catalogs = [Catalog(database, clock) for _ in range(5)]
    results = await asyncio.gather(*(c.apply(document(), "api") for c in catalogs))
    assert sorted(results) == ["created"] + ["unchanged"] * 4


async def test_a_card_that_cannot_be_is_not_stored(catalog: Catalog) -> None:
    with pytest.raises(InvalidRequest, match=r"spec\.card\.inputs\.n"):
        await catalog.apply(document(card={"title": "M", "inputs": {"n": {"maximum": 99}}}), "api")
    assert await catalog.cards() == {}


async def test_old_documents_stay_readable_by_digest(catalog: Catalog) -> None:
    old = document(title="old")
    await catalog.apply(old, "api")
    await catalog.apply(document(title="new"), "api")
    assert await catalog.document(old.digest()) == old
    with pytest.raises(NotFound):
        await catalog.document(f"sha256:{'0' * 64}")


async def test_a_deleted_model_is_gone(catalog: Catalog) -> None:
    await catalog.apply(document(), "api")
    await catalog.delete("m", "api")
    for ask in (catalog.card("m"), catalog.delete("m", "api")):
        with pytest.raises(NotFound):
            await ask


async def test_cards_come_by_name_with_what_was_learned(catalog: Catalog) -> None:
    await catalog.apply(document("b"), "api")
    await catalog.apply(document("a"), "api")
    await catalog.record_cold_start("a", 12.5)
    await catalog.record_cold_start("gone", 1)
    cards = await catalog.cards()
    assert list(cards) == ["a", "b"]
    record = cards["a"].record
    assert record is not None
    assert record.cold_start_seconds == 12.5


async def test_the_first_digest_is_kept_until_the_weights_are_others(catalog: Catalog) -> None:
    await catalog.apply(document(weights={"uri": "hf://a/b"}), "api")
    assert await catalog.record_weights("m", "sha256:one") == "sha256:one"
    assert await catalog.record_weights("m", "sha256:two") == "sha256:one"
    await catalog.apply(document(title="N", weights={"uri": "hf://a/b"}), "api")
    assert await catalog.record_weights("m", "sha256:two") == "sha256:one"
    await catalog.apply(document(weights={"uri": "hf://a/c"}), "api")
    assert await catalog.record_weights("m", "sha256:two") == "sha256:two"


async def test_another_precision_of_the_same_address_is_other_bytes(catalog: Catalog) -> None:
    spec: dict[str, Any] = {"family": "text_to_image", "tasks": ["text_to_image"], "weights": {"uri": "hf://a/b"}}
    await catalog.apply(document(engine={"kind": "diffusion"}, **spec), "api")
    assert await catalog.record_weights("m", "sha256:one") == "sha256:one"
    await catalog.apply(document(engine={"kind": "diffusion", "variant": "fp16"}, **spec), "api")
    assert await catalog.record_weights("m", "sha256:two") == "sha256:two"
    await catalog.apply(document(engine={"kind": "diffusion", "variant": "fp16", "compile": True}, **spec), "api")
    assert await catalog.record_weights("m", "sha256:three") == "sha256:two"


async def test_anothers_change_is_seen_in_seconds_or_when_told(database: Records, clock: ManualClock) -> None:
    ours, theirs = Catalog(database, clock, cache_seconds=5), Catalog(database, clock)
    await ours.apply(document(), "api")
    first = await ours.card("m")
    await theirs.apply(document(title="N"), "api")
    assert await ours.card("m") is first
    clock.advance(6)
    assert (await ours.card("m")).document.spec.card.title == "N"
    await theirs.delete("m", "api")
    ours.forget()
    assert await ours.cards() == {}


async def test_an_unchanged_model_keeps_its_input_classes(catalog: Catalog) -> None:
    await catalog.apply(document("a"), "api")
    made = (await catalog.card("a")).input_model(Task.CHAT)
    await catalog.apply(document("b"), "api")
    assert (await catalog.card("a")).input_model(Task.CHAT) is made
