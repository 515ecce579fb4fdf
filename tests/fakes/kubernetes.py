"""An API server in this process, on KMock: what it is asked over HTTP is real, and it keeps the real one's rules.

KMock's own emulator merges JSON and knows no versions. This adds what the operator must cope with: resource versions
and generations, field owners of server-side apply with their conflicts, status subresources, preconditions, paging,
watches that begin at a version and may find it gone, owners whose end is their dependents', RBAC, and faults.
"""

import asyncio
import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp.web
import kmock
import yaml

from operators.permissions import PERMISSIONS, Permission

Manifest = dict[str, Any]
Key = tuple[str, str]
"""(kind, name)."""
WITH_STATUS = frozenset({"Platform", "Model", "Adapter", "Workflow", "RayService", "RayCluster", "Pod"})
SEEN_BY_ALL = frozenset({"", "/api", "/apis", "/version"})


@dataclass(slots=True)
class Fault:
    """What befalls requests that it matches, `times` times over, after letting `after` of them pass."""

    matches: Callable[[kmock.Request], bool]
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    after: int = 0
    is_done_all_the_same: bool = False
    """Whether the request takes effect, and its answer alone is lost."""


@dataclass(slots=True)
class Server:
    """The state of an API server with one namespace, `slipway`, and how tests act upon it from outside."""

    namespace: str = "slipway"
    objects: dict[Key, Manifest] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[kmock.Request] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Requests that RBAC forbids."""
    missing: set[str] = field(default_factory=set)
    """Kinds that are not installed."""
    annotations: dict[str, str] = field(default_factory=dict)
    """Of the namespace."""
    is_terminating: bool = False
    is_down: bool = False
    version: int = 100
    compacted: int = 0
    """Versions up to this one are gone (410)."""
    log: list[tuple[int, str, Manifest]] = field(default_factory=list)
    owners: dict[Key, dict[tuple[str, str], dict[str, str]]] = field(default_factory=dict)
    """By object, manager and subresource: the paths that it owns, and the values it gave them (JSON)."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    streams: set[asyncio.Event] = field(default_factory=set)
    page_size: int = 500
    url: str = ""
    num_made: dict[Key, int] = field(default_factory=dict)
    num_moments: int = 0
    stops: dict[int, asyncio.Event] = field(default_factory=dict)
    resumed: asyncio.Event = field(default_factory=asyncio.Event)

    async def met(self) -> None:
        """The moment before a write. Where a stop is set, time ends for whoever asked."""
        self.num_moments += 1
        if (stop := self.stops.get(self.num_moments)) is not None:
            stop.set()
            await self.resumed.wait()
            raise Refused(503, "ServiceUnavailable", "the one who asked is gone")

    def stop_at(self, number: int) -> asyncio.Event:
        """Stop the `number`th moment from now; the event says that it was reached."""
        return self.stops.setdefault(self.num_moments + number, asyncio.Event())

    def go_on(self) -> None:
        """Stop no more, and let go of whoever was stopped."""
        self.stops.clear()
        self.resumed.set()
        self.resumed = asyncio.Event()

    def writes(self) -> list[str]:
        """`METHOD /path` of every request that would change something, events left out."""
        return [
            f"{request.method.value} {request.url.path}"
            for request in self.requests
            if request.method.value not in ("GET", "HEAD") and "/events" not in request.url.path
        ]

    def get(self, kind: str, name: str) -> Manifest:
        """A copy of an object."""
        return copy.deepcopy(self.objects[kind, name])

    def of(self, kind: str) -> list[Manifest]:
        """Copies of the objects of a kind, by name."""
        return [copy.deepcopy(one) for key, one in sorted(self.objects.items()) if key[0] == kind]

    def edit(self, manifest: Manifest, manager: str = "kubectl") -> Manifest:
        """Create or change an object as somebody else does: a merge patch, status included."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key not in self.objects:
            return self.create(manifest, manager)
        new = _merged(self.objects[key], manifest)
        return self._take(key, new, manager, "")

    def set_status(self, kind: str, name: str, status: Manifest, manager: str = "kuberay-operator") -> None:
        """Write an object's status, whole, as its controller does."""
        new = self.get(kind, name)
        new["status"] = status
        self._take((kind, name), new, manager, "status")

    def create(self, manifest: Manifest, manager: str = "kubectl") -> Manifest:
        """Create an object."""
        if self.is_terminating:
            raise Refused(403, "Forbidden", "the namespace is being terminated")
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f"{key} already exists")
        new = copy.deepcopy(manifest)
        new["metadata"] |= {
            "namespace": self.namespace,
            "uid": self._uid(key),
            "creationTimestamp": f"2026-01-01T00:{self.version // 60 % 60:02}:{self.version % 60:02}Z",
            "generation": 1,
        }
        self.owners[key] = {}
        self._own(key, manager, "", {}, new)
        return self._keep(key, new, "ADDED")

    def _uid(self, key: Key) -> str:
        """Another one each time that a name is taken, and the same in every run."""
        self.num_made[key] = self.num_made.get(key, 0) + 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key} {self.num_made[key]}"))

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and what it owns, as the garbage collector does in the background."""
        old = self.objects.pop((kind, name), None)
        if old is None:
            raise Refused(404, "NotFound", f"{kind} {name} not found")
        if old["metadata"].get("finalizers"):
            self.objects[kind, name] = old
            old = copy.deepcopy(old)
            old["metadata"].setdefault("deletionTimestamp", "2026-01-01T01:00:00Z")
            self._keep((kind, name), old, "MODIFIED")
            return
        self.owners.pop((kind, name), None)
        self.version += 1
        old = _merged(old, {"metadata": {"resourceVersion": str(self.version)}})
        self._tell("DELETED", old)
        for key, other in list(self.objects.items()):
            owners = other["metadata"].get("ownerReferences", [])
            if key in self.objects and any(owner["uid"] == old["metadata"]["uid"] for owner in owners):
                self.delete(*key)

    def delete_namespace(self) -> None:
        """Everything goes, and nothing new comes."""
        self.is_terminating = True
        for key in list(self.objects):
            if key in self.objects:
                self.delete(*key)

    def compact(self) -> None:
        """Forget what was: watches that begin before this moment get a 410."""
        self.compacted = self.version
        self.log.clear()

    def drop_watches(self) -> None:
        """Close every open watch."""
        for stream in self.streams:
            stream.set()

    def apply(self, key: Key, body: Manifest, manager: str, part: str, is_forced: bool) -> Manifest:
        """Server-side apply."""
        old = self.objects.get(key)
        if old is None:
            if part:
                raise Refused(404, "NotFound", f"{key} not found")
            body = copy.deepcopy(body)
            body.pop("status", None)
            made = self.create(body, manager)
            self.owners[key] = {(manager, ""): _paths(_content(body, ""))}
            return made
        uid = body["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise Refused(409, "Conflict", "uid mismatch: another object has this name")
        wanted = _paths(_content(body, part))
        self._conflicts(key, wanted, manager, part, is_forced)
        new = copy.deepcopy(old)
        for path in self.owners[key].get((manager, part), {}).keys() - wanted.keys():
            others = (held for holder, held in self.owners[key].items() if holder != (manager, part))
            if not any(path in held or _is_within(path, held) for held in others):
                _cut(new, path)
        new = _merged(new, _content(body, part), is_patch=False)
        self.owners[key][manager, part] = wanted
        return self._store(key, new)

    def _conflicts(self, key: Key, wanted: Mapping[str, str], manager: str, part: str, is_forced: bool) -> None:
        for holder, held in self.owners[key].items():
            if holder == (manager, part):
                continue
            contested = {path for path in wanted.keys() & held.keys() if wanted[path] != held[path]}
            if contested and not is_forced:
                raise Refused(409, "Conflict", f"fields are owned by {holder[0]}: {sorted(contested)}")
            for path in contested:
                del held[path]

    def patch(self, key: Key, body: Manifest, manager: str, part: str) -> Manifest:
        """A JSON merge patch."""
        old = self.objects.get(key)
        if old is None:
            raise Refused(404, "NotFound", f"{key} not found")
        asked = body.get("metadata", {}).get("resourceVersion")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified")
        content = {k: v for k, v in body.items() if (k == "status") == (part == "status")}
        if key[0] not in WITH_STATUS:
            content = body
        return self._take(key, _merged(old, content), manager, part)

    def _take(self, key: Key, new: Manifest, manager: str, part: str) -> Manifest:
        self._own(key, manager, part, self.objects[key], new)
        return self._store(key, new)

    def _own(self, key: Key, manager: str, part: str, old: Manifest, new: Manifest) -> None:
        """What a write that is no apply changes, its manager owns, and nobody else."""
        before, after = _paths(_content(old, "")), _paths(_content(new, ""))
        before |= _paths(_content(old, "status"))
        after |= _paths(_content(new, "status"))
        changed = {path: value for path, value in after.items() if before.get(path) != value}
        for holder, held in self.owners[key].items():
            if holder != (manager, part):
                for path in changed.keys() & held.keys():
                    del held[path]
        self.owners[key].setdefault((manager, part), {}).update(changed)

    def _store(self, key: Key, new: Manifest) -> Manifest:
        old = self.objects[key]
        new["metadata"]["managedFields"] = _managed(self.owners[key])
        bare = ("resourceVersion", "generation", "managedFields")
        if _without(old, bare) == _without(new, bare):
            old["metadata"]["managedFields"] = new["metadata"]["managedFields"]
            return copy.deepcopy(old)
        if {k: v for k, v in old.items() if k not in ("metadata", "status")} != {
            k: v for k, v in new.items() if k not in ("metadata", "status")
        }:
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.objects[key] = new
            self.delete(*key)
            return copy.deepcopy(new)
        return self._keep(key, new, "MODIFIED")

    def _keep(self, key: Key, new: Manifest, what: str) -> Manifest:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        new["metadata"]["managedFields"] = _managed(self.owners[key])
        self.objects[key] = new
        self._tell(what, new)
        return copy.deepcopy(new)

    def _tell(self, what: str, manifest: Manifest) -> None:
        self.log.append((self.version, what, copy.deepcopy(manifest)))
        self.changed.set()
        self.changed = asyncio.Event()


class Refused(Exception):
    """An error of the API server's."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(status, reason, message)
        self.status, self.reason, self.message = status, reason, message


