"""The library of workflows, on SQLite and on PostgreSQL: no words are lost, and no version ever changes."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, made
from sqlalchemy import func, select, update

from serve.domain.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, SlipwayError, StorageUnavailable
from serve.domain.names import TenantName
from serve.domain.run import RunKind, WorkflowTerms
from serve.domain.workflow import MAX_BYTES, WorkflowSpec
from serve.runs.store import RunStore
from serve.settings import WorkflowsSettings
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_documents
from serve.workflow.library.addresses import parse_address
from serve.workflow.library.library import ABSENT, Library
from serve.workflow.library.stored_workflows import NewVersion, StoredVersion, StoredWorkflow

ACME, OTHER = TenantName("acme"), TenantName("other")
DAY = 86_400


@pytest.fixture
def settings() -> WorkflowsSettings:
    return WorkflowsSettings(max_per_tenant=5, max_versions=20)


@pytest.fixture
def library(database: Records, clock: ManualClock, settings: WorkflowsSettings) -> Library:
    return Library(database, clock, settings)


def spec(text: str = "a", **fields: Any) -> WorkflowSpec:
    """A workflow that differs from others by its text; nobody here asks whether it could run."""
    node = {"type": "op:constant", "inputs": {"value": text}}
    return WorkflowSpec.model_validate({"nodes": {"said": node}} | fields)


def using(*named: str) -> WorkflowSpec:
    nodes = {f"n{index}": {"type": f"workflow:{one}"} for index, one in enumerate(named)}
    return WorkflowSpec.model_validate({"nodes": nodes})


async def save(
    library: Library, document: WorkflowSpec, revision: str | None = None, name: str = "w", tenant: TenantName = ACME
) -> StoredWorkflow:
    return (await library.save(tenant, name, document, "ada", revision=revision))[0]


async def publish(
    library: Library, document: WorkflowSpec, name: str = "w", tenant: TenantName = ACME, **more: Any
) -> StoredVersion:
    await save(library, document, name=name, tenant=tenant)
    return (await library.publish(NewVersion(tenant, name, document, "ada", **more)))[0]


async def outcomes(calls: list[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_a_draft_comes_back_as_it_was_written(library: Library) -> None:
    written = WorkflowSpec.model_validate(
        {
            "title": "Größe",
            "nodes": {
                "z": {"type": "op:constant", "inputs": {"value": [1, 1.0, True, None, "\u2028"]}},
                "a": {"type": "op:x"},
            },
            "layout": {"nodes": {"z": {"x": 1.5}}},
        }
    )
    saved = await save(library, written, ABSENT)
    found = await library.draft(ACME, "w")
    assert (found.workflow, found.spec) == (saved, written)
    assert list(found.spec.nodes) == ["z", "a"]
    assert [type(one) for one in found.spec.nodes["z"].inputs["value"]] == [int, float, bool, type(None), str]
    assert (saved.title, saved.latest, saved.updated_by) == ("Größe", None, "ada")


async def test_of_two_who_save_over_the_same_state_one_is_refused_and_told(library: Library) -> None:
    seen = (await save(library, spec("first"), ABSENT)).revision
    texts = [f"by {who}" for who in range(6)]
    results = await outcomes([save(library, spec(text), seen) for text in texts])
    winners = [text for text, one in zip(texts, results, strict=True) if not isinstance(one, Exception)]
    refused = [one for one in results if isinstance(one, Exception)]
    assert len(winners) == 1
    assert {(type(one), one.code) for one in refused} == {(Conflict, "revision_mismatch")}
    assert (await library.draft(ACME, "w")).spec == spec(winners[0])
    assert (await library.get(ACME, "w")).revision in refused[0].message


async def test_writers_who_read_again_when_they_are_refused_lose_no_word(library: Library) -> None:
    await save(library, WorkflowSpec(), ABSENT)

    async def write(who: int) -> None:
        for number in range(4):
            while True:
                draft = await library.draft(ACME, "w")
                own = spec(f"{who} {number}").nodes["said"]
                nodes = {**draft.spec.nodes, f"n{who}_{number}": own}
                try:
                    await save(library, WorkflowSpec(nodes=nodes), draft.workflow.revision)
                    break
                except Conflict:
                    await asyncio.sleep(0)

    await asyncio.gather(*(write(who) for who in range(5)))
    assert len((await library.draft(ACME, "w")).spec.nodes) == 20


async def test_a_save_whose_answer_was_lost_may_be_repeated(library: Library) -> None:
    seen = (await save(library, spec("a"), ABSENT)).revision
    saved = await save(library, spec("b"), seen)
    assert await save(library, spec("b"), seen) == saved
    assert await save(library, spec("b"), ABSENT) == saved


async def test_only_one_of_many_begins_a_workflow(library: Library) -> None:
    results = await outcomes([save(library, spec(str(who)), ABSENT) for who in range(5)])
    assert sum(isinstance(one, StoredWorkflow) for one in results) == 1
    assert {one.code for one in results if isinstance(one, SlipwayError)} == {"revision_mismatch"}


async def test_a_revision_of_a_deleted_workflow_saves_nothing_over_its_successor(library: Library) -> None:
    old = (await save(library, spec("old"), ABSENT)).revision
    await library.delete(ACME, "w")
    with pytest.raises(NotFound):
        await save(library, spec("late words"), old)
    await save(library, spec("successor"), ABSENT)
    with pytest.raises(Conflict, match="revision"):
        await save(library, spec("late words"), old)
    assert (await library.draft(ACME, "w")).spec == spec("successor")


async def test_publishing_one_draft_at_once_makes_one_version(library: Library) -> None:
    await save(library, spec(), ABSENT)
    made = await asyncio.gather(*(library.publish(NewVersion(ACME, "w", spec(), "ada")) for _ in range(6)))
    assert [is_new for _, is_new in made].count(True) == 1
    assert {version.version for version, _ in made} == {1}


async def test_what_is_published_at_once_becomes_whole_versions_without_gaps(library: Library) -> None:
    texts = [f"text {index}" for index in range(8)]
    new = [NewVersion(ACME, "w", spec(text), "ada", aliases=("prod",)) for text in texts]
    made = await asyncio.gather(*(library.apply(one, one.spec) for one in new))
    assert sorted(version.version for version, _ in made) == list(range(1, 9))
    for text, (version, _) in zip(texts, made, strict=True):
        assert await library.versions.spec(version) == spec(text)
    assert (await library.get(ACME, "w")).aliases == {"prod": 8}


async def test_a_version_is_one_state_of_the_draft_while_others_go_on_writing(library: Library) -> None:
    seen = await save(library, spec("0"), ABSENT)

    async def publish_what_is_seen() -> StoredVersion | None:
        draft = await library.draft(ACME, "w")
        await asyncio.sleep(0)
        try:
            new = NewVersion(ACME, "w", draft.spec, "ada", revision=draft.workflow.revision)
            return (await library.publish(new))[0]
        except Conflict:
            return None

    async def write() -> None:
        revision = seen.revision
        for number in range(1, 10):
            revision = (await save(library, spec(str(number)), revision)).revision

    _, *found = await asyncio.gather(write(), *(publish_what_is_seen() for _ in range(10)))
    states = [spec(str(number)) for number in range(10)]
    for version in filter(None, found):
        assert await library.versions.spec(version) in states
    with pytest.raises(Conflict):
        await library.publish(NewVersion(ACME, "w", spec("0"), "ada", revision=seen.revision))


async def test_no_way_leads_to_another_version_of_the_same_number(library: Library) -> None:
    first = await publish(library, spec("first"), aliases=("prod",))

    async def is_first() -> bool:
        now = await library.versions.get(ACME, "w", 1)
        return now == first and await library.versions.spec(now) == spec("first")

    await save(library, spec("edited"))
    assert await is_first()
    await publish(library, spec("edited"), aliases=("prod",))
    await library.apply(NewVersion(ACME, "w", spec("applied"), "eve"), spec("applied"))
    await library.aliases.rollback(ACME, "w", "prod", "eve")
    assert await is_first()
    await library.delete(ACME, "w")
    again = await publish(library, spec("first in another life"))
    assert again.version == 4
    with pytest.raises(NotFound):
        await library.versions.get(ACME, "w", 1)


async def test_the_newest_version_gone_its_number_is_not_given_again(library: Library) -> None:
    for text in "ab":
        await publish(library, spec(text))
    await library.versions.delete(ACME, "w", 2)
    assert (await library.get(ACME, "w")).latest == 1
    assert (await publish(library, spec("c"))).version == 3
    assert [one.version for one in await library.versions.list(ACME, "w")] == [3, 1]
    assert [one.version for one in await library.versions.list(ACME, "w", before=3)] == [1]


@pytest.mark.parametrize(
    ("change", "is_new"),
    [
        ({}, False),
        ({"layout": {"nodes": {"said": {"x": 7}}}}, False),
        ({"provenance": {"importedFrom": "elsewhere"}}, False),
        ({"title": "Another"}, True),
        ({"nodes": {"said": {"type": "op:constant", "inputs": {"value": True}}}}, True),
        ({"nodes": {"said": {"type": "op:constant", "inputs": {"value": 1.0}}}}, True),
    ],
    ids=["nothing", "layout", "provenance", "words", "true for 1", "1.0 for 1"],
)
async def test_a_version_is_new_where_it_says_something_new(
    library: Library, change: Mapping[str, Any], is_new: bool
) -> None:
    one: dict[str, Any] = {"nodes": {"said": {"type": "op:constant", "inputs": {"value": 1}}}}
    await publish(library, WorkflowSpec.model_validate(one))
    other = WorkflowSpec.model_validate(one | change)
    await save(library, other)
    version, was_new = await library.publish(NewVersion(ACME, "w", other, "ada"))
    assert (version.version, was_new) == ((2, True) if is_new else (1, False))


async def test_applying_leaves_words_alone_that_no_version_has(library: Library) -> None:
    assert (await library.apply(NewVersion(ACME, "w", spec("a"), "git"), spec("a")))[1] == "created"
    assert (await library.apply(NewVersion(ACME, "w", spec("a"), "git"), spec("a")))[1] == "unchanged"
    assert (await library.apply(NewVersion(ACME, "w", spec("b"), "git"), spec("b")))[1] == "configured"
    assert (await library.draft(ACME, "w")).spec == spec("b")
    await save(library, spec("somebody writes"))
    version, result = await library.apply(NewVersion(ACME, "w", spec("c"), "git"), spec("c"))
    assert (version.version, result) == (3, "configured")
    assert (await library.draft(ACME, "w")).spec == spec("somebody writes")
    assert (await library.apply(NewVersion(ACME, "w", spec("c"), "git"), spec("c")))[1] == "unchanged"


async def test_a_draft_that_names_an_alias_counts_as_published_by_the_number(library: Library) -> None:
    await publish(library, spec(), name="sub")
    await library.apply(NewVersion(ACME, "w", using("sub@1"), "git"), using("sub@prod"))
    changed = using("sub@1").model_copy(update={"title": "x"})
    await library.apply(NewVersion(ACME, "w", changed, "git"), changed)
    assert (await library.draft(ACME, "w")).spec == changed


async def test_a_version_of_something_that_has_gone_is_refused(library: Library) -> None:
    await publish(library, spec(), name="sub")
    await library.delete(ACME, "sub")
    for named in ("sub@1", "sub@2", "sub", "never@1"):
        await save(library, using(named))
        with pytest.raises(Conflict) as refused:
            await library.publish(NewVersion(ACME, "w", using(named), "ada"))
        assert refused.value.code == "version_gone"
    assert (await library.get(ACME, "w")).latest is None


async def test_what_others_need_is_not_deleted(library: Library) -> None:
    for text in "ab":
        await publish(library, spec(text), name="sub")
    await publish(library, spec("c"), name="sub-two")
    await publish(library, using("sub@1", "sub-two@1"))
    for call in (library.delete(ACME, "sub"), library.versions.delete(ACME, "sub", 1)):
        with pytest.raises(Conflict, match="w@1") as refused:
            await call
        assert refused.value.code == "workflow_in_use"
    await library.versions.delete(ACME, "sub", 2)
    await publish(library, spec("on its own"))
    await library.versions.delete(ACME, "w", 1)
    await library.delete(ACME, "sub")
    assert [one.name for one in await library.list(ACME)] == ["sub-two", "w"]


async def test_deleting_and_publishing_at_once_leaves_no_version_without_its_parts(library: Library) -> None:
    for round_ in range(4):
        await publish(library, spec(), name=f"sub{round_}")
        await save(library, spec("x"), name=f"w{round_}") if round_ == 0 else None
        name = "w0"
        results = await outcomes(
            [
                library.delete(ACME, f"sub{round_}"),
                library.publish(NewVersion(ACME, name, using(f"sub{round_}@1"), "ada")),
            ]
        )
        assert sum(isinstance(one, Conflict) for one in results) == 1
        if not isinstance(results[0], Conflict):
            with pytest.raises(NotFound):
                await library.get(ACME, f"sub{round_}")
        else:
            assert (await library.versions.named(ACME, [f"sub{round_}@1"])).keys() == {f"sub{round_}@1"}
            await publish(library, spec(f"free {round_}"), name=name)
            await library.versions.delete(ACME, name, results[1][0].version)
            await library.delete(ACME, f"sub{round_}")


async def test_an_alias_moves_on_and_back(library: Library) -> None:
    for text in "abc":
        await publish(library, spec(text))
    await library.aliases.set(ACME, "w", "prod", 1, "ada")
    moved = await library.aliases.set(ACME, "w", "prod", 3, "eve")
    assert (moved.version, moved.previous, moved.updated_by) == (3, 1, "eve")
    assert await library.aliases.set(ACME, "w", "prod", 3, "ada") == moved
    back = await library.aliases.rollback(ACME, "w", "prod", "ada", current=3)
    assert (back.version, back.previous) == (1, 3)
    assert (await library.versions.resolve(ACME, parse_address("w@prod"))).version == 1
    assert (await library.versions.resolve(ACME, parse_address("w"))).version == 3
    with pytest.raises(Conflict) as moved_on:
        await library.aliases.rollback(ACME, "w", "prod", "eve", current=3)
    assert moved_on.value.code == "alias_moved"


async def test_of_two_who_roll_back_what_they_see_one_does(library: Library) -> None:
    for text in "ab":
        await publish(library, spec(text), aliases=("prod",))
    results = await outcomes([library.aliases.rollback(ACME, "w", "prod", "ada", current=2) for _ in range(4)])
    assert sum(isinstance(one, Conflict) for one in results) == 3
    assert (await library.aliases.get(ACME, "w", "prod")).version == 1


async def test_there_is_no_way_back_to_what_is_gone(library: Library) -> None:
    for text in "ab":
        await publish(library, spec(text), aliases=("prod",))
    with pytest.raises(Conflict, match="the alias prod"):
        await library.versions.delete(ACME, "w", 2)
    await library.versions.delete(ACME, "w", 1)
    with pytest.raises(Conflict) as refused:
        await library.aliases.rollback(ACME, "w", "prod", "ada")
    assert refused.value.code == "nothing_before"
    await library.aliases.delete(ACME, "w", "prod")
    with pytest.raises(NotFound):
        await library.versions.resolve(ACME, parse_address("w@prod"))


@pytest.mark.parametrize("word", ["latest", "draft", "3", "007", "Prod", "a b", ""])
async def test_a_word_that_means_something_else_is_no_alias(library: Library, word: str) -> None:
    await publish(library, spec())
    with pytest.raises(InvalidRequest):
        await library.aliases.set(ACME, "w", word, 1, "ada")


async def test_two_tenants_with_one_name_have_nothing_in_common(library: Library) -> None:
    mine, theirs = await publish(library, spec("mine")), await publish(library, spec("theirs"), tenant=OTHER)
    await library.aliases.set(OTHER, "w", "prod", 1, "eve")
    assert await library.versions.spec(mine) == spec("mine")
    for digest in (theirs.digest, "sha256:" + "0" * 64):
        with pytest.raises(NotFound, match="no workflow document"):
            await library.documents.get(ACME, digest)
    assert await library.versions.named(ACME, ["w@prod", "w@2"]) == {}
    await library.delete(ACME, "w")
    assert await library.versions.spec(await library.versions.get(OTHER, "w", 1)) == spec("theirs")
    assert await library.list(ACME) == []


async def test_names_mean_versions_and_what_means_none_is_left_out(library: Library) -> None:
    for text in "ab":
        await publish(library, spec(text), name="sub")
    await library.aliases.set(ACME, "sub", "prod", 1, "ada")
    found = await library.versions.named(
        ACME, ["sub@1", "sub@prod", "sub@latest", "sub", "sub@3", "sub@draft", "no@1", "No!", "sub@", "sub@99999999999"]
    )
    numbers = {text: version.version for text, version in found.items()}
    assert numbers == {"sub@1": 1, "sub@prod": 1, "sub@latest": 2, "sub": 2}
    await library.versions.delete(ACME, "sub", 2)
    assert (await library.versions.named(ACME, ["sub@2"])) == {}
    assert (await library.versions.named(ACME, ["sub@2"], with_deleted=True))["sub@2"].version == 2


async def test_a_tenant_has_so_many_workflows_and_a_workflow_so_many_versions(
    library: Library, settings: WorkflowsSettings
) -> None:
    for index in range(settings.max_per_tenant):
        await save(library, spec(), ABSENT, name=f"w{index}")
    with pytest.raises(Conflict) as refused:
        await save(library, spec(), ABSENT, name="one-more")
    assert refused.value.code == "too_many_workflows"
    await save(library, spec(), ABSENT, name="one-more", tenant=OTHER)
    for index in range(settings.max_versions):
        await publish(library, spec(str(index)), name="w0")
    with pytest.raises(Conflict) as refused:
        await publish(library, spec("one more"), name="w0")
    assert refused.value.code == "too_many_versions"
    await library.versions.delete(ACME, "w0", 1)
    assert (await publish(library, spec("one more"), name="w0")).version == settings.max_versions + 1


async def test_what_is_written_elsewhere_is_not_changed_here(library: Library) -> None:
    cluster = NewVersion(ACME, "w", spec("a"), "operator", manager="kubernetes")
    await library.apply(cluster, cluster.spec)
    calls: list[Callable[[], Any]] = [
        lambda: save(library, spec("b")),
        lambda: library.publish(NewVersion(ACME, "w", spec("b"), "ada")),
        lambda: library.apply(NewVersion(ACME, "w", spec("b"), "ada"), spec("b")),
        lambda: library.versions.delete(ACME, "w", 1),
        lambda: library.delete(ACME, "w"),
    ]
    for call in calls:
        with pytest.raises(Conflict) as refused:
            await call()
        assert refused.value.code == "managed_elsewhere"
    await library.aliases.set(ACME, "w", "prod", 1, "ada")
    await library.delete(ACME, "w", manager="kubernetes")


async def test_a_workflow_has_at_most_a_megabyte_and_no_reserved_name(library: Library) -> None:
    with pytest.raises(PayloadTooLarge):
        await save(library, spec("x" * MAX_BYTES), ABSENT)
    for name in ("validate", "import"):
        with pytest.raises(InvalidRequest):
            await save(library, spec(), ABSENT, name=name)
    assert await library.list(ACME) == []


async def test_a_list_goes_by_name_and_finds_words(library: Library) -> None:
    for name, title in (("b", "Product shot"), ("a", "100% wool"), ("c", "banner_x")):
        await save(library, spec(title=title), ABSENT, name=name)
    assert [one.name for one in await library.list(ACME, limit=2)] == ["a", "b"]
    assert [one.name for one in await library.list(ACME, after="b")] == ["c"]
    for text, names in (("SHOT", ["b"]), ("0%", ["a"]), ("%", ["a"]), ("_", ["c"]), ("c", ["b", "c"])):
        assert [one.name for one in await library.list(ACME, text=text)] == names


async def test_a_document_that_somebody_has_changed_is_refused(library: Library, database: Records) -> None:
    version = await publish(library, spec("as it was published"))
    async with database.write() as connection:
        changed = func.replace(workflow_documents.c.body, "published", "forged")
        await connection.execute(update(workflow_documents).values(body=changed))
    fresh = Library(database, ManualClock(), WorkflowsSettings())
    with pytest.raises(StorageUnavailable) as refused:
        await fresh.versions.spec(version)
    assert refused.value.code == "document_damaged"


class NoAssets:
    """Runs of this file make none."""

    async def delete_for_runs(self, run_ids: object) -> None:
        return None


async def digests(database: Records) -> set[str]:
    async with database.read() as connection:
        return set(await connection.scalars(select(workflow_documents.c.digest)))


async def workflow_run(database: Records, clock: ManualClock, digest: str) -> tuple[RunStore, Any]:
    store = RunStore(database, clock, SETTINGS, NoAssets())
    terms = WorkflowTerms(digest=digest)
    return store, await made(store, kind=RunKind.WORKFLOW, target="w@draft", task=None, workflow=terms)


async def test_documents_go_when_neither_a_version_nor_a_run_has_them(
    library: Library, database: Records, clock: ManualClock
) -> None:
    version = await publish(library, spec("published"))
    of_run = await library.documents.put(ACME, spec("a run's draft"))
    idle = await library.documents.put(ACME, spec("nobody's"))
    used = await library.documents.put(ACME, spec("somebody's in a moment"))
    await workflow_run(database, clock, of_run)
    clock.advance(DAY - 1)
    await library.documents.touch(ACME, [used])
    assert await library.documents.sweep() == 0
    clock.advance(2)
    assert await library.documents.sweep() == 1
    assert await digests(database) == {version.digest, of_run, used}
    with pytest.raises(NotFound):
        await library.documents.get(ACME, idle)
    assert await library.documents.get(ACME, of_run) == spec("a run's draft")
    clock.advance(DAY + 1)
    assert await library.documents.sweep() == 1


async def test_a_deleted_version_stays_for_the_runs_that_may_be_inside_it(
    library: Library, database: Records, clock: ManualClock
) -> None:
    sub = await publish(library, spec("inside"), name="sub")
    parent = await library.documents.put(ACME, using("sub@1"))
    store, run = await workflow_run(database, clock, parent)
    await library.delete(ACME, "sub")
    clock.advance(3 * DAY)
    assert await library.documents.sweep() == 0
    assert (await library.versions.named(ACME, ["sub@1"], with_deleted=True))["sub@1"] == sub
    await store.request_cancel(run.tenant, run.id)
    assert await library.documents.sweep() == 1
    assert await digests(database) == {parent}
