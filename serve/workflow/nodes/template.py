"""`op:text.template`: words with holes in them.

    A {style} picture of {subject}, {{in braces}}

A hole is a name; what is put there is the input `value_<name>`. There is nothing else: no expressions, attributes,
formats or defaults, so a template from a stranger can do nothing but repeat what it is given.
"""

import re
from collections.abc import Mapping
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.workflow.nodes.bounds import MAX_TEXT, bounded_text
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import at_most
from serve.workflow.operation import In, Out, Quick
from serve.workflow.values import as_text

_PIECE = re.compile(r"\{\{|\}\}|\{([a-z0-9_]{1,40})\}|[{}]|[^{}]+")


def parse(template: str) -> list[tuple[str, bool]]:
    """Its pieces: (text, False), or (name of a hole, True). Raises ValueError with a sentence."""
    pieces = []
    for found in _PIECE.finditer(template):
        if (name := found[1]) is not None:
            pieces.append((name, True))
        elif found[0] in ("{", "}"):
            raise ValueError(
                f"the {found[0]} at character {found.start() + 1} is not part of a hole: a hole is a name in braces, "
                "as {subject}; braces themselves are written {{ and }}"
            )
        else:
            pieces.append((found[0][0] if found[0] in ("{{", "}}") else found[0], False))
    return pieces


class Template(Quick):
    """Fills the holes."""

    name = "text.template"
    title = "Text template"
    description = "Puts values into a text: {name} becomes the input value_name. Braces are written {{ and }}."
    category = "Text"
    inputs = {
        "template": In("text", "The text with holes, as {subject}.", schema=at_most(MAX_TEXT)),
        "value": In("json", "What goes into the hole of that name.", required=False, many=True),
    }
    outputs = {"text": Out("text")}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """A template that cannot be read."""
        template = values.get("template")
        if not isinstance(template, str):
            return []
        try:
            parse(template)
        except ValueError as error:
            return [("template", str(error))]
        return []

    def needs(self, values: Mapping[str, Any]) -> frozenset[str]:
        """One for each hole."""
        template = values.get("template")
        if not isinstance(template, str) or self.problems(values):
            return frozenset()
        return frozenset(f"value_{name}" for name, is_hole in parse(template) if is_hole)

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`. A hole whose input was given null is left empty; one without an input is an error."""
        try:
            pieces = parse(Given(self, values).text("template"))
        except ValueError as error:
            raise InvalidRequest(str(error), "invalid_expression", "template") from None
        words, room = [], MAX_TEXT
        for text, is_hole in pieces:
            words.append(_filling(values, text) if is_hole else text)
            room -= len(words[-1])
            if room < 0:
                break
        return {"text": bounded_text("".join(words), "template")}


def _filling(values: Mapping[str, Any], name: str) -> str:
    port = f"value_{name}"
    if port not in values:
        raise InvalidRequest(f"template has a hole {{{name}}}, and there is no input {port}", "missing_input", port)
    value = values[port]
    return "" if value is None else as_text(value)
