"""What the operator writes to the platform, and what it makes of models that were applied over HTTP."""

import json
from typing import Any

import pytest
from fakes.documents import adapter, envelope, model, model_bodies, platform
from hypothesis import given
from hypothesis import strategies as st

from operators.state import (
    ANNOTATION_MANAGED_BY,
    Action,
    ApiAction,
    Catalogue,
    InvalidResource,
    ObjectKey,
    Problem,
    Refusal,
    Resource,
    StoredDocument,
    Verb,
    World,
)
from operators.syncing.api_models import api_models, merge_patch
from operators.syncing.documents import sync
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.workflow import WorkflowDocument

OF_API = {ANNOTATION_MANAGED_BY: "api"}


def stored(document: Any, managed_by: str = "kubernetes") -> StoredDocument:
    body = json.loads(document.canonical()) if managed_by == "api" else {}
    return StoredDocument(document.digest(), managed_by, body)


def workflow(name: str = "greet") -> WorkflowDocument:
    spec = {"nodes": {"a": {"type": "op:text", "inputs": {}}}}
    return WorkflowDocument.model_validate(envelope("Workflow", name, spec))


def world(**given: Any) -> World:
    return World("models", "default", Resource(platform(), "p-1"), **given)


def resource(document: Any, **given: Any) -> Resource[Any]:
    return Resource(document, f"uid-{document.name}", **given)


def answering(**given: Any) -> Catalogue:
    return Catalogue(is_answering=True, **given)


def told(actions: tuple[ApiAction, ...]) -> list[tuple[str, str, str]]:
    return [(action.verb.value, action.kind, action.name) for action in actions]


def test_models_are_applied_before_adapters_and_deleted_after_them():
    there = world(models=(resource(model("new")),), adapters=(resource(adapter("a")),))
    catalogue = answering(models={"old": stored(model("old"))}, adapters={"gone": stored(adapter("gone"))})
    assert told(sync(there, catalogue, ())) == [
        ("apply", "Model", "new"),
        ("apply", "Adapter", "a"),
        ("delete", "Adapter", "gone"),
        ("delete", "Model", "old"),
    ]


def test_what_the_platform_has_is_not_written_again():
    there = world(models=(resource(model()),), adapters=(resource(adapter()),))
    catalogue = answering(models={"echo": stored(model())}, adapters={"style": stored(adapter())})
    assert sync(there, catalogue, ()) == ()


def test_labels_do_not_make_another_document():
    labelled = ModelDocument.model_validate(
        envelope("Model", "echo", model().model_dump(by_alias=True, exclude_unset=True)["spec"], {"team": "red"})
    )
    assert sync(world(models=(resource(labelled),)), answering(models={"echo": stored(model())}), ()) == ()


@pytest.mark.parametrize("managed_by", ["builtin", "kubernetes"])
def test_a_document_that_differs_is_applied(managed_by: str):
    catalogue = answering(models={"echo": stored(model(card={"title": "Old"}), managed_by)})
    assert told(sync(world(models=(resource(model()),)), catalogue, ())) == [("apply", "Model", "echo")]


def test_what_others_manage_is_not_deleted():
    catalogue = answering(models={"a": stored(model("a"), "builtin"), "b": stored(model("b"), "api")})
    assert sync(world(), catalogue, ()) == ()


def test_nothing_is_concluded_from_silence():
    assert sync(world(models=(resource(model()),)), Catalogue(), ()) == ()
    assert api_models(world(models=(resource(model(), annotations=OF_API),)), Catalogue()) == ()


def test_a_refused_document_is_sent_again_only_when_it_has_changed():
    refusal = Refusal("Model", "echo", model().digest(), "invalid_card", "no")
    assert sync(world(models=(resource(model()),)), answering(), (refusal,)) == ()
    changed = resource(model(card={"title": "Better"}))
    assert told(sync(world(models=(changed,)), answering(), (refusal,))) == [("apply", "Model", "echo")]


def test_a_refused_deletion_waits_for_another_try():
    refusal = Refusal("Workflow", "greet", "", "workflow_in_use", "others have it inside")
    catalogue = answering(workflows={"greet": stored(workflow())})
    assert sync(world(), catalogue, (refusal,)) == ()
    assert told(sync(world(), catalogue, ())) == [("delete", "Workflow", "greet")]


@pytest.mark.parametrize(("is_fatal", "actions"), [(True, []), (False, [("apply", "Model", "echo")])])
def test_a_document_with_a_fatal_problem_is_neither_sent_nor_deleted(
    is_fatal: bool, actions: list[tuple[str, str, str]]
):
    problem = Problem(ObjectKey(API_VERSION, "Model", "echo"), "UnknownPool", "no such pool", is_fatal)
    catalogue = answering(models={"echo": stored(model(card={"title": "Old"}))})
    assert told(sync(world(models=(resource(model()),)), catalogue, (), (problem,))) == actions