class ApiServer(kmock.KubernetesScaffold):
    """The HTTP side: discovery is KMock's, what changes or shows objects is ours."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        for row in PERMISSIONS:
            # kopf waits until it has seen `namespaces`, though it asks for none.
            if "/" not in row.resource:
                subresources = {"status"} if row.kind in WITH_STATUS else set()
                self.resources[f"{row.resource}.{row.api_version.rpartition('/')[2]}.{row.group}"] = {
                    "kind": row.kind,
                    "singular": row.kind.lower(),
                    "namespaced": row.kind != "Namespace",
                    "subresources": subresources,
                    "verbs": {"get", "list", "watch", "create", "patch", "delete"},
                }

    def _get_resources(self) -> list[kmock.resource]:
        gone = {row.resource for row in PERMISSIONS if row.kind in self.server.missing}
        return [resource for resource in super()._get_resources() if resource.plural not in gone]

    async def _handle(self, request: kmock.Request) -> aiohttp.web.StreamResponse:
        self.server.requests.append(request)
        try:
            if self.server.is_down:
                raise Refused(503, "ServiceUnavailable", "not ready")
            row, part = _row_of(request)
            if row is not None:
                self._authorize(request, row, part)
            if request.method.value not in ("GET", "HEAD") and row is not None and row.kind != "Event":
                await self.server.met()
            fault = self._fault(request)
            if fault is not None and not fault.is_done_all_the_same:
                raise Refused(fault.status, "Injected", "injected")
            answer = await self._answer(request, row, part)
            if fault is not None:
                raise Refused(fault.status, "Injected", "the answer was lost")
            return answer
        except Refused as refused:
            headers = fault.headers if (fault := self._told(request)) is not None else {}
            return _status(refused, headers)

    def _told(self, request: kmock.Request) -> Fault | None:
        return next((fault for fault in self.server.faults if fault.matches(request)), None)

    def _fault(self, request: kmock.Request) -> Fault | None:
        for fault in self.server.faults:
            if not fault.matches(request) or fault.times == 0:
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            return fault
        return None

    def _authorize(self, request: kmock.Request, row: Permission, part: str) -> None:
        verb = _verb(request)
        resource = f"{row.resource}/{part}" if part else row.resource
        allowed = {verb for one in PERMISSIONS if one.resource == resource for verb in one.verbs}
        creates = request.headers.get("Content-Type", "").startswith("application/apply-patch") and not part
        needed = {verb} | ({"create"} if creates and (row.kind, request.name) not in self.server.objects else set())
        if not needed <= allowed:
            self.server.refused.append(f"{verb} {resource}")
            raise Refused(403, "Forbidden", f"cannot {verb} {resource}")

    async def _answer(self, request: kmock.Request, row: Permission | None, part: str) -> aiohttp.web.StreamResponse:
        server, method = self.server, request.method.value
        if row is None:
            return await super()._handle(request)
        if row.kind == "Namespace":
            return _json({"apiVersion": "v1", "kind": "Namespace", "metadata": {"annotations": server.annotations}})
        if row.kind in server.missing:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if request.namespace != server.namespace:
            raise Refused(403, "Forbidden", "outside of the namespace")
        if method == "GET" and request.params.get("watch") == "true":
            return await self._watch(request, row)
        if method == "GET" and request.name is None:
            return self._list(request, row)
        return _json(self._act(request, row, part))

    def _act(self, request: kmock.Request, row: Permission, part: str) -> Manifest:
        server, method, body = self.server, request.method.value, json.loads(request.body or b"{}")
        manager = request.params.get("fieldManager", "unknown")
        if method == "POST":
            return server.create(body, manager)
        key = (row.kind, str(request.name))
        if method == "PATCH" and request.headers["Content-Type"].startswith("application/apply-patch"):
            return server.apply(key, body, manager, part, request.params.get("force") == "true")
        if method == "PATCH":
            return server.patch(key, body, manager, part)
        if key not in server.objects:
            raise Refused(404, "NotFound", f"{key} not found")
        if method == "DELETE":
            asked = body.get("preconditions", {}).get("uid")
            if asked and asked != server.objects[key]["metadata"]["uid"]:
                raise Refused(409, "Conflict", "the UID in the precondition does not match")
            server.delete(*key)
            return server.get(*key) if key in server.objects else {"kind": "Status", "status": "Success"}
        return server.get(*key)

    def _list(self, request: kmock.Request, row: Permission) -> aiohttp.web.Response:
        server = self.server
        selector = request.params.get("labelSelector", "")
        items = [one for one in server.of(row.kind) if _selected(one, selector)]
        start, read_at = 0, str(server.version)
        if token := request.params.get("continue"):
            start, read_at = int(token.split("@")[0]), token.split("@")[1]
            if int(read_at) < server.compacted:
                raise Refused(410, "Expired", "the continue parameter is too old")
        end = start + min(int(request.params.get("limit", 10**6)), server.page_size)
        metadata = {"resourceVersion": read_at}
        if end < len(items):
            metadata["continue"] = f"{end}@{read_at}"
        body = {"apiVersion": row.api_version, "kind": f"{row.kind}List", "metadata": metadata}
        return _json(body | {"items": items[start:end]})

    async def _watch(self, request: kmock.Request, row: Permission) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request._raw_request)
        async for event in self._events(int(request.params.get("resourceVersion") or 0), row, request):
            await response.write(json.dumps(event).encode() + b"\n")
        await response.write_eof()
        return response

    async def _events(self, since: int, row: Permission, request: kmock.Request) -> AsyncIterator[Manifest]:
        server, closed = self.server, asyncio.Event()
        server.streams.add(closed)
        selector = request.params.get("labelSelector", "")
        try:
            while not closed.is_set():
                if since < server.compacted:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    yield {"type": "ERROR", "object": gone}
                    return
                changed = server.changed
                for version, what, manifest in list(server.log):
                    if version > since and manifest["kind"] == row.kind and _selected(manifest, selector):
                        yield {"type": what, "object": manifest}
                since = server.version
                waits = {asyncio.create_task(changed.wait()), asyncio.create_task(closed.wait())}
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
        finally:
            server.streams.discard(closed)


@asynccontextmanager
async def api_server(missing: set[str] | None = None) -> AsyncIterator[Server]:
    """A running API server, without the kinds `missing`."""
    server = Server(missing=missing or set())
    async with ApiServer(server) as handler, kmock.Server(handler) as http:
        server.url = str(http.url).rstrip("/")
        yield server
        server.drop_watches()


def kubeconfig(server: Server, folder: Path) -> Path:
    """A file for KUBECONFIG that leads to `server`."""
    file = folder / "kubeconfig"
    named = {"cluster": "c", "user": "u", "namespace": server.namespace}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": named}],
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_text(yaml.safe_dump(body))
    return file


def _row_of(request: kmock.Request) -> tuple[Permission | None, str]:
    """The row of the resource that a request is about, and the subresource."""
    parts = request.url.path.strip("/").split("/")
    if parts[:3] == ["api", "v1", "namespaces"] and len(parts) == 4:
        return next(row for row in PERMISSIONS if row.kind == "Namespace"), ""
    resource = request.resource
    if resource is None or resource.plural is None:
        return None, ""
    rows = (row for row in PERMISSIONS if row.resource == resource.plural and row.group == (resource.group or ""))
    row = next(rows, None)
    if row is None:
        raise Refused(403, "Forbidden", f"nothing allows {request.url.path}")
    return row, request.subresource or ""


def _verb(request: kmock.Request) -> str:
    method = request.method.value
    if method == "GET":
        is_one = request.name is not None or request.url.path.count("/") == 4
        return "watch" if request.params.get("watch") == "true" else "get" if is_one else "list"
    return {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[method]


def _selected(manifest: Manifest, selector: str) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, _, value = term.partition("=")
        if key not in labels or (value and labels[key] != value):
            return False
    return True


def _json(body: Manifest, status: int = 200) -> aiohttp.web.Response:
    return aiohttp.web.json_response(body, status=status)


def _status(refused: Refused, headers: Mapping[str, str]) -> aiohttp.web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": refused.status}
    body |= {"reason": refused.reason, "message": refused.message}
    return aiohttp.web.json_response(body, status=refused.status, headers=dict(headers))


def _content(manifest: Manifest, part: str) -> Manifest:
    """What fields can be owned in: all but who an object is, and the status or nothing else."""
    if part == "status":
        return {"status": manifest.get("status", {})}
    metadata = manifest.get("metadata", {})
    kept = {k: metadata[k] for k in ("labels", "annotations", "finalizers", "ownerReferences") if k in metadata}
    rest = {k: v for k, v in manifest.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return ({"metadata": kept} if kept else {}) | rest


def _paths(content: Any, prefix: str = "") -> dict[str, str]:
    """Leaf paths and their values as JSON; lists are leaves."""
    if not isinstance(content, dict) or not content:
        return {prefix: json.dumps(content, sort_keys=True)} if prefix else {}
    found: dict[str, str] = {}
    for key, value in content.items():
        found |= _paths(value, f"{prefix}\0{key}" if prefix else key)
    return found


def _is_within(path: str, held: Mapping[str, str]) -> bool:
    return any(other.startswith(path + "\0") for other in held)


def _cut(manifest: Manifest, path: str) -> None:
    *parents, last = path.split("\0")
    place: Any = manifest
    for parent in parents:
        place = place.get(parent)
        if not isinstance(place, dict):
            return
    place.pop(last, None)


def _merged(old: Any, patch: Any, is_patch: bool = True) -> Any:
    """JSON merge patch (RFC 7396); without `is_patch`, nulls are values."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    new = copy.deepcopy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None and is_patch:
            new.pop(key, None)
        else:
            new[key] = _merged(new.get(key), value, is_patch)
    return new


def _without(manifest: Manifest, fields: tuple[str, ...]) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in fields}
    return manifest | {"metadata": metadata}


def _managed(owners: Mapping[tuple[str, str], Mapping[str, str]]) -> list[Manifest]:
    """managedFields, as the server writes them; lists are owned whole."""
    entries = list[Manifest]()
    for (manager, part), held in sorted(owners.items()):
        fields: Manifest = {}
        for path in sorted(held):
            place = fields
            for step in path.split("\0"):
                place = place.setdefault(f"f:{step}", {})
        operation = "Apply" if manager == "slipway-operator" else "Update"
        entry = {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1"}
        entries.append(entry | {"fieldsV1": fields} | ({"subresource": part} if part else {}))
    return entries


def names(objects: Iterator[Manifest] | list[Manifest]) -> list[str]:
    """The names of objects."""
    return [one["metadata"]["name"] for one in objects]
