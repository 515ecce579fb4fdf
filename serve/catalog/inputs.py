"""The inputs of a card: the family's input class, narrowed by what the card says. Never widened.

The family's classes are the allow-list; a card may lower a maximum, raise a minimum, list the values it takes, and
choose defaults within what is left.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from serve.domain import validation
from serve.domain.chat import ChatInput, CompletionInput, EmbeddingInput
from serve.domain.documents import InputOverride, ModelDocument
from serve.domain.task import Task

FAMILY_INPUTS: dict[Task, type[BaseModel]] = {
    Task.CHAT: ChatInput,
    Task.COMPLETION: CompletionInput,
    Task.EMBEDDING: EmbeddingInput,
}


@dataclass(frozen=True, slots=True)
class Narrowing:
    """An override that is about to be laid over one field, and what the field was before."""

    name: str
    before: FieldInfo
    override: InputOverride

    @property
    def is_numeric(self) -> bool:
        return bool({int, float} & set(self._types()))

    def _types(self) -> tuple[Any, ...]:
        return get_args(self.before.annotation) or (self.before.annotation,)

    def bound(self, *kinds: type[Ge | Gt | Le | Lt]) -> float | None:
        """The family's own bound of one of these kinds."""
        for constraint in self.before.metadata:
            if isinstance(constraint, kinds):
                return float(next(getattr(constraint, k) for k in ("ge", "gt", "le", "lt") if hasattr(constraint, k)))
        return None

    def annotation(self) -> Any:
        """The field's type with the tighter constraints in place of the family's."""
        override = self.override
        dropped: list[type[Ge | Le]] = []
        added: list[Ge | Le] = []
        if override.minimum is not None:
            dropped.append(Ge)
            added.append(Ge(self._exact(override.minimum)))
        if override.maximum is not None:
            dropped.append(Le)
            added.append(Le(self._exact(override.maximum)))
        kept = [c for c in self.before.metadata if not isinstance(c, tuple(dropped))]
        listed = [AfterValidator(one_of(override.enum))] if override.enum is not None else []
        return Annotated[self.before.annotation, *kept, *added, *listed]

    def _exact(self, bound: float) -> float:
        return int(bound) if int in self._types() and float not in self._types() else bound

    def field(self) -> Any:
        """Default and description, the override's before the family's."""
        override, before = self.override, self.before
        default = override.default if "default" in override.model_fields_set else before.default
        extra: dict[str, Any] | None = {"enum": override.enum} if override.enum is not None else None
        return Field(default=default, description=override.description or before.description, json_schema_extra=extra)


def one_of(values: list[Any]) -> Callable[[Any], Any]:
    """A validator that takes these values, and null where the field does."""
    told = ", ".join(map(repr, values))

    def check(value: Any) -> Any:
        if value is not None and value not in values:
            raise PydanticCustomError("literal_error", "must be one of {expected}", {"expected": f"one of {told}"})
        return value

    return check


def overrides(document: ModelDocument, task: Task) -> dict[str, InputOverride]:
    """What the card says about the inputs of `task`, and what the engine's context length implies."""
    known = FAMILY_INPUTS[task].model_fields
    chosen = {name: o for name, o in document.spec.card.inputs.items() if name in known}
    limit = document.spec.engine.max_model_len
    if limit is not None and "max_tokens" in known:
        own = chosen.get("max_tokens", InputOverride())
        if own.maximum is None or own.maximum > limit:
            chosen["max_tokens"] = own.model_copy(update={"maximum": float(limit)})
    return chosen


def input_model(document: ModelDocument, task: Task) -> type[BaseModel]:
    """The family's class for `task`, narrowed by the card. The card must be free of `card_problems`."""
    family = FAMILY_INPUTS[task]
    narrowed = overrides(document, task)
    laid = {name: Narrowing(name, family.model_fields[name], o) for name, o in narrowed.items()}
    fields: dict[str, Any] = {name: (n.annotation(), n.field()) for name, n in laid.items()}
    return create_model(family.__name__, __base__=family, __doc__=family.__doc__, **fields)


