"""One field of a family's inputs, narrowed by one override of a card."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticUndefined

from serve.domain import validation
from serve.domain.documents import InputOverride

Bound = Literal["ge", "gt", "le", "lt"]
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
"""As the input classes are; a field may say otherwise for itself."""


class Narrowing:
    """An override that is about to be laid over one field, and what the field was before."""

    def __init__(self, name: str, before: FieldInfo, override: InputOverride) -> None:
        self.name = name
        self.before = before
        self.override = override
        self._type, self._is_nullable, self._constraints, self._extra = _parts(before)

    @property
    def is_numeric(self) -> bool:
        return bool({int, float} & set(self._types()))

    @property
    def is_required(self) -> bool:
        return self.override.required or self.before.is_required()

    def _types(self) -> tuple[Any, ...]:
        return get_args(self._type) or (self._type,)

    def bound(self, kind: Bound) -> float | None:
        """The family's own bound of this kind."""
        return next((float(getattr(c, kind)) for c in self._constraints if hasattr(c, kind)), None)

    def exact(self, bound: float) -> float:
        """`bound` as the field counts: whole where the field is."""
        return int(bound) if int in self._types() and float not in self._types() else bound

    def annotation(self) -> Any:
        """The field's type with the tighter constraints in place of the family's."""
        override = self.override
        dropped: list[type[Ge | Le]] = []
        added: list[Ge | Le] = []
        if override.minimum is not None:
            dropped.append(Ge)
            added.append(Ge(self.exact(override.minimum)))
        if override.maximum is not None:
            dropped.append(Le)
            added.append(Le(self.exact(override.maximum)))
        kept = [c for c in self._constraints if not isinstance(c, tuple(dropped))]
        is_open = self._is_nullable and not override.required
        return Annotated[self._type | None if is_open else self._type, *kept, *added, *self._listed()]

    def _listed(self) -> list[Any]:
        values = self.override.enum
        if values is None:
            return []
        if isinstance(self._type, type) and issubclass(self._type, Enum):
            # Before the enumeration's own check, which would tell the family's values; and its schema has them too.
            return [BeforeValidator(one_of(values)), WithJsonSchema({"type": "string", "enum": values})]
        return [AfterValidator(one_of(values))]

    def field(self) -> Any:
        """Default and description, the override's before the family's."""
        override, before = self.override, self.before
        extra = dict(self._extra) | ({"enum": override.enum} if override.enum is not None else {})
        description = override.description or before.description
        return Field(default=self._default(), description=description, json_schema_extra=extra or None)

    def _default(self) -> Any:
        """The default as the field's own type: defaults are not validated when they are taken."""
        if self.is_required:
            return PydanticUndefined
        chosen = "default" in self.override.model_fields_set
        return _adapter(self.annotation()).validate_python(self.override.default if chosen else self.before.default)


def _parts(before: FieldInfo) -> tuple[Any, bool, list[Any], dict[str, Any]]:
    """(type, whether null is taken too, constraints, additions to the schema), those inside `X | None` included."""
    annotation, constraints = before.annotation, list(before.metadata)
    extra = before.json_schema_extra if isinstance(before.json_schema_extra, dict) else {}
    members = get_args(annotation)
    is_nullable = len(members) == 2 and members[1] is type(None)
    if not is_nullable:
        return annotation, False, constraints, dict(extra)
    inner = members[0]
    if get_origin(inner) is not Annotated:
        return inner, True, constraints, dict(extra)
    inner, *notes = get_args(inner)
    for note in notes:
        if isinstance(note, FieldInfo):
            constraints += note.metadata
            extra = dict(extra) | (note.json_schema_extra if isinstance(note.json_schema_extra, dict) else {})
        elif isinstance(note, StringConstraints):
            constraints.append(note)
    return inner, True, constraints, dict(extra)


def one_of(values: list[Any]) -> Callable[[Any], Any]:
    """A validator that takes these values, and null where the field does."""
    told = ", ".join(map(repr, values))

    def check(value: Any) -> Any:
        if value is not None and value not in values:
            raise PydanticCustomError("literal_error", "must be one of {expected}", {"expected": f"one of {told}"})
        return value

    return check


def refusal(annotation: Any, value: Any) -> str | None:
    """What is wrong with `value`, or None."""
    try:
        _adapter(annotation).validate_python(value)
    except ValidationError as error:
        return validation.problems(error, value)[0].says
    return None


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=_STRICT)
