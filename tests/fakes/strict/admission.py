"""What the server makes of an object before it keeps it: defaults, pruning, and all that may be wrong with it."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
import referencing
from fakes.api_server import PRESERVE, Schema, broken_rules, defaulted, unknown_fields
from fakes.strict.kinds import Kind, built_in_schema, schema_file
from fakes.strict.pod_rules import wrong_pod
from fakes.strict.refusal import Refused, invalid
from fakes.strict.shapes import Manifest

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_MAX_ANNOTATIONS = 256 * 1024
_FIXED: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"),
    "Job": ("spec.template", "spec.selector", "spec.completions"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "PriorityClass": ("value",),
    "Service": ("spec.clusterIP",),
    "Pod": ("spec.containers", "spec.volumes", "spec.nodeSelector"),
}


def accept(kind: Kind, new: Manifest, old: Manifest | None, is_strict: bool) -> Manifest:
    """`new` as it is kept in place of `old`.

    Raises:
        Refused: it is not kept.
    """
    if kind.admission is not None:
        new = _taken_custom(kind, new, old, is_strict)
    else:
        new = with_defaults(kind, new)
        _check_built_in(kind, new, is_strict)
    name = new["metadata"].get("name", "")
    wrong = [*_wrong_metadata(kind, new), *_changed(kind, new, old), *wrong_pod(kind, new)]
    if wrong:
        raise invalid(kind, name, wrong)
    return new


def _taken_custom(kind: Kind, new: Manifest, old: Manifest | None, is_strict: bool) -> Manifest:
    assert kind.admission is not None
    schema = kind.admission._schema
    if is_strict and (unknown := list(unknown_fields(schema, new))):
        said = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise Refused(
            400,
            "BadRequest",
            f'{kind.kind} in version "{kind.version}" cannot be handled: strict decoding error: {said}',
        )
    whole = without_nulls(schema, defaulted(schema, pruned(schema, new)))
    before = None if old is None else without_nulls(schema, defaulted(schema, old))
    told = list(kind.admission._invalid(whole)) or list(broken_rules(schema, whole, before))
    if told:
        raise invalid(kind, new["metadata"].get("name", ""), told)
    return whole


def pruned(schema: Schema, value: Any, is_root: bool = True) -> Any:
    """`value` without the fields that the schema does not name."""
    if isinstance(value, list):
        return [pruned(schema.get("items", {}), item, False) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        if is_root and key in ("metadata", "apiVersion", "kind"):
            kept[key] = item
        elif isinstance(inner, dict):
            kept[key] = pruned(inner, item, False)
        elif schema.get(PRESERVE) or inner is True:
            kept[key] = item
    return kept


def without_nulls(schema: Schema, value: Any) -> Any:
    """`value` without nulls where none may be."""
    if isinstance(value, list):
        return [without_nulls(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    by_key, rest = schema.get("properties", {}), schema.get("additionalProperties")
    kept = {}
    for key, item in value.items():
        inner = by_key.get(key, rest if isinstance(rest, dict) else None)
        if item is None and inner is not None and not inner.get("nullable"):
            continue
        kept[key] = item if inner is None else without_nulls(inner, item)
    return kept


@cache
def _validator(kind: str, group: str, version: str) -> Any:
    definitions = referencing.Resource.from_contents(schema_file("_definitions.json"))
    schema = referencing.Resource.from_contents(built_in_schema(kind, group, version))
    registry = definitions @ (schema @ referencing.Registry())
    return jsonschema.Draft202012Validator(schema.contents, registry=registry)


_accepted = set[str]()
"""Definitions that were held against their schema before: some are long."""


def _check_built_in(kind: Kind, new: Manifest, is_strict: bool) -> None:
    if kind.kind != "CustomResourceDefinition":
        return _check(kind, new, is_strict)
    if (text := json.dumps(new["spec"])) not in _accepted:
        _check(kind, new, is_strict)
        _accepted.add(text)
    return None


def _check(kind: Kind, new: Manifest, is_strict: bool) -> None:
    for error in _validator(kind.kind, kind.group, kind.version).iter_errors(new):
        path = ".".join(map(str, error.absolute_path))
        if path.startswith("status") and error.validator == "required":
            continue  # Of a status, what is not said is zero.
        if error.validator != "additionalProperties":
            raise Refused(
                400, "BadRequest", f"{kind.kind} in version {kind.version} cannot be handled: {path}: {error.message}"
            )
        if is_strict:
            raise Refused(400, "BadRequest", f"strict decoding error: unknown field: {path}: {error.message}")


def _wrong_metadata(kind: Kind, new: Manifest) -> Iterator[str]:
    metadata = new["metadata"]
    name = metadata.get("name", "")
    form = {"Namespace": _LABEL, "Service": _SERVICE}.get(kind.kind, _SUBDOMAIN)
    if kind.group != "rbac.authorization.k8s.io" and not form.fullmatch(name):
        yield f'metadata.name: Invalid value: "{name}": must be a DNS name of its kind'
    for key, value in (metadata.get("labels") or {}).items():
        if not _is_key(key) or not _VALUE.fullmatch(value):
            yield f'metadata.labels: Invalid value: "{key}={value}"'
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        if not _is_key(key.lower()):
            yield f'metadata.annotations: Invalid value: "{key}"'
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        yield "metadata.annotations: Too long: may not be more than 262144 bytes"
    yield from _wrong_owners(metadata.get("ownerReferences") or [])


def _is_key(key: str) -> bool:
    prefix, _, _ = key.rpartition("/")
    return bool(_KEY.fullmatch(key)) and len(prefix) <= 253


def _wrong_owners(references: list[Manifest]) -> Iterator[str]:
    if sum(bool(each.get("controller")) for each in references) > 1:
        yield "metadata.ownerReferences: Only one reference can have Controller set to true"
    for index, each in enumerate(references):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not each.get(key):
                yield f"metadata.ownerReferences[{index}].{key}: Required value"


def _changed(kind: Kind, new: Manifest, old: Manifest | None) -> Iterator[str]:
    if old is None:
        return
    for path in _FIXED.get(kind.kind, ()):
        if _at(new, path) != _at(old, path):
            yield f"{path}: Invalid value: field is immutable"
    if (old.get("immutable") and kind.kind in ("Secret", "ConfigMap")) and new.get("data") != old.get("data"):
        yield "data: Forbidden: field is immutable when `immutable` is set"


def _at(manifest: Manifest, path: str) -> Any:
    found: Any = manifest
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


_num_addresses = 0


def with_defaults(kind: Kind, new: Manifest) -> Manifest:
    """What the server fills in, where the operator or Helm could trip over it."""
    if kind.kind == "Service":
        return new | {"spec": _service(dict(new.get("spec") or {}))}
    if kind.kind == "Secret":
        new.setdefault("type", "Opaque")
    if kind.kind in ("Deployment", "StatefulSet"):
        new.setdefault("spec", {}).setdefault("replicas", 1)
    return new


def _service(spec: Manifest) -> Manifest:
    global _num_addresses
    if "clusterIP" not in spec:
        _num_addresses += 1
        spec["clusterIP"] = f"10.96.{_num_addresses // 250}.{_num_addresses % 250 + 1}"
    defaults = {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "clusterIPs": [spec["clusterIP"]],
    }
    ports = [{"protocol": "TCP", "targetPort": port.get("port")} | port for port in spec.get("ports") or ()]
    return defaults | spec | ({"ports": ports} if ports else {})
