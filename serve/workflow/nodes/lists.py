"""Operations on lists."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.workflow import MAX_ITEMS
from serve.workflow.nodes.bounds import MAX_LIST, bounded_json, bounded_list
from serve.workflow.nodes.numbers import exact
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import whole
from serve.workflow.operation import In, Out, Quick

_CATEGORY = "Lists"
_PLACE = whole(-MAX_LIST, MAX_LIST)


class Make(Quick):
    """A list out of single values."""

    name = "list.make"
    title = "Make list"
    description = "Puts item_1, item_2, ... into a list, in the order of their numbers."
    category = _CATEGORY
    inputs = {"item": In("T", "One of them.", many=True)}
    outputs = {"items": Out("list[T]")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        return {"items": bounded_list([item for _, item in Given(self, values).many("item")], "item")}


class Collect(Quick):
    """A list of what came to be."""

    name = "list.collect"
    title = "Collect"
    description = "Puts those of item_1, item_2, ... that were not skipped into a list."
    category = _CATEGORY
    inputs = {"item": In("T", "One of them.", may_be_skipped=True, many=True)}
    outputs = {"items": Out("list[T]"), "count": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        items = bounded_list([item for _, item in Given(self, values).present("item")], "item")
        return {"items": items, "count": len(items)}


class Concat(Quick):
    """One list out of several."""

    name = "list.concat"
    title = "Join lists"
    description = "Puts list_1, list_2, ... one after the other."
    category = _CATEGORY
    inputs = {"list": In("list[T]", "One of them.", many=True)}
    outputs = {"items": Out("list[T]"), "count": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        items = [item for _, items in Given(self, values).present("list") for item in items]
        return {"items": bounded_list(items, "list"), "count": len(items)}


class Zip(Quick):
    """Lists side by side."""

    name = "list.zip"
    title = "Zip lists"
    description = (
        "Makes one list of JSON objects out of several lists: with list_name and list_price, the first object "
    )
    description += "has the first name and the first price, and so on."
    category = _CATEGORY
    inputs = {
        "list": In("json", "A list; what follows list_ names it.", many=True),
        "fill": In("boolean", "Fill short lists up with null.", required=False, default=False),
    }
    outputs = {"items": Out("list[json]"), "count": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        lists = dict(given.present("list"))
        for name, items in lists.items():
            if not isinstance(items, list):
                raise InvalidRequest(f"list_{name} is no list", "wrong_type", f"list_{name}")
        lengths = {len(items) for items in lists.values()}
        if len(lengths) > 1 and not given.flag("fill"):
            told = ", ".join(f"list_{name} has {len(items)}" for name, items in lists.items())
            raise InvalidRequest(f"the lists are not of one length: {told}", "invalid_value", "list")
        rows = [dict(zip(lists, row, strict=True)) for row in zip_longest(*lists.values())]
        return {"items": bounded_json(bounded_list(rows, "list"), "list"), "count": len(rows)}


class Select(Quick):
    """One of a list."""

    name = "list.select"
    title = "Select from list"
    description = "Gives the item at a place: 0 is the first, -1 the last."
    category = _CATEGORY
    inputs = {
        "items": In("list[T]", "The list."),
        "index": In("number", "The place.", required=False, default=0, schema=_PLACE),
    }
    outputs = {"item": Out("T")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        items, index = given.items("items"), given.whole("index")
        if not -len(items) <= index < len(items):
            raise InvalidRequest(f"there is no item {index} in a list of {len(items)}", "invalid_value", "index")
        return {"item": items[index]}


class Slice(Quick):
    """Some of a list."""

    name = "list.slice"
    title = "Part of list"
    description = "Gives `count` items from a place on: 0 is the first, -1 the last."
    category = _CATEGORY
    inputs = {
        "items": In("list[T]", "The list."),
        "start": In("number", "The first place.", required=False, default=0, schema=_PLACE),
        "count": In(
            "number", "How many at the most; unset, all that follow.", required=False, schema=whole(0, MAX_LIST)
        ),
        "reverse": In("boolean", "Give them in the opposite order.", required=False, default=False),
    }
    outputs = {"items": Out("list[T]"), "count": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        items = given.items("items")[given.whole("start") :][: given.whole_or_none("count")]
        return {"items": items[::-1] if given.flag("reverse") else items, "count": len(items)}


class Range(Quick):
    """Numbers in a row."""

    name = "list.range"
    title = "Numbers in a row"
    description = "Makes a list of numbers: seeds from a first one on, strengths in steps."
    category = _CATEGORY
    inputs = {
        "start": In("number", "The first one.", required=False, default=0),
        "count": In("number", "How many.", schema=whole(0, MAX_ITEMS)),
        "step": In("number", "From one to the next.", required=False, default=1),
    }
    outputs = {"items": Out("list[number]")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        start, step = given.number("start"), given.number("step")
        try:
            return {"items": [exact(start + index * step, "start") for index in range(given.whole("count"))]}
        except OverflowError:
            raise InvalidRequest("the numbers become too large", "invalid_value", "start") from None


class Repeat(Quick):
    """A list of one value."""

    name = "list.repeat"
    title = "Repeat"
    description = "Puts the same value into a list, several times."
    category = _CATEGORY
    inputs = {
        "item": In("T", "The value."),
        "count": In("number", "How often.", schema=whole(0, MAX_ITEMS)),
    }
    outputs = {"items": Out("list[T]")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        return {"items": bounded_list([given.needed("item")] * given.whole("count"), "item")}


class Length(Quick):
    """How many there are."""

    name = "list.length"
    title = "Length of list"
    description = "Counts the items of a list."
    category = _CATEGORY
    inputs = {"items": In("list[T]", "The list.")}
    outputs = {"count": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        return {"count": len(Given(self, values).items("items"))}
