"""What an operator talks to, for `benchmarks.operator`: an API server and a platform that keep everything in memory.

    python -m benchmarks.operator_servers --port 8001 --models 500 --adapters 5000

They answer as soon as they can, so that what is measured is the operator. Applies are kept as they come: nobody else
writes here, so no fields have other owners. `GET /bench` tells how far the operator is.
"""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from operators.permissions import PERMISSIONS, Permission
from serve.domain.documents import API_VERSION, AdapterDocument, ModelDocument

NAMESPACE = "bench"
_ROWS = {(row.api_version, row.resource): row for row in PERMISSIONS if "/" not in row.resource}
_MODELS_PER_BASE = 10
"""Adapters name every tenth model as their base."""
_CREATED = datetime(2026, 1, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z")
Manifest = dict[str, Any]


@dataclass
class ApiServer:
    """One namespace of a cluster."""

    objects: dict[Permission, dict[str, Manifest]] = field(default_factory=lambda: {row: {} for row in _ROWS.values()})
    log: list[tuple[Permission, str, Manifest]] = field(default_factory=list)
    """Every change: its place, from 1, is the resource version."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    writes: Counter[str] = field(default_factory=Counter)

    def keep(self, row: Permission, manifest: Manifest, is_status: bool = False) -> Manifest:
        """Create an object or replace what an apply says of it."""
        name = manifest["metadata"]["name"]
        old = self.objects[row].get(name)
        kept = {**manifest, "apiVersion": row.api_version, "kind": row.kind}
        if old is None:
            fixed = {"uid": f"{row.resource}-{name}", "creationTimestamp": _CREATED, "namespace": NAMESPACE}
            kept["metadata"] = {**manifest["metadata"], **fixed, "generation": 1}
        elif is_status:
            kept = {**old, "status": manifest.get("status", {}), "metadata": dict(old["metadata"])}
        else:
            generation = old["metadata"]["generation"] + (kept.get("spec") != old.get("spec"))
            kept["metadata"] = {**old["metadata"], **manifest["metadata"], "generation": generation}
            kept["status"] = old.get("status", {})
        kept["metadata"]["resourceVersion"] = str(len(self.log) + 1)
        self.objects[row][name] = kept
        self.log.append((row, "ADDED" if old is None else "MODIFIED", kept))
        self.changed.set()
        self.changed = asyncio.Event()
        return kept

    async def watched(self, row: Permission, since: int) -> AsyncIterator[bytes]:
        """Changes of a kind after a version, as lines, until the client goes."""
        place = since
        while True:
            changed = self.changed
            for kept, kind, manifest in self.log[place:]:
                if kept is row:
                    yield json.dumps({"type": kind, "object": manifest}).encode() + b"\n"
            place = len(self.log)
            await changed.wait()


@dataclass
class Platform:
    """The platform's catalogue: digests, and nothing behind them."""

    documents: dict[str, dict[str, str]] = field(default_factory=lambda: {"Model": {}, "Adapter": {}, "Workflow": {}})
    num_writes: int = 0

    def put(self, kind: str, name: str, body: Manifest) -> None:
        """Take a document."""
        self.num_writes += 1
        document = {"Model": ModelDocument, "Adapter": AdapterDocument}[kind].model_validate(body)
        self.documents[kind][name] = document.digest()

    def page(self, kind: str, after: str, limit: int) -> Manifest:
        """Rows of a listing, as the operator reads them."""
        names = [name for name in sorted(self.documents[kind]) if name > after]
        rows = [_row(kind, name, self.documents[kind][name]) for name in names[:limit]]
        return {"data": rows, "has_more": len(names) > limit}


def _row(kind: str, name: str, digest: str) -> Manifest:
    row: Manifest = {"name": name, "digest": digest, "managed_by": "kubernetes"}
    if kind != "Model":
        return row | {"version": digest, "base": _base(0) if kind == "Adapter" else None}
    return row | {
        "state": "ready",
        "message": "",
        "generation": 1,
        "replicas": {"ready": 1, "desired": 1},
        "cold_start_seconds": 2.5,
        "weights_digest": None,
        "price_version": None,
        "scaling_decisions": [],
        "document": None,
    }


def _base(number: int) -> str:
    return f"model-{number:04}"


def model(number: int) -> Manifest:
    """A Model that uses most of what a document can say."""
    spec = {
        "family": "llm",
        "tasks": ["chat", "completion"],
        "card": {
            "title": f"Model {number}",
            "description": "A model of the benchmark. " * 4,
            "tags": ["bench", "chat"],
        },
        "engine": {"kind": "echo", "maxConcurrency": 16},
        "placement": {"pool": "default", "cpus": 0.1, "memory": "512Mi"},
        "scaling": {"minReplicas": 0, "maxReplicas": 4},
        "adapters": {"enabled": True},
        "prices": {"prompt": "0.10", "completion": "0.40"},
    }
    return {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": _base(number)}, "spec": spec}


def adapter(number: int, num_models: int) -> Manifest:
    """An Adapter of one of the models."""
    base = _base(number * _MODELS_PER_BASE % num_models)
    spec = {"weights": {"uri": f"s3://adapters/{number}/adapter.safetensors"}, "base": base}
    return {"apiVersion": API_VERSION, "kind": "Adapter", "metadata": {"name": f"adapter-{number:05}"}, "spec": spec}


class Servers:
    """Both, as one ASGI application."""

    def __init__(self, num_models: int, num_adapters: int) -> None:
        self.api, self.platform = ApiServer(), Platform()
        kinds = {row.kind: row for row in _ROWS.values()}
        spec = {"stores": {"objects": {"endpoint": "http://objects:8333"}}}
        platform = {"apiVersion": API_VERSION, "kind": "Platform", "metadata": {"name": "bench"}, "spec": spec}
        self.api.keep(kinds["Platform"], platform)
        for number in range(num_models):
            self.api.keep(kinds["Model"], model(number))
        for number in range(num_adapters):
            self.api.keep(kinds["Adapter"], adapter(number, num_models))

    def app(self) -> Starlette:
        """Its routes."""
        namespaced = "/{prefix:path}/namespaces/{namespace}/{resource}"
        return Starlette(
            routes=[
                Route("/bench", self.bench),
                Route("/v1/admin/served", self.served),
                Route("/v1/admin/digests", self.digests),
                Route("/v1/admin/version", self.version),
                Route("/v1/admin/documents/{kind}/{name}", self.put, methods=["PUT"]),
                Route("/api/v1/namespaces/{name}", self.namespace),
                Route(namespaced, self.listed),
                Route(namespaced, self.created, methods=["POST"]),
                Route(namespaced + "/{name}", self.patched, methods=["PATCH"]),
                Route(namespaced + "/{name}/{part}", self.patched, methods=["PATCH"]),
                Route("/{prefix:path}", self.resources),
            ]
        )

    async def bench(self, _: Request) -> Response:
        """How far it is: documents, statuses, models in Serve's configuration, writes."""
        kept = {row.kind: found for row, found in self.api.objects.items()}
        (config,) = [one["spec"]["serveConfigV2"] for one in kept["RayService"].values()] or [""]
        statuses = {kind: sum("conditions" in one.get("status", {}) for one in kept[kind].values()) for kind in kept}
        return JSONResponse(
            {
                "documents": {kind: len(found) for kind, found in self.platform.documents.items()},
                "statuses": {kind: number for kind, number in statuses.items() if number},
                "ready": {kind: sum(map(_is_ready, kept[kind].values())) for kind in ("Model", "Adapter")},
                "num_served": config.count('"import_path":"deployments.llm:build"'),
                "serve_config_bytes": len(config.encode()),
                "ray_service_bytes": sum(len(json.dumps(one)) for one in kept["RayService"].values()),
                "writes": {**self.api.writes, "documents": self.platform.num_writes},
            }
        )

    async def served(self, request: Request) -> Response:
        """Models."""
        return self._page("Model", request)

    async def digests(self, request: Request) -> Response:
        """Adapters or workflows."""
        return self._page(request.query_params["kind"], request)

    def _page(self, kind: str, request: Request) -> Response:
        query = request.query_params
        return JSONResponse(self.platform.page(kind, query.get("after", ""), int(query["limit"])))

    async def version(self, _: Request) -> Response:
        """The platform's."""
        return JSONResponse({"version": "0.1.0"})

    async def put(self, request: Request) -> Response:
        """Take a document."""
        self.platform.put(request.path_params["kind"], request.path_params["name"], await request.json())
        return JSONResponse({"result": "created"})

    async def namespace(self, request: Request) -> Response:
        """The namespace itself."""
        return JSONResponse({"kind": "Namespace", "metadata": {"name": request.path_params["name"], "annotations": {}}})

    async def resources(self, request: Request) -> Response:
        """What kinds there are."""
        root, _, version = request.path_params["prefix"].partition("/")
        if not version:
            return JSONResponse({"versions": ["v1"]} if root == "api" else {"groups": _groups()})
        rows = [row for row in PERMISSIONS if row.api_version == version]
        if not rows:
            return JSONResponse({"kind": "Status", "code": 404, "reason": "NotFound", "message": version}, 404)
        found = [
            {"name": row.resource, "kind": row.kind, "namespaced": True, "singularName": "", "verbs": list(row.verbs)}
            for row in rows
        ]
        return JSONResponse({"kind": "APIResourceList", "groupVersion": version, "resources": found})

    def _of(self, request: Request) -> Permission:
        return _ROWS[request.path_params["prefix"].partition("/")[2], request.path_params["resource"]]

    async def listed(self, request: Request) -> Response:
        """A page of a list, or a watch."""
        row, query = self._of(request), request.query_params
        if query.get("watch") in ("true", "1"):
            return StreamingResponse(self.api.watched(row, int(query.get("resourceVersion") or 0)))
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 10**9)
        found = list(self.api.objects[row].values())
        metadata = {"resourceVersion": str(len(self.api.log))}
        if start + limit < len(found):
            metadata["continue"] = str(start + limit)
        return JSONResponse({"kind": f"{row.kind}List", "metadata": metadata, "items": found[start : start + limit]})

    async def created(self, request: Request) -> Response:
        """An event, which is counted."""
        self.api.writes[request.path_params["resource"]] += 1
        return JSONResponse(await request.json(), 201)

    async def patched(self, request: Request) -> Response:
        """An apply."""
        row, part = self._of(request), request.path_params.get("part", "")
        self.api.writes[f"{row.resource}/{part}".rstrip("/")] += 1
        return JSONResponse(self.api.keep(row, json.loads(await request.body()), part == "status"))


def _groups() -> list[Manifest]:
    versions = sorted({row.api_version for row in PERMISSIONS if row.group})
    named = [{"groupVersion": each, "version": each.partition("/")[2]} for each in versions]
    return [
        {"name": each.partition("/")[0], "versions": [version], "preferredVersion": version}
        for each, version in zip(versions, named, strict=True)
    ]


def _is_ready(manifest: Manifest) -> bool:
    conditions = manifest.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", type=int, required=True)
    parser.add_argument("--adapters", type=int, required=True)
    arguments = parser.parse_args()
    app = Servers(arguments.models, arguments.adapters).app()
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