def test_what_an_unreadable_resource_said_last_stays():
    invalid = InvalidResource({"kind": "Adapter", "metadata": {"name": "style"}}, "no")
    catalogue = answering(adapters={"style": stored(adapter())}, models={"style": stored(model("style"))})
    assert told(sync(world(invalid=(invalid,)), catalogue, ())) == [("delete", "Model", "style")]


def test_a_resource_that_is_being_deleted_is_gone_for_the_platform():
    there = world(models=(resource(model(), is_deleting=True),))
    assert told(sync(there, answering(models={"echo": stored(model())}), ())) == [("delete", "Model", "echo")]


def test_a_model_that_was_applied_over_http_becomes_a_resource():
    (action,) = api_models(world(), answering(models={"echo": stored(model(), "api")}))
    assert (action.verb, action.key.name, action.event) == (Verb.APPLY, "echo", "AppliedOverHttp")
    assert action.body["metadata"]["annotations"] == OF_API
    assert action.body["metadata"]["ownerReferences"][0]["uid"] == "p-1"
    body = {key: action.body[key] for key in ("apiVersion", "kind", "spec")}
    assert ModelDocument.model_validate(body | {"metadata": {"name": "echo"}}).digest() == model().digest()


def test_such_a_resource_is_left_alone_while_it_says_what_the_platform_does():
    there = world(models=(resource(model(), annotations=OF_API),))
    catalogue = answering(models={"echo": stored(model(), "api")})
    assert api_models(there, catalogue) == ()
    assert sync(there, catalogue, ()) == ()


def set_back(live: ModelDocument, wanted: ModelDocument, **given: Any) -> tuple[Action, ModelDocument]:
    """What is written, and the document after it."""
    (action,) = api_models(
        world(models=(resource(live, **given),)), answering(models={wanted.name: stored(wanted, "api")})
    )
    spec = live.model_dump(mode="json", by_alias=True, exclude_unset=True)["spec"]
    merged = merged_with(spec, action.body.get("spec", {}))
    return action, ModelDocument.model_validate(envelope("Model", live.name, merged))


def merged_with(live: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    found = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        found.pop(key, None)
        if value is not None:
            found[key] = merged_with(live.get(key) if isinstance(live, dict) else None, value)
    return found


def test_an_edit_of_it_is_set_back_and_told():
    live = model(card={"title": "Mine", "tags": ["a"]}, scaling={"replicas": 3})
    action, after = set_back(live, model(scaling={"maxReplicas": 2}), annotations=OF_API)
    assert (action.verb, action.event) == (Verb.PATCH, "SetBack")
    assert "slipway delete model echo" in action.reason
    assert after.digest() == model(scaling={"maxReplicas": 2}).digest()


def test_a_resource_beside_a_document_of_that_name_is_set_back_and_not_sent():
    there = world(models=(resource(model(card={"title": "Mine"})),))
    catalogue = answering(models={"echo": stored(model(), "api")})
    (action,) = api_models(there, catalogue)
    assert action.body["metadata"]["annotations"] == OF_API
    assert sync(there, catalogue, ()) == ()


def test_an_unreadable_edit_is_set_back():
    manifest = {"kind": "Model", "metadata": {"name": "echo"}, "spec": {"family": "llm", "nonsense": 1}}
    there = world(invalid=(InvalidResource(manifest, "no"),))
    (action,) = api_models(there, answering(models={"echo": stored(model(), "api")}))
    after = merged_with(manifest["spec"], action.body["spec"])
    assert ModelDocument.model_validate(envelope("Model", "echo", after)).digest() == model().digest()


def test_what_can_never_change_makes_another_resource():
    painter = model(family="text_to_image", tasks=["text_to_image"])
    there = world(models=(resource(painter, annotations=OF_API),))
    (action,) = api_models(there, answering(models={"echo": stored(model(), "api")}))
    assert (action.verb, action.uid) == (Verb.DELETE, "uid-echo")


def test_a_resource_goes_when_its_document_was_deleted_over_http():
    there = world(models=(resource(model(), annotations=OF_API), resource(model("mine"))))
    (action,) = api_models(there, answering())
    assert (action.verb, action.key.name, action.uid) == (Verb.DELETE, "echo", "uid-echo")
    assert told(sync(there, answering(), ())) == [("apply", "Model", "mine")]


@given(model_bodies(name=st.just("echo")), model_bodies(name=st.just("echo")))
def test_setting_back_gives_the_platforms_document(live: dict[str, Any], wanted: dict[str, Any]):
    wanted["spec"]["family"] = live["spec"]["family"] = "llm"
    wanted["spec"]["tasks"] = live["spec"]["tasks"] = ["chat"]
    for spec in (wanted["spec"], live["spec"]):
        spec["engine"] = {"kind": "echo"} | {k: v for k, v in spec["engine"].items() if k == "maxConcurrency"}
    patch = merge_patch(live["spec"], wanted["spec"])
    assert merged_with(live["spec"], patch) == wanted["spec"]
    assert bool(patch) == (live["spec"] != wanted["spec"])
