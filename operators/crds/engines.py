"""One object in place of several that are told apart by a tag, as `engine` is by its `kind`.

A structural schema knows no alternatives. The object has the fields of all of them, each as wide as the widest; which
kind has which field, and how far, are rules.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from operators.crds.rules import Rule, either

Schema = dict[str, Any]
_LOWER, _UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")
_MAY_DIFFER = {*_LOWER, *_UPPER, "nullable", "description"}
_BOUNDS = {"minimum": (">=", "at least"), "maximum": ("<=", "at most")}


def merged(noun: str, tag: str, variants: Mapping[str, Schema]) -> Schema:
    """The object with every variant's fields. `variants` are structural, by their tag; each of them is a `noun`.

    Raises:
        TypeError: two variants mean different things by one name.
    """
    names = list(dict.fromkeys(name for one in variants.values() for name in one["properties"] if name != tag))
    properties: Schema = {tag: {"type": "string", "enum": list(variants), "description": f"Which {noun} it is."}}
    rules: list[Rule] = []
    for name in names:
        having = {kind: one["properties"][name] for kind, one in variants.items() if name in one["properties"]}
        properties[name] = _field(name, having, is_common=len(having) == len(variants))
        rules += _presence(noun, tag, name, variants, list(having))
        rules += _limits(noun, tag, name, having, properties[name])
    shape: Schema = {"type": "object", "required": [tag], "properties": properties}
    return shape | ({"x-kubernetes-validations": [rule.as_schema() for rule in rules]} if rules else {})


def _field(name: str, having: Mapping[str, Schema], is_common: bool) -> Schema:
    first, *others = having.values()
    wide = dict(first)
    for other in others:
        if _meaning(wide) != _meaning(other):
            raise TypeError(f"{name} is not the same for {' and '.join(having)}")
        wide |= {key: min(wide[key], other[key]) for key in _LOWER if key in wide and key in other}
        wide |= {key: max(wide[key], other[key]) for key in _UPPER if key in wide and key in other}
        wide = {key: value for key, value in wide.items() if key not in _MAY_DIFFER or key in other}
    return wide | {"description": _description(having, is_common)}


def _meaning(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in _MAY_DIFFER}


def _description(having: Mapping[str, Schema], is_common: bool) -> str:
    texts: dict[str, list[str]] = {}
    for kind, schema in having.items():
        texts.setdefault(schema.get("description", ""), []).append(kind)
    if is_common and len(texts) == 1:
        return next(iter(texts))
    return " ".join(f"[{', '.join(kinds)}] {text}".rstrip() for text, kinds in texts.items())


def _presence(noun: str, tag: str, name: str, variants: Mapping[str, Schema], having: Sequence[str]) -> list[Rule]:
    """Who may have the field, and who must."""
    needing = [kind for kind in having if name in variants[kind].get("required", ())]
    rules = []
    if len(having) < len(variants):
        rule = f"!has(self.{name}) || self.{tag} in {_listed(having)}"
        rules.append(Rule(rule, f"{name} is an option of the {noun} {either(having)} only", f".{name}"))
    if needing:
        rule = f"has(self.{name}) || !(self.{tag} in {_listed(needing)})"
        rules.append(Rule(rule, f"the {noun} {either(needing)} needs {name}"))
    return rules


def _limits(noun: str, tag: str, name: str, having: Mapping[str, Schema], wide: Schema) -> list[Rule]:
    """What is narrower for one than for the widest."""
    rules = []
    for kind, schema in having.items():
        for bound, (sign, words) in _BOUNDS.items():
            if bound in schema and schema[bound] != wide.get(bound):
                number = float(schema[bound]) if schema["type"] == "number" else schema[bound]
                rule = f"self.{tag} != '{kind}' || !has(self.{name}) || self.{name} {sign} {number}"
                told = f"{name} is {words} {schema[bound]} for the {noun} {kind}"
                rules.append(Rule(rule, told, f".{name}"))
    return rules


def _listed(kinds: Sequence[str]) -> str:
    return f"[{', '.join(repr(kind) for kind in kinds)}]"
