"""A Kubernetes API server in memory that keeps the real one's rules, over HTTP.

It has server-side apply with field owners by the kinds' own schemas, custom resources by their definitions (schema,
pruning, defaults, CEL, status and scale), strict validation of built-in kinds, RBAC of service accounts, versions with
watches and continuations that expire, finalizers, and the controllers that collect garbage and end namespaces. It has
no nodes, no scheduler and no webhooks.

Whoever shows no token is the administrator: kubectl sends none over plain HTTP.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from fakes.strict import controllers, patches
from fakes.strict.access import ADMINISTRATOR, Ask, is_allowed, service_account
from fakes.strict.kinds import Kind
from fakes.strict.protobuf import MAGIC, decoded
from fakes.strict.refusal import Refused
from fakes.strict.selecting import selected
from fakes.strict.shapes import Manifest
from fakes.strict.showing import at, group_list, openapi, openapi_index, resource_list, table
from fakes.strict.store import Change, Store, Write

_OPEN = ("/api", "/apis", "/version", "/openapi", "/healthz", "/readyz", "/livez")
_BOOKMARK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was answered."""

    user: str
    method: str
    path: str
    code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    part: str = ""


@dataclass(slots=True)
class StrictServer:
    """A running server, and how tests look into it."""

    store: Store = field(default_factory=Store)
    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def token_of(self, namespace: str, account: str) -> str:
        """A bearer token of a service account."""
        token = f"token-of-{namespace}-{account}"
        self.tokens[token] = service_account(namespace, account)
        return token

    def kubeconfig(self, file: Path, token: str = "", namespace: str = "default") -> Path:
        """Write a file for KUBECONFIG that leads here; without a token, as the administrator."""
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": token} if token else {}}],
        }
        file.write_text(yaml.safe_dump(body))
        return file

    def refused(self, code: int = 403) -> list[Asked]:
        """Requests that were answered so."""
        return [one for one in self.asked if one.code == code]

    def writes(self, user: str = "") -> list[str]:
        """`METHOD /path` of the requests that would change something, events left out."""
        return [
            f"{one.method} {one.path}"
            for one in self.asked
            if one.method != "GET" and "/events" not in one.path and user in ("", one.user)
        ]

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> Manifest:
        """A copy of an object."""
        return self.store.get(self.store.kind(api_version, kind), namespace, name)

    def all(self, api_version: str, kind: str, namespace: str = "") -> list[Manifest]:
        """The objects of a kind."""
        return self.store.of(self.store.kind(api_version, kind), namespace)

    def put(self, manifest: Manifest, manager: str = "helm") -> Manifest:
        """Apply an object as the administrator, strictly."""
        kind = self.store.kind(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        how = Write(manager, is_strict=True)
        return self.store.apply(kind, metadata.get("namespace", ""), metadata["name"], manifest, how)

    def set_status(self, manifest: Manifest, status: Manifest, manager: str) -> Manifest:
        """Write an object's status, as its controller does."""
        kind = self.store.kind(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        body = self.store.get(kind, metadata["namespace"], metadata["name"]) | {"status": status}
        return self.store.update(kind, metadata["namespace"], metadata["name"], body, Write(manager, "status"))


@asynccontextmanager
async def strict_server() -> AsyncIterator[StrictServer]:
    """A running server without objects, but for the namespace `default`."""
    server = StrictServer()
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}, "kube-apiserver")
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", _Handler(server).handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    control = asyncio.create_task(_control(server.store))
    try:
        yield server
    finally:
        control.cancel()
        await asyncio.gather(control, return_exceptions=True)
        await runner.cleanup()


async def _control(store: Store) -> None:
    changed = asyncio.Event()
    store.changed.append(changed.set)
    while True:
        while controllers.step(store):
            await asyncio.sleep(0)
        store.is_settled = True
        await changed.wait()
        changed.clear()
        await asyncio.sleep(0.01)


