"""Allow-lists of models: `name` lets a model pass alone, `name:*` alone and with any adapters. None lets all pass."""

from collections.abc import Iterable, Sequence

from serve.domain.errors import InvalidRequest
from serve.domain.names import dns_label

MAX_ENTRIES = 200
WITH_ADAPTERS = ":*"


def lets_pass(models: Sequence[str] | None, model: str, with_adapters: bool = False) -> bool:
    """Whether the list lets a call of `model` pass."""
    return models is None or model + WITH_ADAPTERS in models or (not with_adapters and model in models)


def excess(models: Sequence[str] | None, most: Sequence[str] | None) -> list[str]:
    """What `models` lets pass and `most` does not, as entries; `*` where it is every model."""
    if most is None:
        return []
    if models is None:
        return ["*"]
    return [entry for entry in models if not lets_pass(most, *_parts(entry))]


def valid_models(models: Iterable[str] | None) -> tuple[str, ...] | None:
    """The entries, each once, in order. Raises InvalidRequest about `models`. Models may come later than their keys."""
    if models is None:
        return None
    found = tuple(sorted(set(models)))
    if not 0 < len(found) <= MAX_ENTRIES:
        raise InvalidRequest(f"models lists 1 to {MAX_ENTRIES} models; leave it out for all of them.", param="models")
    for entry in found:
        try:
            dns_label(_parts(entry)[0])
        except ValueError:
            raise InvalidRequest(
                f"models lists a model's name, or its name and {WITH_ADAPTERS} for it with adapters: {entry[:80]!r}",
                param="models",
            ) from None
    return found


def _parts(entry: str) -> tuple[str, bool]:
    name = entry.removesuffix(WITH_ADAPTERS)
    return name, name != entry
