"""Whether a Model's card can be: the platform refuses one that cannot, and no replica ever gets its document."""

from collections.abc import Iterator
from functools import lru_cache

from operators.state import ObjectKey, Problem
from serve.catalog.inputs import card_problems
from serve.domain.documents import DiffusionEngine, ModelDocument


def card_checks(key: ObjectKey, model: ModelDocument) -> Iterator[Problem]:
    """One problem with everything that is wrong."""
    spec = model.spec
    is_plain = not spec.card.inputs and not spec.card.examples and not isinstance(spec.engine, DiffusionEngine)
    if not is_plain and (told := _told(model.canonical())):
        yield Problem(key, "InvalidCard", told)


@lru_cache(maxsize=4096)
def _told(canonical: bytes) -> str:
    """Milliseconds each time, in which schemas are made; a pass comes every few seconds."""
    wrong = card_problems(ModelDocument.model_validate_json(canonical))
    return " ".join(f"{'.'.join(map(str, path))}: {says}." for path, says in wrong)
