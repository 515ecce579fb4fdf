"""Label and field selectors."""

import re

from fakes.strict.kinds import Kind
from fakes.strict.refusal import Refused
from fakes.strict.shapes import Manifest
from fakes.strict.showing import at

_TERM = re.compile(r"\s*(!?)([A-Za-z0-9_./-]+)\s*(?:(==|!=|=)\s*([^,]*)|\s(in|notin)\s*\(([^)]*)\))?\s*(?:,|$)")
_FIELDS = {".metadata.name", ".metadata.namespace"}
_BUILT_IN = {".status.phase", ".spec.nodeName", ".type", ".reason", ".regarding.name", ".regarding.uid"}


def selected(kind: Kind, manifest: Manifest, labels: str, fields: str) -> bool:
    """Whether an object is one of those that are asked for."""
    found = manifest["metadata"].get("labels") or {}
    return all(_holds(found, term) for term in _TERM.finditer(labels) if term[2]) and all(
        _has(kind, manifest, term) for term in fields.split(",") if term
    )


def _holds(labels: dict[str, str], term: re.Match[str]) -> bool:
    is_not, key, sign, value, word, values = term.groups()
    if sign:
        return (labels.get(key) == value.strip()) == (sign != "!=")
    if word:
        return (labels.get(key) in [each.strip() for each in values.split(",")]) == (word == "in")
    return (key in labels) != bool(is_not)


def _has(kind: Kind, manifest: Manifest, term: str) -> bool:
    path, sign, value = re.split(r"(!=|==?)", term, maxsplit=1)
    dotted = f".{path}"
    known = {each["jsonPath"] for each in (kind.definition or {}).get("selectableFields") or ()} | _FIELDS
    if dotted not in known and (kind.admission is not None or dotted not in _BUILT_IN):
        raise Refused(400, "BadRequest", f'field label not supported: "{path}"')
    return (str(at(manifest, dotted) or "") == value) == (sign != "!=")
