"""Operations that choose, and those that only hold a value."""

from collections.abc import Mapping
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.port_types import Kind, PortType, parse_type
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import one_of
from serve.workflow.operation import In, Out, Quick
from serve.workflow.values import kind_of

_CATEGORY = "Flow"
_MAX_CASES = 256
_LOGIC = ("all", "any", "none", "one")
_WRITTEN = (Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.JSON)
_WRITTEN_TYPES = [str(PortType(kind, is_list)) for is_list in (False, True) for kind in _WRITTEN]


class Condition(Quick):
    """One of two; the other is not worked out."""

    name = "condition"
    title = "If"
    description = "Gives `then` if the condition holds, and `else` if not; only that one is worked out."
    category = _CATEGORY
    inputs = {
        "if": In("boolean", "The condition."),
        "then": In("T", "Given where it holds.", lazy=True),
        "else": In("T", "Given where it does not.", lazy=True),
    }
    outputs = {"value": Out("T")}

    def wants(self, values: Mapping[str, Any]) -> frozenset[str]:
        """See `Operation`."""
        return frozenset({"then" if Given(self, values).flag("if") else "else"})

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        (branch,) = self.wants(values)
        return {"value": values.get(branch)}


class Switch(Quick):
    """One of several; the others are not worked out."""

    name = "switch"
    title = "Switch"
    description = (
        "Gives case_1 if the value is the first of `cases`, case_2 if the second, ..., or `default`; only that."
    )
    category = _CATEGORY
    inputs = {
        "value": In("json", "A text, a number, or true or false."),
        "cases": In("json", "The list of values that it may have."),
        "case": In("T", "Given for the case at that place.", required=False, lazy=True, many=True),
        "default": In("T", "Given where it is none of the cases.", required=False, lazy=True),
    }
    outputs = {"value": Out("T"), "case": Out("number", "Which it was, from 1; 0 is the default.")}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Cases that are no list, or stand there twice."""
        cases = values.get("cases")
        if "cases" not in values or cases is None:
            return []
        if not isinstance(cases, list):
            return [("cases", "cases must be a list of values")]
        if len(cases) > _MAX_CASES:
            return [("cases", f"there can be at most {_MAX_CASES} cases")]
        twice = [case for place, case in enumerate(cases) if _place(cases, case) != place]
        return [("cases", f"{twice[0]!r} stands there twice, and only the first is ever taken")] if twice else []

    def wants(self, values: Mapping[str, Any]) -> frozenset[str]:
        """See `Operation`."""
        return frozenset({self._branch(values)[0]})

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        port, number = self._branch(values)
        if port not in values or (port == "default" and values[port] is None):
            value = values.get("value")
            raise InvalidRequest(f"there is no input {port}, and the value is {str(value)[:80]!r}", "no_case", port)
        return {"value": values[port], "case": number}

    def _branch(self, values: Mapping[str, Any]) -> tuple[str, int]:
        """The port of the case that holds, and its number."""
        given = Given(self, values)
        place = _place(given.items("cases"), given.value("value"))
        return ("default", 0) if place is None else (f"case_{place + 1}", place + 1)


def _place(cases: list[Any], value: Any) -> int | None:
    """Where `value` stands; true is not 1."""
    for place, case in enumerate(cases):
        if case == value and isinstance(case, bool) is isinstance(value, bool):
            return place
    return None


class First(Quick):
    """What there is of several."""

    name = "first"
    title = "First that is there"
    description = "Gives the first of value_1, value_2, ... that was not skipped."
    category = _CATEGORY
    inputs = {"value": In("T", "One of them.", may_be_skipped=True, many=True)}
    outputs = {"value": Out("T")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        for _, value in Given(self, values).present("value"):
            return {"value": value}
        raise InvalidRequest("every value was skipped: there is no first one", "nothing_there", "value")


class Logic(Quick):
    """Several conditions as one."""

    name = "boolean.logic"
    title = "Logic"
    description = "Whether all, any, none or exactly one of value_1, value_2, ... are true. `none` of one value is not."
    category = _CATEGORY
    inputs = {
        "operation": In("text", "How many must be true.", required=False, default="all", schema=one_of(_LOGIC)),
        "value": In("boolean", "A condition.", many=True),
    }
    outputs = {"result": Out("boolean")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        conditions = [value for _, value in given.present("value")]
        num_true = sum(conditions)
        wanted = {"all": num_true == len(conditions), "any": num_true > 0, "none": num_true == 0, "one": num_true == 1}
        return {"result": wanted[given.text("operation")]}


class Constant(Quick):
    """A value that stands in the document."""

    name = "constant"
    title = "Constant"
    description = "Gives a value that is written down once: a text, a number, true or false, JSON, or a list of these."
    category = _CATEGORY
    inputs = {
        "value": In("json", "The value."),
        "type": In("text", "Of the output; else, what the value is.", required=False, schema=one_of(_WRITTEN_TYPES)),
    }
    outputs = {"value": Out("json")}

    def output_types(self, given: Mapping[str, PortType], values: Mapping[str, Any]) -> Mapping[str, PortType] | None:
        """What the value is, unless `type` says something else."""
        if (said := values.get("type")) in _WRITTEN_TYPES:
            return {"value": parse_type(said)}
        return {"value": _type_of(values["value"])} if "value" in values else None

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """A value that is not what `type` says."""
        said = values.get("type")
        if said not in _WRITTEN_TYPES or "value" not in values or _is(values["value"], parse_type(said)):
            return []
        return [("value", f"value is no {said}")]

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        value, said = given.value("value"), given.value("type")
        if said is not None and not _is(value, parse_type(given.text("type"))):
            raise InvalidRequest(f"value is no {said}", "wrong_type", "value")
        return {"value": value}


def _type_of(value: Any) -> PortType:
    if isinstance(value, list) and value:
        kinds = {kind_of(item) for item in value}
        return PortType(kinds.pop(), True) if len(kinds) == 1 else PortType(Kind.JSON)
    return PortType(kind_of(value))


def _is(value: Any, wanted: PortType) -> bool:
    if wanted.is_list:
        return isinstance(value, list) and all(_is(item, wanted.item) for item in value)
    return wanted.kind is Kind.JSON or kind_of(value) is wanted.kind


class _Held(Quick):
    """Gives what it is given."""

    category = _CATEGORY

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        return {"value": Given(self, values).needed("value")}


class ConstantImage(_Held):
    """A picture that is chosen in the document."""

    name = "constant.image"
    title = "Image"
    description = "Gives a picture that is written down once, as asset:<id>."
    inputs = {"value": In("image", "The picture.")}
    outputs = {"value": Out("image")}


class ConstantMask(_Held):
    """A mask that is chosen in the document."""

    name = "constant.mask"
    title = "Mask"
    description = "Gives a mask that is written down once, as asset:<id>."
    inputs = {"value": In("mask", "The mask.")}
    outputs = {"value": Out("mask")}
