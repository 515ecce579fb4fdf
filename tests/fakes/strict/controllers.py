"""What the controller manager does in the background: the garbage of owners, and namespaces that end."""

from fakes.strict.kinds import Kind
from fakes.strict.refusal import Refused
from fakes.strict.shapes import Manifest
from fakes.strict.store import Store, Write


def step(store: Store) -> bool:
    """One round; whether anything was done."""
    version = store.version
    for namespace in [manifest for (plural, _, _), manifest in store.objects.items() if plural == "namespaces"]:
        if "deletionTimestamp" in namespace["metadata"]:
            _end_namespace(store, namespace)
    uids = {manifest["metadata"]["uid"] for manifest in store.objects.values()}
    for kind in list(store.kinds()):
        for manifest in store.of(kind):
            _collect(store, kind, manifest, uids)
    for kind in list(store.kinds()):
        for manifest in store.of(kind):
            _finish(store, kind, manifest)
    return store.version != version


def _end_namespace(store: Store, namespace: Manifest) -> None:
    name = namespace["metadata"]["name"]
    for kind in [kind for kind in store.kinds() if kind.is_namespaced]:
        for manifest in store.of(kind, name):
            if "deletionTimestamp" not in manifest["metadata"]:
                store.delete(kind, name, manifest["metadata"]["name"], {"propagationPolicy": "Background"})
    if not any(key[1] == name for key in store.objects):
        kind = store.kind("v1", "Namespace")
        store.objects["namespaces", "", name]["spec"]["finalizers"] = []
        store.delete(kind, "", name, {})


def _collect(store: Store, kind: Kind, manifest: Manifest, uids: set[str]) -> None:
    """An object whose owners are all gone goes, and one that only blocks an ending owner."""
    metadata = manifest["metadata"]
    references = metadata.get("ownerReferences") or []
    if not references or "deletionTimestamp" in metadata:
        return
    if any(_is_there(store, each, metadata.get("namespace", ""), uids) for each in references):
        return
    try:
        store.delete(kind, metadata.get("namespace", ""), metadata["name"], {"preconditions": {"uid": metadata["uid"]}})
    except Refused as refused:
        if refused.code not in (404, 409):
            raise


def _is_there(store: Store, reference: Manifest, namespace: str, uids: set[str]) -> bool:
    """An owner in another namespace, or of another name, is none."""
    if reference["uid"] not in uids:
        return False
    try:
        kind = store.kind(reference["apiVersion"], reference["kind"])
    except Refused:
        return True
    owner = store.objects.get(store.key(kind, namespace, reference["name"]))
    if owner is None or owner["metadata"]["uid"] != reference["uid"]:
        return False
    return "foregroundDeletion" not in (owner["metadata"].get("finalizers") or ()) or (
        "deletionTimestamp" not in owner["metadata"]
    )


def _finish(store: Store, kind: Kind, manifest: Manifest) -> None:
    """Take off the finalizers of the collector, when what they wait for is done."""
    finalizers = manifest["metadata"].get("finalizers") or ()
    if "deletionTimestamp" not in manifest["metadata"] or not {"foregroundDeletion", "orphan"} & set(finalizers):
        return
    dependents = [
        (other, found)
        for other in store.kinds()
        for found in store.of(other)
        if any(each["uid"] == manifest["metadata"]["uid"] for each in found["metadata"].get("ownerReferences") or ())
    ]
    if "orphan" in finalizers:
        for other, found in dependents:
            _let_go(store, other, found, manifest["metadata"]["uid"])
    elif any(_blocks(found, manifest["metadata"]["uid"]) for _, found in dependents):
        return
    kept = [each for each in finalizers if each not in ("foregroundDeletion", "orphan")]
    _write_metadata(store, kind, manifest, {"finalizers": kept})


def _blocks(manifest: Manifest, uid: str) -> bool:
    return any(
        each["uid"] == uid and each.get("blockOwnerDeletion") for each in manifest["metadata"]["ownerReferences"]
    )


def _let_go(store: Store, kind: Kind, manifest: Manifest, uid: str) -> None:
    kept = [each for each in manifest["metadata"]["ownerReferences"] if each["uid"] != uid]
    _write_metadata(store, kind, manifest, {"ownerReferences": kept})


def _write_metadata(store: Store, kind: Kind, manifest: Manifest, fields: Manifest) -> None:
    metadata = manifest["metadata"]
    body = manifest | {"metadata": {**metadata, **fields}}
    store.update(kind, metadata.get("namespace", ""), metadata["name"], body, Write("kube-controller-manager"))
