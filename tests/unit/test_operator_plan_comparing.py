"""When an object is as it should be, and what is done about one that is not."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.planning.children import apply_actions, delete_actions, taken_names
from operators.planning.comparing import differs, with_hash, without_additions
from operators.state import ANNOTATION_HASH, FIELD_MANAGER, Manifest, ObjectKey, Verb

OWNER = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Platform", "name": "main", "uid": "u1", "controller": True}
ABOUT = ObjectKey("slipway.dev/v1alpha1", "Platform", "main")


def service(**spec: Any) -> Manifest:
    """A Service that the operator makes."""
    ports = [{"name": "http", "port": 8000, "targetPort": 8000}]
    metadata = {"name": "main-gateway", "namespace": "models", "ownerReferences": [OWNER]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports, **spec}}


def stored(manifest: Manifest, **spec: Any) -> Manifest:
    """As the API server has it: with defaults, and who has set what."""
    live = copy.deepcopy(with_hash(manifest))
    live["metadata"] |= {"uid": "child", "resourceVersion": "7", "managedFields": [entry(FIELD_MANAGER, "Apply", OWN)]}
    live["spec"] |= {"clusterIP": "10.0.0.7", "sessionAffinity": "None", **spec}
    for port in live["spec"]["ports"]:
        port["protocol"] = "TCP"
    live["status"] = {"loadBalancer": {}}
    return live


OWN = {"f:spec": {"f:ports": {'k:{"port":8000,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}}}}


def entry(manager: str, operation: str, fields: Manifest, subresource: str = "") -> Manifest:
    """A row of managedFields."""
    row = {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields}
    return row | ({"subresource": subresource} if subresource else {})


def planned(wanted: Manifest, live: Manifest | None) -> list[tuple[Verb, str]]:
    """(verb, event) of what is done."""
    objects = {} if live is None else {ObjectKey.of(live): live}
    return [(action.verb, action.event) for action in apply_actions([wanted], objects, "u1")]


def test_what_the_server_adds_is_no_difference() -> None:
    wanted = with_hash(service())
    assert differs(wanted, stored(service())) == []
    assert planned(service(), stored(service())) == []


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}),
        ({"limits": {"cpu": 1}}, {"limits": {"cpu": "1000m"}}),
        ({"volumes": [{"name": "a", "emptyDir": {}}]}, {"volumes": [{"emptyDir": {}, "name": "a"}]}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}, {"name": "A", "value": "1"}]}),
        ({"nodeSelector": {}}, {}),
        ({"emptyDir": {"sizeLimit": "2Gi"}}, {"emptyDir": {"sizeLimit": "2048Mi"}}),
    ],
    ids=["memory", "processors", "key order", "others' additions", "empty", "size limit"],
)
def test_the_same_said_otherwise_is_no_difference(desired: Manifest, live: Manifest) -> None:
    assert differs({"spec": desired}, {"spec": live}) == []


@pytest.mark.parametrize(
    ("desired", "live", "path"),
    [
        ({"a": 1}, {"a": 2}, "spec.a"),
        ({"a": 1}, {}, "spec.a"),
        ({"a": True}, {"a": 1}, "spec.a"),
        ({"name": "1Gi"}, {"name": "1024Mi"}, "spec.name"),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, {"key": "b"}]}, "spec.tolerations"),
        ({"tolerations": []}, {"tolerations": [{"key": "b"}]}, "spec.tolerations"),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}, "spec.env.0.value"),
        (
            {"workerGroupSpecs": [{"env": [{"name": "A"}]}]},
            {"workerGroupSpecs": [{"env": [{"name": "A"}, {"name": "B"}]}]},
            "spec.workerGroupSpecs.0.env",
        ),
    ],
    ids=["value", "missing", "bool", "no quantity", "longer", "emptied", "keyed", "within an atomic list"],
)
def test_a_difference_is_named_by_its_path(desired: Manifest, live: Manifest, path: str) -> None:
    assert differs({"spec": desired}, {"spec": live}) == [path]


def test_a_field_that_is_no_longer_wanted_is_a_difference_while_it_is_ours() -> None:
    own = {"f:spec": {"f:type": {}, "f:ports": {'k:{"port":8000,"protocol":"TCP"}': {".": {}, "f:nodePort": {}}}}}
    live = stored(service(), type="NodePort")
    live["metadata"]["managedFields"] = [entry(FIELD_MANAGER, "Apply", own)]
    assert [path for path in differs(with_hash(service()), live) if "spec" in path] == [
        "spec.type",
        'spec.ports.{"port":8000,"protocol":"TCP"}.nodePort',
    ]


@pytest.mark.parametrize(
    "row",
    [
        entry("kube-controller-manager", "Update", {"f:spec": {"f:type": {}}}),
        entry(FIELD_MANAGER, "Update", {"f:spec": {"f:type": {}}}),
    ],
    ids=["another's", "set by admission"],
)
def test_a_field_that_was_never_applied_is_no_difference(row: Manifest) -> None:
    live = stored(service(), type="ClusterIP")
    live["metadata"]["managedFields"].append(row)
    assert differs(with_hash(service()), live) == []


def test_a_hand_edit_is_reverted_and_says_whose_it_was() -> None:
    live = stored(service())
    live["spec"]["ports"][0]["targetPort"] = 9999
    live["metadata"]["managedFields"].append(entry("kubectl-edit", "Update", {"f:spec": {"f:ports": {}}}))
    [action] = apply_actions([service()], {ObjectKey.of(live): live}, "u1")
    assert (action.verb, action.event) == (Verb.APPLY, "HandEditReverted")
    assert action.reason == (
        "Service main-gateway was changed by kubectl-edit (spec.ports.0.targetPort), and is set back: change the "
        "Platform's document instead."
    )


def test_what_a_person_added_is_taken_over_so_that_the_apply_removes_it() -> None:
    live = stored(service(), externalIPs=["192.0.2.1"])
    added = {"f:spec": {"f:externalIPs": {}}, "f:metadata": {"f:labels": {"f:team": {}}}}
    live["metadata"]["managedFields"].append(entry("kubectl-edit", "Update", added))
    assert planned(service(), live) == [(Verb.PATCH, ""), (Verb.APPLY, "HandEditReverted")]
    found = without_additions(with_hash(service()), live)
    assert found is not None
    own, other = found[0]["metadata"]["managedFields"]
    assert own["fieldsV1"]["f:spec"].keys() == {"f:externalIPs", "f:ports"}
    assert other["fieldsV1"] == {"f:metadata": {"f:labels": {"f:team": {}}}}
    assert found[0]["metadata"]["resourceVersion"] == "7"
    live["metadata"]["managedFields"] = found[0]["metadata"]["managedFields"]
    assert planned(service(), live) == [(Verb.APPLY, "HandEditReverted")]


@pytest.mark.parametrize(
    "row",
    [
        entry("kuberay-operator", "Update", {"f:status": {"f:url": {}}}, "status"),
        entry("cloud", "Update", {"f:spec": {"f:externalIPs": {}}}, "status"),
        entry("kubectl", "Update", {"f:metadata": {"f:annotations": {"f:note": {}}}}),
        entry(FIELD_MANAGER, "Update", {"f:spec": {"f:loadBalancerClass": {}}}),
        entry("kubectl", "Update", {"f:spec": {"f:ports": {'k:{"port":8000,"protocol":"TCP"}': {"f:name": {}}}}}),
    ],
    ids=["status", "status of spec", "metadata", "admission", "what is wanted anyway"],
)
def test_what_is_no_hand_edit_stays(row: Manifest) -> None:
    live = stored(service())
    live["metadata"]["managedFields"].append(row)
    assert planned(service(), live) == []


def test_what_was_added_to_a_field_that_is_one_value_is_found_by_its_owner() -> None:
    wanted = service(selector={"app": "main"})
    live = stored(wanted)
    own = live["metadata"]["managedFields"][0]["fieldsV1"]
    live["metadata"]["managedFields"][0]["fieldsV1"] = {"f:spec": {**own["f:spec"], "f:selector": {}}}
    assert planned(wanted, live) == []
    live["spec"]["selector"] = {"app": "main", "tier": "another"}
    live["metadata"]["managedFields"] = [
        entry(FIELD_MANAGER, "Apply", own),
        entry("kubectl-edit", "Update", {"f:spec": {"f:selector": {}}}),
    ]
    [action] = apply_actions([wanted], {ObjectKey.of(live): live}, "u1")
    assert (action.verb, action.event) == (Verb.APPLY, "HandEditReverted")
    assert "by kubectl-edit (spec.selector)" in action.reason


def test_a_change_of_the_document_is_no_hand_edit() -> None:
    [action] = apply_actions([service(type="NodePort")], {ObjectKey.of(service()): stored(service())}, "u1")
    assert (action.verb, action.event) == (Verb.APPLY, "")
    assert action.reason == "Service main-gateway follows the documents: spec.type."


def test_an_object_that_is_missing_is_made_and_one_that_ends_is_left_alone() -> None:
    ending = stored(service(type="NodePort"))
    ending["metadata"]["deletionTimestamp"] = "2026-11-23T08:00:00Z"
    assert planned(service(), None) == [(Verb.APPLY, "Created")]
    assert planned(service(), ending) == []
    assert delete_actions([], {ObjectKey.of(ending): ending}, "u1") == []


@pytest.mark.parametrize(
    ("references", "is_deleted"),
    [([OWNER], True), ([], False), ([OWNER | {"uid": "u2"}], False), ([OWNER | {"controller": False}], False)],
    ids=["ours", "nobody's", "another Platform's", "not its controller"],
)
def test_only_what_this_platform_owns_is_deleted(references: list[Manifest], is_deleted: bool) -> None:
    live = stored(service())
    live["metadata"]["ownerReferences"] = references
    actions = delete_actions([], {ObjectKey.of(live): live}, "u1")
    assert [(action.verb, action.uid) for action in actions] == [(Verb.DELETE, "child")] * is_deleted


def test_the_ray_service_is_not_deleted_while_its_platform_is_there() -> None:
    live = stored(service()) | {"kind": "RayService", "apiVersion": "ray.io/v1"}
    assert delete_actions([], {ObjectKey.of(live): live}, "u1") == []


def test_a_name_that_another_has_is_told_and_not_taken() -> None:
    live = stored(service(type="NodePort"))
    live["metadata"]["ownerReferences"] = [OWNER | {"kind": "Deployment", "uid": "u9"}]
    assert planned(service(), live) == []
    [event] = taken_names([service()], {ObjectKey.of(live): live}, "u1", ABOUT)
    assert (event.key, event.reason, event.is_warning) == (ABOUT, "NameTaken", True)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), _json, max_size=4))
def test_an_object_never_differs_from_itself_and_its_hash_holds(spec: Manifest) -> None:
    manifest = {"metadata": {"name": "x"}, "spec": spec}
    hashed = with_hash(manifest)
    assert differs(hashed, hashed) == []
    assert with_hash(hashed) == hashed
    assert manifest["metadata"] == {"name": "x"}
    reordered = {"spec": dict(reversed(list(spec.items()))), "metadata": {"name": "x"}}
    assert with_hash(reordered)["metadata"]["annotations"] == {
        ANNOTATION_HASH: hashed["metadata"]["annotations"][ANNOTATION_HASH]
    }
