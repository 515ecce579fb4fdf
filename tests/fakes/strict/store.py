"""The objects, their versions, and what each kind of write does to them."""

import copy
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fakes.strict import ownership
from fakes.strict.admission import accept
from fakes.strict.kinds import Kind, built_in, custom
from fakes.strict.pod_rules import unrestricted
from fakes.strict.refusal import Refused, conflict, invalid, not_found
from fakes.strict.shapes import Manifest, Undeclared

Key = tuple[str, str, str]
"""(qualified plural, namespace, name)."""
_SERVERS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")
_KEPT_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch."""

    version: int
    what: str
    key: Key
    manifest: Manifest
    before: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """How something is written."""

    manager: str = "unknown"
    part: str = ""
    """Subresource."""
    is_strict: bool = False
    is_forced: bool = False
    is_dry: bool = False


@dataclass(slots=True)
class Store:
    """All objects of all namespaces."""

    objects: dict[Key, Manifest] = field(default_factory=dict)
    version: int = 1000
    compacted: int = 0
    log: list[Change] = field(default_factory=list)
    changed: list[Callable[[], None]] = field(default_factory=list)
    """Called after each change."""
    definitions: dict[str, list[Kind]] = field(default_factory=dict)
    is_settled: bool = True
    """Whether the controllers have seen everything."""

    def kinds(self) -> Iterator[Kind]:
        """Every kind that is served."""
        yield from built_in()
        for found in self.definitions.values():
            yield from found

    def kind(self, api_version: str, kind: str) -> Kind:
        """A kind by its names in a manifest."""
        for found in self.kinds():
            if (found.api_version, found.kind) == (api_version, kind):
                return found
        raise Refused(404, "NotFound", f"the server could not find the requested resource ({api_version} {kind})")

    def key(self, kind: Kind, namespace: str, name: str) -> Key:
        """Where an object is."""
        return kind.qualified, namespace if kind.is_namespaced else "", name

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """A copy of an object."""
        found = self.objects.get(self.key(kind, namespace, name))
        if found is None:
            raise not_found(kind, name)
        return copy.deepcopy(found)

    def of(self, kind: Kind, namespace: str = "") -> list[Manifest]:
        """The objects of a kind, in the order of their keys."""
        return [
            self.objects[key]
            for key in sorted(self.objects)
            if key[0] == kind.qualified and (not namespace or key[1] == namespace)
        ]

    def create(self, kind: Kind, namespace: str, body: Manifest, how: Write) -> Manifest:
        """A new object."""
        new = self._begun(kind, namespace, body)
        if self.key(kind, namespace, new["metadata"]["name"]) in self.objects:
            name = new["metadata"]["name"]
            raise Refused(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists')
        new = accept(kind, new, None, how.is_strict)
        self._secure(kind, new)
        owners = ownership.update(kind.shape, _blank(new), new, (how.manager, "Update", ""))
        return self._keep(kind, new, None, owners, how)

    def _begun(self, kind: Kind, namespace: str, body: Manifest) -> Manifest:
        new = copy.deepcopy(body)
        metadata = new.setdefault("metadata", {})
        if metadata.get("resourceVersion"):
            raise Refused(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        for server in _SERVERS:
            metadata.pop(server, None)
        if kind.is_namespaced:
            self._place(metadata, namespace)
        metadata["uid"], metadata["generation"], metadata["creationTimestamp"] = str(uuid.uuid4()), 1, _now()
        if kind.has_status and kind.kind not in ("CustomResourceDefinition", "Namespace"):
            new.pop("status", None)
        if kind.kind == "Namespace":
            new.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            new["status"] = {"phase": "Active"}
            metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")
        return new

    def _place(self, metadata: Manifest, namespace: str) -> None:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise Refused(400, "BadRequest", "the namespace of the object does not match the namespace on the request")
        there = self.objects.get(("namespaces", "", namespace))
        if there is None:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        if "deletionTimestamp" in there["metadata"]:
            raise Refused(
                403,
                "Forbidden",
                f'"{metadata.get("name")}" is forbidden: unable to create new content in namespace {namespace} '
                "because it is being terminated",
                [{"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}],
            )

    def _secure(self, kind: Kind, new: Manifest) -> None:
        """Pod Security, where the namespace enforces it."""
        namespace = self.objects.get(("namespaces", "", new["metadata"].get("namespace", ""))) or {"metadata": {}}
        labels = namespace["metadata"].get("labels") or {}
        is_restricted = labels.get("pod-security.kubernetes.io/enforce") == "restricted"
        if kind.kind == "Pod" and is_restricted and (told := list(unrestricted(new["spec"]))):
            said = f'violates PodSecurity "restricted:latest": {", ".join(told)}'
            raise Refused(403, "Forbidden", f'pods "{new["metadata"]["name"]}" is forbidden: {said}')

    def apply(self, kind: Kind, namespace: str, name: str, body: Manifest, how: Write) -> Manifest:
        """Server-side apply: of the main resource or of a part."""
        _same_object(kind, name, body)
        if body["metadata"].get("managedFields"):
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        live = self.objects.get(self.key(kind, namespace, name))
        if live is None:
            return self._applied_new(kind, namespace, name, body, how)
        self._preconditions(kind, live, body)
        holder = (how.manager, "Apply", how.part)
        try:
            new, owners = ownership.apply(kind.shape, live, _written(kind, body, how.part), holder, how.is_forced)
        except Undeclared as error:
            raise _untyped(kind, namespace, name, error) from error
        except ownership.Conflicting as error:
            raise _contested(error) from error
        return self._replace(kind, live, new, owners, how)

    def _applied_new(self, kind: Kind, namespace: str, name: str, body: Manifest, how: Write) -> Manifest:
        if how.part or body["metadata"].get("uid"):
            raise not_found(kind, name)
        new = self._begun(kind, namespace, _written(kind, body, ""))
        try:
            wanted = set(ownership.owned(kind.shape, _written(kind, body, "")))
        except Undeclared as error:
            raise _untyped(kind, namespace, name, error) from error
        new = accept(kind, new, None, how.is_strict)
        self._secure(kind, new)
        owners = ownership.Owners(kind.api_version, {(how.manager, "Apply", ""): wanted})
        return self._keep(kind, new, None, owners, how)

    def update(self, kind: Kind, namespace: str, name: str, body: Manifest, how: Write) -> Manifest:
        """A new state, whole: PUT, and what a patch comes to."""
        live = self.objects.get(self.key(kind, namespace, name))
        if live is None:
            raise not_found(kind, name)
        _same_object(kind, name, body)
        self._preconditions(kind, live, body)
        new = copy.deepcopy(live)
        if how.part == "status":
            new.pop("status", None)
            new |= {"status": body["status"]} if "status" in body else {}
            new["metadata"]["managedFields"] = body["metadata"].get("managedFields")
        else:
            status = {"status": live["status"]} if "status" in live and kind.has_status else {}
            new = copy.deepcopy({key: v for key, v in body.items() if key != "status" or not kind.has_status} | status)
        _keep_system(new, live)
        try:
            owners = ownership.update(kind.shape, live, new, (how.manager, "Update", how.part))
        except Undeclared as error:
            if how.is_strict:
                raise Refused(400, "BadRequest", f"strict decoding error: unknown field {error}") from error
            raise
        return self._replace(kind, live, new, owners, how)

    def _preconditions(self, kind: Kind, live: Manifest, body: Manifest) -> None:
        metadata, name = body.get("metadata", {}), live["metadata"]["name"]
        asked, uid = metadata.get("resourceVersion"), metadata.get("uid")
        if asked and asked != live["metadata"]["resourceVersion"]:
            raise conflict(
                kind,
                name,
                "the object has been modified; please apply your changes to the latest version and try again",
            )
        if uid and uid != live["metadata"]["uid"]:
            raise conflict(
                kind,
                name,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live['metadata']['uid']}",
            )

    def _replace(self, kind: Kind, live: Manifest, new: Manifest, owners: ownership.Owners, how: Write) -> Manifest:
        _keep_system(new, live)
        added = set(new["metadata"].get("finalizers") or ()) - set(live["metadata"].get("finalizers") or ())
        if "deletionTimestamp" in live["metadata"] and added - {"foregroundDeletion"}:
            raise invalid(
                kind,
                live["metadata"]["name"],
                ["metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"],
            )
        new = accept(kind, new, live, how.is_strict)
        if how.part != "status" and _content(kind, new) != _content(kind, live):
            new["metadata"]["generation"] = live["metadata"].get("generation", 1) + 1
        return self._keep(kind, new, live, owners, how)

    def _keep(self, kind: Kind, new: Manifest, live: Manifest | None, owners: ownership.Owners, how: Write) -> Manifest:
        new["metadata"]["managedFields"] = owners.entries(_now())
        if live is not None and _bare(new) == _bare(live):
            return copy.deepcopy(live)
        if how.is_dry:
            return new
        key = self.key(kind, new["metadata"].get("namespace", ""), new["metadata"]["name"])
        if "deletionTimestamp" in new["metadata"] and not _holds_on(new):
            return self._gone(kind, key, new)
        self._stamp(new)
        self.objects[key] = new
        self._define(kind, new)
        self._tell("ADDED" if live is None else "MODIFIED", key, new, live)
        return copy.deepcopy(new)

    def _stamp(self, manifest: Manifest) -> None:
        self.version += 1
        manifest["metadata"]["resourceVersion"] = str(self.version)

    def delete(self, kind: Kind, namespace: str, name: str, options: Manifest) -> tuple[Manifest, bool]:
        """The object, and whether it is gone already."""
        key = self.key(kind, namespace, name)
        live = self.objects.get(key)
        if live is None:
            raise not_found(kind, name)
        self._preconditions(kind, live, {"metadata": options.get("preconditions") or {}})
        new = copy.deepcopy(live)
        policy = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(options.get("propagationPolicy", ""))
        if policy and policy not in (new["metadata"].get("finalizers") or ()):
            new["metadata"]["finalizers"] = [*(new["metadata"].get("finalizers") or ()), policy]
        if not _holds_on(new):
            return self._gone(kind, key, new), True
        if "deletionTimestamp" not in new["metadata"]:
            new["metadata"] |= {"deletionTimestamp": _now(), "deletionGracePeriodSeconds": 0}
            if kind.kind == "Namespace":
                new["status"] = {"phase": "Terminating"}
            self._stamp(new)
            self.objects[key] = new
            self._tell("MODIFIED", key, new, live)
        return copy.deepcopy(new), False

    def _gone(self, kind: Kind, key: Key, last: Manifest) -> Manifest:
        self.objects.pop(key, None)
        if kind.kind == "CustomResourceDefinition":
            self.definitions.pop(last["metadata"]["name"], None)
        self._stamp(last)
        self._tell("DELETED", key, last, last)
        return copy.deepcopy(last)

    def _define(self, kind: Kind, manifest: Manifest) -> None:
        if kind.kind == "CustomResourceDefinition":
            self.definitions[manifest["metadata"]["name"]] = custom(manifest)
            names = manifest["spec"]["names"]
            conditions = [{"type": each, "status": "True"} for each in ("NamesAccepted", "Established")]
            manifest["status"] = {"acceptedNames": names, "conditions": conditions, "storedVersions": []}

    def _tell(self, what: str, key: Key, manifest: Manifest, before: Manifest | None) -> None:
        self.log.append(Change(self.version, what, key, copy.deepcopy(manifest), before))
        if len(self.log) > _KEPT_EVENTS:
            self.compact(self.log[_KEPT_EVENTS // 2].version)
        self.is_settled = False
        for call in list(self.changed):
            call()

    def compact(self, before: int | None = None) -> None:
        """Forget what was up to a version: watches that begin before it get a 410."""
        self.compacted = self.version if before is None else before
        self.log = [change for change in self.log if change.version > self.compacted]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _blank(manifest: Manifest) -> Manifest:
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {}}


def _written(kind: Kind, body: Manifest, part: str) -> Manifest:
    """What of an applied body may be written: the status, or all but it."""
    body = copy.deepcopy(body)
    if part == "status":
        head = {key: body[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": body["metadata"]["name"]}}
        return head | ({"status": body["status"]} if "status" in body else {})
    return {key: value for key, value in body.items() if key != "status" or not kind.has_status}


def _same_object(kind: Kind, name: str, body: Manifest) -> None:
    told = (body.get("apiVersion"), body.get("kind"))
    if told != (kind.api_version, kind.kind):
        raise Refused(400, "BadRequest", f"the object provided {told} is not {kind.api_version} {kind.kind}")
    if body.get("metadata", {}).get("name", name) != name:
        raise Refused(400, "BadRequest", "the name of the object does not match the name on the URL")


def _keep_system(new: Manifest, live: Manifest) -> None:
    for server in (*_SERVERS, "name", "namespace", "deletionGracePeriodSeconds"):
        if server == "managedFields":
            continue
        new["metadata"].pop(server, None)
        if server in live["metadata"]:
            new["metadata"][server] = copy.deepcopy(live["metadata"][server])
    for emptied in [key for key, value in new["metadata"].items() if value is None]:
        del new["metadata"][emptied]


def _content(kind: Kind, manifest: Manifest) -> Manifest:
    left_out = ("metadata", "status") if kind.has_status else ("metadata",)
    return {key: value for key, value in manifest.items() if key not in left_out}


def _bare(manifest: Manifest) -> Any:
    """What makes a write one: an object but for its version and the times in it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "resourceVersion"}
    entries = [{k: v for k, v in each.items() if k != "time"} for each in metadata.get("managedFields") or ()]
    return manifest | {"metadata": metadata | {"managedFields": sorted(entries, key=str)}}


def _holds_on(manifest: Manifest) -> bool:
    return bool(manifest["metadata"].get("finalizers")) or bool(
        manifest["kind"] == "Namespace" and manifest["spec"].get("finalizers")
    )


def _untyped(kind: Kind, namespace: str, name: str, error: Undeclared) -> Refused:
    about = f"{namespace}/{name}; {kind.api_version}, Kind={kind.kind}"
    return Refused(500, "", f"failed to create typed patch object ({about}): {error}: field not declared in schema")


def _contested(error: ownership.Conflicting) -> Refused:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": path}
        for manager, path in error.fields
    ]
    said = "; ".join(f'conflict with "{manager}": {path}' for manager, path in error.fields)
    return Refused(409, "Conflict", f"Apply failed with {len(causes)} conflict: {said}", causes)
