"""What flows between the nodes of a workflow: the types of ports, and which may be joined to which.

A type is written `image`, or `list[image]`. Values are plain: str, int or float, bool, JSON, `Asset` for pictures,
masks, sound and films, a list of floats for an embedding, `AdapterUse` for an adapter, a model's name for a model;
a Python list for a list of any of them, and None where an optional port was given nothing.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator


class Kind(StrEnum):
    """The type of a single value."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    IMAGE = "image"
    MASK = "mask"
    """A picture of one channel: white is where something happens."""
    AUDIO = "audio"
    VIDEO = "video"
    JSON = "json"
    EMBEDDING = "embedding"
    ADAPTER = "adapter"
    MODEL = "model"
    """The name of a served model."""

    @property
    def is_media(self) -> bool:
        """Whether its values are assets."""
        return self in _MEDIA

    @property
    def is_static(self) -> bool:
        """Whether its values are known when a run is accepted: written down, or inputs of the workflow; never computed.
        What a run may cost, and whose adapters it may use, is decided then."""
        return self in (Kind.ADAPTER, Kind.MODEL)


_MEDIA = frozenset({Kind.IMAGE, Kind.MASK, Kind.AUDIO, Kind.VIDEO})
_TYPE = re.compile(r"(?:list\[(?P<item>[a-z]+)\]|(?P<single>[a-z]+))")
_WIDENS: dict[Kind, frozenset[Kind]] = {
    Kind.NUMBER: frozenset({Kind.TEXT, Kind.JSON}),
    Kind.BOOLEAN: frozenset({Kind.TEXT, Kind.JSON}),
    Kind.TEXT: frozenset({Kind.JSON}),
    Kind.EMBEDDING: frozenset({Kind.JSON}),
    Kind.MASK: frozenset({Kind.IMAGE}),
}
"""What a value may be given for besides its own type; nothing is lost or guessed in any of these."""


@dataclass(frozen=True, slots=True)
class PortType:
    """A kind, or a list of it."""

    kind: Kind
    is_list: bool = False

    def __str__(self) -> str:
        return f"list[{self.kind}]" if self.is_list else str(self.kind)

    @property
    def listed(self) -> "PortType":
        """A list of these. Raises ValueError of a list: lists do not nest."""
        if self.is_list:
            raise ValueError(f"lists do not nest: there is no list of {self}")
        return PortType(self.kind, True)

    @property
    def item(self) -> "PortType":
        """What is in the list. Raises ValueError of what is none."""
        if not self.is_list:
            raise ValueError(f"{self} is no list")
        return PortType(self.kind)

    def fits(self, wanted: "PortType") -> bool:
        """Whether a value of this type may be given where `wanted` is asked for."""
        if wanted == PortType(Kind.JSON):
            return self.kind is Kind.JSON or Kind.JSON in _WIDENS.get(self.kind, ())
        return self.is_list == wanted.is_list and (
            self.kind is wanted.kind or wanted.kind in _WIDENS.get(self.kind, ())
        )


def parse_type(text: str) -> PortType:
    """The type that `text` writes. Raises ValueError with a sentence that lists the kinds."""
    found = _TYPE.fullmatch(text)
    word = (found["item"] or found["single"]) if found else ""
    if found is None or word not in set(Kind):
        raise ValueError(f"a type is one of {', '.join(Kind)}, or list[...] of one: {text[:80]!r}")
    return PortType(Kind(word), found["item"] is not None)


def _type_text(text: str) -> str:
    return str(parse_type(text))


TypeText = Annotated[str, AfterValidator(_type_text)]
"""A type as documents write it."""
