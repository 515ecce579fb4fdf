"""Operations on texts."""

from collections.abc import Callable, Mapping
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.workflow.nodes.bounds import MAX_LIST, MAX_TEXT, bounded_list, bounded_text
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import one_of, whole
from serve.workflow.operation import In, Out, Quick

_CATEGORY = "Text"
_CASES: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "sentence": lambda text: text[:1].upper() + text[1:],
}
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, other: other in text,
    "equals": lambda text, other: text == other,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}


class Join(Quick):
    """Several texts, and lists of them, in one."""

    name = "text.join"
    title = "Join texts"
    description = "Puts texts one after the other: those of a list, then text_1, text_2 and so on."
    category = _CATEGORY
    inputs = {
        "texts": In("list[text]", "A list of texts.", required=False),
        "text": In("text", "Further texts, in the order of their numbers.", required=False, many=True),
        "separator": In("text", "What stands between them.", required=False, default=""),
        "skip_empty": In("boolean", "Leave out those without a character.", required=False, default=False),
    }
    outputs = {"text": Out("text")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        separator = given.text("separator")
        parts = [*(given.value("texts") or []), *(text for _, text in given.present("text"))]
        if given.flag("skip_empty"):
            parts = [part for part in parts if part]
        if sum(map(len, parts)) + len(separator) * len(parts) > MAX_TEXT + len(separator):
            raise InvalidRequest(f"the texts have more than {MAX_TEXT} characters together", "too_large", "texts")
        return {"text": bounded_text(separator.join(parts), "texts")}


class Split(Quick):
    """One text in several."""

    name = "text.split"
    title = "Split text"
    description = "Cuts a text at every separator; by default into its lines. Spaces around the parts go."
    category = _CATEGORY
    inputs = {
        "text": In("text", "What to cut."),
        "separator": In("text", "Where; a line break unless it is given.", required=False, default="\n"),
        "keep_empty": In("boolean", "Keep parts without a character.", required=False, default=False),
        "max_parts": In("number", "At most this many; the rest goes.", required=False, schema=whole(1, MAX_LIST)),
    }
    outputs = {"texts": Out("list[text]"), "count": Out("number", "Of the texts.")}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """An empty separator."""
        return [("separator", "separator must have a character")] if values.get("separator") == "" else []

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        if not (separator := given.text("separator")):
            raise InvalidRequest("separator must have a character", "invalid_value", "separator")
        parts = [part.strip() for part in given.text("text").split(separator)]
        if not given.flag("keep_empty"):
            parts = [part for part in parts if part]
        parts = bounded_list(parts[: given.whole_or_none("max_parts")], "text")
        return {"texts": parts, "count": len(parts)}


class Replace(Quick):
    """Words for words."""

    name = "text.replace"
    title = "Replace in text"
    description = "Puts one text in the place of another, wherever that stands."
    category = _CATEGORY
    inputs = {
        "text": In("text", "Where."),
        "find": In("text", "What to look for, letter for letter."),
        "replace": In("text", "What to put there.", required=False, default=""),
    }
    outputs = {"text": Out("text"), "count": Out("number", "How often it was found.")}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Nothing to look for."""
        return [("find", "find must have a character")] if values.get("find") == "" else []

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        text, find, replace = given.text("text"), given.text("find"), given.text("replace")
        if not find:
            raise InvalidRequest("find must have a character", "invalid_value", "find")
        count = text.count(find)
        if len(text) + count * (len(replace) - len(find)) > MAX_TEXT:
            raise InvalidRequest(f"the result has more than {MAX_TEXT} characters", "too_large", "replace")
        return {"text": text.replace(find, replace), "count": count}


class Case(Quick):
    """Small and capital letters."""

    name = "text.case"
    title = "Change case"
    description = "Makes letters lower or upper case, capitalizes every word (title), or the first letter (sentence)."
    category = _CATEGORY
    inputs = {
        "text": In("text", "What to change."),
        "case": In("text", "How.", required=False, default="lower", schema=one_of(_CASES)),
    }
    outputs = {"text": Out("text")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        return {"text": bounded_text(_CASES[given.text("case")](given.text("text")), "text")}


class Trim(Quick):
    """Less of a text."""

    name = "text.trim"
    title = "Trim text"
    description = "Takes away spaces and line breaks at both ends, and what is longer than it may be."
    category = _CATEGORY
    inputs = {
        "text": In("text", "What to trim."),
        "max_length": In("number", "Characters; cut at a space.", required=False, schema=whole(1, MAX_TEXT)),
        "first_line": In("boolean", "Keep the first line alone.", required=False, default=False),
        "unquote": In("boolean", "Take away quotation marks around it, too.", required=False, default=False),
    }
    outputs = {"text": Out("text")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        text = given.text("text").strip()
        if given.flag("first_line"):
            text = text.partition("\n")[0].rstrip()
        if given.flag("unquote"):
            text = text.strip("\"'“”«»`").strip()
        length = given.whole_or_none("max_length")
        return {"text": text if length is None else _shortened(text, length)}


def _shortened(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    cut = text.rfind(" ", 0, length + 1)
    return text[: cut if cut > 0 else length].rstrip()


class Test(Quick):
    """A question about a text."""

    __test__ = False

    name = "text.test"
    title = "Test text"
    description = "Whether a text contains, equals, starts_with or ends_with another one."
    category = _CATEGORY
    inputs = {
        "text": In("text", "The text."),
        "test": In("text", "The question.", required=False, default="contains", schema=one_of(_TESTS)),
        "other": In("text", "The other one."),
        "ignore_case": In("boolean", "Take small and capital letters as the same.", required=False, default=True),
    }
    outputs = {"result": Out("boolean")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        text, other = given.text("text"), given.text("other")
        if given.flag("ignore_case"):
            text, other = text.casefold(), other.casefold()
        return {"result": _TESTS[given.text("test")](text, other)}


class Length(Quick):
    """How much there is of a text."""

    name = "text.length"
    title = "Length of text"
    description = "Counts characters, words and lines."
    category = _CATEGORY
    inputs = {"text": In("text", "What to count.")}
    outputs = {"characters": Out("number"), "words": Out("number"), "lines": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        text = Given(self, values).text("text")
        return {"characters": len(text), "words": len(text.split()), "lines": len(text.splitlines())}