class _Handler:
    def __init__(self, server: StrictServer) -> None:
        self._server = server
        self._store = server.store

    async def handle(self, request: web.Request) -> web.StreamResponse:
        user, code, message = "", 200, ""
        try:
            user = self._user(request)
            answer = await self._answer(request, user)
            code = answer.status
            return answer
        except Refused as refused:
            code, message = refused.code or 500, refused.message
            return web.json_response(refused.as_status(), status=code)
        finally:
            self._server.asked.append(Asked(user, request.method, request.path, code, message))

    def _user(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            return ADMINISTRATOR
        if scheme != "Bearer" or token not in self._server.tokens:
            raise Refused(401, "Unauthorized", "Unauthorized")
        return self._server.tokens[token]

    async def _answer(self, request: web.Request, user: str) -> web.StreamResponse:
        steps = request.path.strip("/").split("/")
        if (shown := self._shown(steps)) is not None:
            return web.json_response(shown)
        target = self._target(steps)
        body = await self._body(request)
        self._authorize(request, target, user, body)
        if request.method == "GET" and request.query.get("watch") in ("true", "1"):
            return await self._watch(request, target)
        if request.method == "GET" and not target.name:
            return self._list(request, target)
        return self._act(request, target, body)

    def _shown(self, steps: list[str]) -> Manifest | None:
        kinds = list(self._store.kinds())
        match steps:
            case ["version"]:
                return {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}
            case ["healthz" | "readyz" | "livez"]:
                return {"status": "ok"}
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                return group_list(kinds)
            case ["api", version]:
                return self._resources(version)
            case ["apis", group, version]:
                return self._resources(f"{group}/{version}")
            case ["openapi", "v3"]:
                return openapi_index(kinds)
            case ["openapi", "v3", *root]:
                return openapi(kinds, "/".join(root))
        return None

    def _resources(self, api_version: str) -> Manifest:
        found = resource_list(self._store.kinds(), api_version)
        if found is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return found

    def _target(self, steps: list[str]) -> Target:
        match steps:
            case ["api", "v1", *rest]:
                api_version = "v1"
            case ["apis", group, version, *rest]:
                api_version = f"{group}/{version}"
            case _:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        plural, name, part = (*rest, "", "")[:3]
        for kind in self._store.kinds():
            if kind.api_version == api_version and kind.plural == plural and (not part or part in kind.subresources):
                return Target(kind, name if kind.kind == "Namespace" else namespace, name, part)
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    async def _body(self, request: web.Request) -> Any:
        data = await request.read()
        if data.startswith(MAGIC):
            return decoded(data)
        return yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if data else {}

    def _authorize(self, request: web.Request, target: Target, user: str, body: Any) -> None:
        for verb in self._verbs(request, target):
            self._demand(user, verb, target)
        if user != ADMINISTRATOR and isinstance(body, dict):
            for owner in (body.get("metadata") or {}).get("ownerReferences") or ():
                if owner.get("blockOwnerDeletion"):
                    kind = self._store.kind(owner["apiVersion"], owner["kind"])
                    self._demand(user, "update", Target(kind, target.namespace, owner["name"], "finalizers"))

    def _verbs(self, request: web.Request, target: Target) -> list[str]:
        if request.method == "GET":
            is_watch = request.query.get("watch") in ("true", "1")
            return ["watch" if is_watch else "get" if target.name else "list"]
        if request.method == "PATCH":
            is_there = self._store.key(target.kind, target.namespace, target.name) in self._store.objects
            creates = "apply-patch" in request.content_type and not target.part and not is_there
            return ["patch", "create"] if creates else ["patch"]
        return [{"POST": "create", "PUT": "update"}.get(request.method) or self._deletes(target)]

    def _deletes(self, target: Target) -> str:
        return "delete" if target.name else "deletecollection"

    def _demand(self, user: str, verb: str, target: Target) -> None:
        kind = target.kind
        resource = f"{kind.plural}/{target.part}" if target.part else kind.plural
        ask = Ask(user, verb, kind.group, resource, target.namespace, target.name)
        if not is_allowed(self._store, ask):
            about = f'{kind.qualified} "{target.name}"' if target.name else kind.qualified
            raise Refused(403, "Forbidden", f'{about} is forbidden: User "{user}" {ask}')

    def _list(self, request: web.Request, target: Target) -> web.Response:
        kind, store = target.kind, self._store
        items = [one for one in store.of(kind, target.namespace) if self._is_wanted(request, kind, one)]
        start, version = 0, store.version
        if token := request.query.get("continue"):
            start, version = map(int, token.split("@"))
            if version < store.compacted:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
        end = start + (int(request.query.get("limit", 0)) or len(items))
        metadata: Manifest = {"resourceVersion": str(version)}
        if end < len(items):
            metadata |= {"continue": f"{end}@{version}", "remainingItemCount": len(items) - end}
        page = items[start:end]
        if "as=Table" in request.headers.get("Accept", ""):
            return web.json_response(table(kind, page, metadata))
        body = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
        return web.json_response(body | {"items": page})

    def _is_wanted(self, request: web.Request, kind: Kind, manifest: Manifest) -> bool:
        return selected(kind, manifest, request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seconds = float(request.query.get("timeoutSeconds", 1800))
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(seconds):
                async for event in self._events(request, target):
                    await response.write(json.dumps(event).encode() + b"\n")
        with suppress(ConnectionResetError):
            await response.write_eof()
        return response

    async def _events(self, request: web.Request, target: Target) -> AsyncIterator[Manifest]:
        store, told = self._store, request.query.get("resourceVersion", "")
        since = int(told) if told.isdigit() and int(told) else store.version
        is_initial = request.query.get("sendInitialEvents") == "true" or told in ("", "0")
        if is_initial:
            since = store.version
            for event in self._initial(request, target):
                yield event
        elif since < store.compacted:
            gone = Refused(410, "Expired", f"too old resource version: {since} ({store.compacted})")
            yield {"type": "ERROR", "object": gone.as_status()}
            return
        async for event in self._following(request, target, since):
            yield event

    def _initial(self, request: web.Request, target: Target) -> list[Manifest]:
        found = [
            {"type": "ADDED", "object": self._as_asked(request, target.kind, one)}
            for one in self._store.of(target.kind, target.namespace)
            if self._named(target, one) and self._is_wanted(request, target.kind, one)
        ]
        if request.query.get("sendInitialEvents") != "true":
            return found
        mark = self._bookmark(target.kind)
        mark["object"]["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
        return [*found, mark]

    def _bookmark(self, kind: Kind) -> Manifest:
        metadata = {"resourceVersion": str(self._store.version), "creationTimestamp": None}
        return {
            "type": "BOOKMARK",
            "object": {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata},
        }

    def _named(self, target: Target, manifest: Manifest) -> bool:
        return not target.name or manifest["metadata"]["name"] == target.name

    async def _following(self, request: web.Request, target: Target, since: int) -> AsyncIterator[Manifest]:
        store, changed = self._store, asyncio.Event()
        store.changed.append(changed.set)
        try:
            while True:
                for change in [one for one in store.log if one.version > since]:
                    since = change.version
                    if (event := self._event(request, target, change)) is not None:
                        yield event
                changed.clear()
                try:
                    await asyncio.wait_for(changed.wait(), _BOOKMARK_SECONDS)
                except TimeoutError:
                    if request.query.get("allowWatchBookmarks") in ("true", "1"):
                        yield self._bookmark(target.kind)
        finally:
            store.changed.remove(changed.set)

    def _event(self, request: web.Request, target: Target, change: Change) -> Manifest | None:
        kind, (plural, namespace, _) = target.kind, change.key
        if plural != kind.qualified or (kind.is_namespaced and target.namespace not in ("", namespace)):
            return None
        if not self._named(target, change.manifest):
            return None
        is_now = change.what != "DELETED" and self._is_wanted(request, kind, change.manifest)
        was = change.before is not None and self._is_wanted(request, kind, change.before)
        if not is_now and not was:
            return None
        what = "DELETED" if not is_now else "MODIFIED" if was else "ADDED"
        return {"type": what, "object": self._as_asked(request, kind, change.manifest)}

    def _as_asked(self, request: web.Request, kind: Kind, manifest: Manifest) -> Manifest:
        return table(kind, [manifest], {}) if "as=Table" in request.headers.get("Accept", "") else manifest

    def _act(self, request: web.Request, target: Target, body: Any) -> web.Response:
        kind, store = target.kind, self._store
        how = Write(
            request.query.get("fieldManager") or request.headers.get("User-Agent", "unknown").split("/")[0],
            target.part,
            request.query.get("fieldValidation") == "Strict",
            request.query.get("force") in ("true", "1"),
            "All" in request.query.getall("dryRun", []),
        )
        if target.part == "scale":
            return web.json_response(self._scale(request, target, body, how))
        if request.method == "POST":
            return web.json_response(store.create(kind, target.namespace, body, how), status=201)
        if request.method == "DELETE":
            return self._delete(target, body)
        if request.method == "GET":
            found = store.get(kind, target.namespace, target.name)
            return web.json_response(self._as_asked(request, kind, found))
        if request.method == "PUT":
            return web.json_response(store.update(kind, target.namespace, target.name, body, how))
        return web.json_response(self._patch(request.content_type, target, body, how))

    def _patch(self, content_type: str, target: Target, body: Any, how: Write) -> Manifest:
        kind, place, store = target.kind, (target.namespace, target.name), self._store
        if "apply-patch" in content_type:
            return store.apply(kind, *place, body, how)
        live = store.get(kind, *place)
        return store.update(kind, *place, self._patched(content_type, kind, live, body), how)

    def _patched(self, content_type: str, kind: Kind, live: Manifest, body: Any) -> Manifest:
        ways: dict[str, Callable[[], Manifest]] = {
            "application/merge-patch+json": lambda: patches.merge(live, body),
            "application/json-patch+json": lambda: patches.operations(live, body),
        }
        if kind.admission is None:
            ways["application/strategic-merge-patch+json"] = lambda: patches.strategic(kind.shape, live, body)
        if content_type not in ways:
            raise Refused(
                415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {content_type}"
            )
        new = ways[content_type]()
        if content_type == "application/merge-patch+json" and "resourceVersion" not in (body.get("metadata") or {}):
            new["metadata"].pop("resourceVersion", None)
        return new

    def _delete(self, target: Target, options: Manifest) -> web.Response:
        kind, store = target.kind, self._store
        if not target.name:
            for one in store.of(kind, target.namespace):
                store.delete(kind, target.namespace, one["metadata"]["name"], options)
            return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        last, is_gone = store.delete(kind, target.namespace, target.name, options)
        if not is_gone:
            return web.json_response(last)
        details = {"name": target.name, "group": kind.group, "kind": kind.plural, "uid": last["metadata"]["uid"]}
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return web.json_response(body)

    def _scale(self, request: web.Request, target: Target, body: Any, how: Write) -> Manifest:
        live = self._store.get(target.kind, target.namespace, target.name)
        paths = target.kind.scale
        if request.method == "GET":
            if at(live, paths["specReplicasPath"]) is None:
                path = paths["specReplicasPath"]
                raise Refused(500, "InternalError", f'the spec replicas field "{path}" does not exist')
            return _as_scale(live, paths)
        before = _as_scale(live, paths)
        wanted = body if request.method == "PUT" else patches.merge(before, body)
        *way, last = paths["specReplicasPath"].strip(".").split(".")
        place = live
        for step in way:
            place = place.setdefault(step, {})
        place[last] = wanted["spec"]["replicas"]
        how = replace(how, part="")
        new = self._store.update(target.kind, target.namespace, target.name, live, how)
        return _as_scale(new, paths)


def _as_scale(manifest: Manifest, paths: Any) -> Manifest:
    metadata = {key: manifest["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
    status: Manifest = {"replicas": at(manifest, paths["statusReplicasPath"]) or 0}
    if selector := at(manifest, paths.get("labelSelectorPath", ".none")):
        status["selector"] = selector
    replicas = at(manifest, paths["specReplicasPath"]) or 0
    body = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata}
    return body | {"spec": {"replicas": replicas}, "status": status}
