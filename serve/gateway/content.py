"""Whether a model takes the kinds of content that a request holds; asked before anything is queued."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest
from serve.domain.modality import Modality

_PARTS = {"image_url": Modality.IMAGE, "input_audio": Modality.AUDIO}


def check_content(card: Card, inputs: Mapping[str, Any]) -> None:
    """Raises InvalidRequest (`unsupported_modality`) with the path of the first part that the model cannot take."""
    taken = card.document.spec.input_modalities
    for path, kind in _parts(inputs.get("messages", ())):
        modality = _PARTS.get(kind)
        if modality is not None and modality not in taken:
            raise InvalidRequest(
                f"The model {card.name!r} takes {', '.join(taken)}; this part is {modality.value}.",
                "unsupported_modality",
                path,
            )


def _parts(messages: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(path, type) of the parts of messages whose content is a list; most are plain strings."""
    for i, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            for j, part in enumerate(content):
                yield f"messages.{i}.content.{j}", part["type"]
