"""A card: what users see of a model, and the one schema that its requests are checked against."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from serve.catalog.inputs import card_problems, input_model
from serve.domain import validation
from serve.domain.documents import ModelDocument
from serve.domain.errors import InvalidRequest
from serve.domain.task import Task


@dataclass(frozen=True, slots=True)
class CardRecord:
    """What the catalog remembers of a model beside its document. Times are Unix milliseconds."""

    generation: int
    managed_by: str
    created_ms: int
    updated_ms: int
    weights_digest: str | None
    cold_start_seconds: float | None


class Card:
    """A model document and the input classes made from it. Classes are made once per task, on first use."""

    def __init__(self, document: ModelDocument, digest: str, record: CardRecord | None = None) -> None:
        """`digest` is the document's; `record` is there for what came out of the catalog.

        Raises:
            InvalidRequest: `invalid_card`: every override and example that the model's family does not allow.
        """
        if wrong := card_problems(document):
            told = "\n".join(f"{'.'.join(map(str, path))}: {says}" for path, says in wrong)
            raise InvalidRequest(told, "invalid_card", ".".join(map(str, wrong[0][0])))
        self.document = document
        self.digest = digest
        self.record = record
        self._models: dict[Task, type[BaseModel]] = {}
        self._schemas: dict[Task, dict[str, Any]] = {}

    def with_record(self, record: CardRecord) -> "Card":
        """The same card with another record; the classes made so far are shared."""
        card = copy.copy(self)
        card.record = record
        return card

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def tasks(self) -> list[Task]:
        return self.document.spec.tasks

    def input_model(self, task: Task) -> type[BaseModel]:
        """The class of this model's inputs for `task`.

        Raises:
            InvalidRequest: `unsupported_task`.
        """
        model = self._models.get(task)
        if model is None:
            if task not in self.tasks:
                raise InvalidRequest(
                    f"{self.name} does not do {task}; it does {', '.join(self.tasks)}", "unsupported_task", "task"
                )
            model = self._models[task] = input_model(self.document, task)
        return model

    def input_schema(self, task: Task) -> dict[str, Any]:
        """The same class as JSON Schema; callers must not change it."""
        if task not in self._schemas:
            self._schemas[task] = with_enums_inline(self.input_model(task).model_json_schema())
        return self._schemas[task]

    def validate(self, task: Task, value: Mapping[str, Any] | bytes) -> BaseModel:
        """The inputs that `value` holds, with defaults filled in.

        Raises:
            InvalidRequest: missing_field, unknown_field, invalid_type, out_of_range, invalid_value, invalid_json or
                unsupported_task, with the path of the field.
        """
        model = self.input_model(task)
        parsed = validation.parse_json(value) if isinstance(value, bytes) else dict(value)
        try:
            return model.model_validate(parsed)
        except ValidationError as error:
            raise validation.invalid_request(error, parsed, model.model_fields) from None


def with_enums_inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose properties list their values themselves: forms are made from it, and do not follow references."""
    defined = schema.get("$defs", {})
    plain = {f"#/$defs/{name}": body for name, body in defined.items() if "enum" in body}
    properties = {name: _inline(prop, plain) for name, prop in schema.get("properties", {}).items()}
    kept = {name: body for name, body in defined.items() if "enum" not in body}
    return (
        {k: v for k, v in schema.items() if k != "$defs"}
        | {"properties": properties}
        | ({"$defs": kept} if kept else {})
    )


def _inline(prop: dict[str, Any], plain: dict[str, dict[str, Any]]) -> dict[str, Any]:
    body = plain.get(prop.get("$ref", ""))
    if body is None:
        return prop
    return {"type": body["type"], "enum": body["enum"]} | {k: v for k, v in prop.items() if k != "$ref"}
