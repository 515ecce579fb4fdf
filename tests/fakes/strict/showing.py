"""What the server tells of itself: discovery, tables for `kubectl get`, and OpenAPI."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fakes.strict.kinds import Kind
from fakes.strict.shapes import Manifest

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_STEP = re.compile(r'\.([A-Za-z0-9_-]+)|\[\?\(@\.(\w+)==[\'"]([^\'"]+)[\'"]\)\]')


def group_list(kinds: Iterable[Kind]) -> Manifest:
    """The answer of /apis."""
    versions: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.group and kind.version not in versions.setdefault(kind.group, []):
            versions[kind.group].append(kind.version)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*item) for item in versions.items()]}


def _group(name: str, versions: list[str]) -> Manifest:
    shown = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}


def resource_list(kinds: Iterable[Kind], api_version: str) -> Manifest | None:
    """The answer of /apis/GROUP/VERSION; None where there is no such version."""
    resources = [row for kind in kinds if kind.api_version == api_version for row in _resources(kind)]
    if not resources:
        return None
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}


def _resources(kind: Kind) -> Iterator[Manifest]:
    row: Manifest = {"name": kind.plural, "singularName": kind.kind.lower(), "namespaced": kind.is_namespaced}
    names = {"shortNames": list(kind.short), "categories": list(kind.categories)}
    yield row | {"kind": kind.kind, "verbs": _VERBS} | {key: value for key, value in names.items() if value}
    for part in kind.subresources:
        part_kind = (
            {"kind": "Scale", "group": "autoscaling", "version": "v1"} if part == "scale" else {"kind": kind.kind}
        )
        yield (
            row | {"name": f"{kind.plural}/{part}", "singularName": "", "verbs": ["get", "patch", "update"]} | part_kind
        )


def table(kind: Kind, items: list[Manifest], metadata: Manifest) -> Manifest:
    """As `kubectl get` asks for it."""
    columns = (kind.definition or {}).get("additionalPrinterColumns") or [
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    ]
    headers = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    headers += [{"format": "", "description": "", "priority": 0} | column for column in columns]
    rows = [
        {"cells": [item["metadata"]["name"], *(_cell(column, item) for column in columns)], "object": _partial(item)}
        for item in items
    ]
    shown = [{key: value for key, value in header.items() if key != "jsonPath"} for header in headers]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": shown,
        "rows": rows,
    }


def _partial(item: Manifest) -> Manifest:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _cell(column: Manifest, item: Manifest) -> Any:
    found = at(item, column["jsonPath"])
    if found is None:
        return None
    return found if column["type"] in ("integer", "number") else str(found)


def at(value: Any, path: str) -> Any:
    """What a simple JSONPath finds; None for nothing."""
    for match in _STEP.finditer(path):
        name, key, wanted = match.groups()
        if name is not None:
            value = value.get(name) if isinstance(value, dict) else None
        else:
            items = value if isinstance(value, list) else []
            value = next((item for item in items if item.get(key) == wanted), None)
    return value


def openapi_index(kinds: Iterable[Kind]) -> Manifest:
    """The answer of /openapi/v3."""
    roots = {_root(kind) for kind in kinds}
    return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash=0"} for root in sorted(roots)}}


def _root(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.api_version}"


def openapi(kinds: Iterable[Kind], root: str) -> Manifest:
    """The document of one version: the schemas of custom kinds, and what can be asked of every kind."""
    paths: Manifest = {}
    schemas: Manifest = {}
    for kind in kinds:
        if _root(kind) == root:
            name = ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
            schemas[name] = _schema(kind)
            paths |= _paths(kind, name)
    info = {"title": "Kubernetes", "version": "v1.36.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _gvk(kind: Kind) -> Manifest:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema(kind: Kind) -> Manifest:
    schema = ((kind.definition or {}).get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    return {**schema, "x-kubernetes-group-version-kind": [_gvk(kind)]}


def _paths(kind: Kind, name: str) -> Manifest:
    at_all = f"/{_root(kind)}/{'namespaces/{namespace}/' if kind.is_namespaced else ''}{kind.plural}"
    body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    answer = {"responses": {"200": {"description": "OK", "content": body}}}
    parameters = [
        {"name": each, "in": "query", "schema": {"type": "string"}}
        for each in ("dryRun", "fieldManager", "fieldValidation")
    ]
    told = answer | {"x-kubernetes-group-version-kind": _gvk(kind)}
    read, write = (
        told | {"x-kubernetes-action": "list"},
        told | {"x-kubernetes-action": "patch", "parameters": parameters},
    )
    return {at_all: {"get": read, "post": write}, f"{at_all}/{{name}}": {"get": told, "patch": write}}