def card_problems(document: ModelDocument) -> list[tuple[validation.Path, str]]:
    """(field path in the document, sentence) for everything in the card that cannot be."""
    spec = document.spec
    found: list[tuple[validation.Path, str]] = []
    for name, override in spec.card.inputs.items():
        tasks = [task for task in spec.tasks if name in FAMILY_INPUTS[task].model_fields]
        told = dict.fromkeys(p for task in tasks for p in _override_problems(document, task, name, override))
        path: validation.Path = ("spec", "card", "inputs", name)
        found += [(path, sentence) for sentence in told]
        if not tasks:
            known = sorted({f for task in spec.tasks for f in FAMILY_INPUTS[task].model_fields})
            found.append((path, f"no task of this model has this input; there are {', '.join(known)}"))
    return found or list(_example_problems(document))


def _override_problems(document: ModelDocument, task: Task, name: str, own: InputOverride) -> Iterator[str]:
    before = FAMILY_INPUTS[task].model_fields[name]
    wrong = list(_bound_problems(Narrowing(name, before, own)))
    yield from wrong
    if not wrong:
        yield from _value_problems(Narrowing(name, before, overrides(document, task)[name]))


def _bound_problems(n: Narrowing) -> Iterator[str]:
    low, high = n.override.minimum, n.override.maximum
    if (low is not None or high is not None) and not n.is_numeric:
        yield "minimum and maximum are for numbers, and this input is none"
        return
    for told, bound in (("minimum", low), ("maximum", high)):
        if bound is not None and n._exact(bound) != bound:
            yield f"{told} is a whole number for this input"
    least, above, most, below = n.bound(Ge), n.bound(Gt), n.bound(Le), n.bound(Lt)
    widens = "widens what the family allows"
    if low is not None and least is not None and low < least:
        yield f"minimum {low:g} {widens}, at least {least:g}"
    if low is not None and above is not None and low <= above:
        yield f"minimum {low:g} {widens}, more than {above:g}"
    if high is not None and most is not None and high > most:
        yield f"maximum {high:g} {widens}, at most {most:g}"
    if high is not None and below is not None and high >= below:
        yield f"maximum {high:g} {widens}, less than {below:g}"
    if low is not None and high is not None and low > high:
        yield f"minimum {low:g} is more than maximum {high:g}"


def _value_problems(n: Narrowing) -> Iterator[str]:
    """Whether the listed values fit the bounds, and the default fits both."""
    unlisted = Narrowing(n.name, n.before, n.override.model_copy(update={"enum": None}))
    for value in n.override.enum or ():
        if told := _refusal(unlisted.annotation(), value):
            yield f"enum: {value!r} {told}"
    if n.override.enum == []:
        yield "enum lists no value"
    chosen = "default" in n.override.model_fields_set
    if n.before.is_required():
        if chosen:
            yield "this input is required, and takes no default"
        return
    default = n.override.default if chosen else n.before.default
    if told := _refusal(n.annotation(), default):
        yield f"default: {default!r} {told}" + ("" if chosen else "; set a default that is allowed")


def _refusal(annotation: Any, value: Any) -> str | None:
    """What is wrong with `value`, or None."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        return validation.problems(error, value)[0].says
    return None


def _example_problems(document: ModelDocument) -> Iterator[tuple[validation.Path, str]]:
    """An example is `{title, task, input}`; its input must be one that the model takes."""
    tasks = document.spec.tasks
    for index, example in enumerate(document.spec.card.examples):
        path: validation.Path = ("spec", "card", "examples", index)
        task = example.get("task", tasks[0])
        if task not in tasks or not isinstance(example.get("input"), dict):
            yield path, "an example has an input, and a task of this model (its first one by default)"
            continue
        try:
            input_model(document, Task(task)).model_validate(example["input"])
        except ValidationError as error:
            for problem in validation.problems(error, example["input"]):
                yield (*path, "input", *problem.path), problem.says
