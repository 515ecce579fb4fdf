"""The inputs of a card: the family's input class, narrowed by what the card says. Never widened.

The family's classes are the allow-list; a card may lower a maximum, raise a minimum, list the values it takes, demand
what the family leaves open, and choose defaults within what is left.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError, create_model, model_validator

from serve.catalog.example_outputs import output_problems
from serve.catalog.narrowing import Narrowing, refusal
from serve.domain import validation
from serve.domain.chat import ChatInput, CompletionInput, EmbeddingInput
from serve.domain.documents import DiffusionEngine, InputOverride, ModelDocument
from serve.domain.images import ASSET_SCHEME, ImageToImageInput, TextToImageInput
from serve.domain.task import Task

FAMILY_INPUTS: dict[Task, type[BaseModel]] = {
    Task.CHAT: ChatInput,
    Task.COMPLETION: CompletionInput,
    Task.EMBEDDING: EmbeddingInput,
    Task.TEXT_TO_IMAGE: TextToImageInput,
    Task.IMAGE_TO_IMAGE: ImageToImageInput,
}
_SIZE = ("width", "height")
_ANY_PICTURE = ASSET_SCHEME + "any"
PLAIN_INPUTS: dict[Task, dict[str, Any]] = {
    Task.TEXT_TO_IMAGE: {"prompt": ""},
    Task.IMAGE_TO_IMAGE: {"prompt": "", "image": _ANY_PICTURE, "mask": _ANY_PICTURE},
}
"""A call that leaves the rest to the defaults: it shows whether a card's defaults go together."""


def overrides(document: ModelDocument, task: Task) -> dict[str, InputOverride]:
    """What the card says about the inputs of `task`, and what the engine's context length implies."""
    known = FAMILY_INPUTS[task].model_fields
    chosen = {name: o for name, o in document.spec.card.inputs.items() if name in known}
    if task is Task.IMAGE_TO_IMAGE:
        chosen |= {name: without_default(chosen[name]) for name in _SIZE if name in chosen}
    limit = getattr(document.spec.engine, "max_model_len", None)
    if limit is not None and "max_tokens" in known:
        own = chosen.get("max_tokens", InputOverride())
        if own.maximum is None or own.maximum > limit:
            chosen["max_tokens"] = own.model_copy(update={"maximum": float(limit)})
    return chosen


def without_default(override: InputOverride) -> InputOverride:
    """A default size is for pictures from words: one that starts from a picture has that picture's."""
    return InputOverride.model_validate(override.model_dump(exclude_unset=True, exclude={"default"}))


def input_model(document: ModelDocument, task: Task) -> type[BaseModel]:
    """The family's class for `task`, narrowed by the card. The card must be free of `card_problems`."""
    family = FAMILY_INPUTS[task]
    narrowed = overrides(document, task)
    laid = {name: Narrowing(name, family.model_fields[name], o) for name, o in narrowed.items()}
    fields: dict[str, Any] = {name: (n.annotation(), n.field()) for name, n in laid.items()}
    made: Any = {"__base__": family, "__doc__": family.__doc__, "__validators__": _rules(document, task)}
    return create_model(family.__name__, **made, **fields)


def _rules(document: ModelDocument, task: Task) -> dict[str, Any]:
    """What no single field can say."""
    engine = document.spec.engine
    if not isinstance(engine, DiffusionEngine) or "width" not in FAMILY_INPUTS[task].model_fields:
        return {}
    return {"_fits_the_engine": model_validator(mode="after")(_at_most(engine.max_pixels))}


def _at_most(max_pixels: int) -> Callable[[Any], Any]:
    def check(inputs: Any) -> Any:
        if inputs.width is not None and inputs.width * inputs.height > max_pixels:
            asked = f"{inputs.width} x {inputs.height}"
            raise ValueError(f"width times height is {asked}, and this model paints at most {max_pixels} pixels")
        return inputs

    return check


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
    if found:
        return found
    models = {task: input_model(document, task) for task in spec.tasks}
    return [*_default_problems(models), *_example_problems(document, models)]


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
        if bound is not None and n.exact(bound) != bound:
            yield f"{told} is a whole number for this input"
    least, above, most, below = n.bound("ge"), n.bound("gt"), n.bound("le"), n.bound("lt")
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
        if told := refusal(unlisted.annotation(), value):
            yield f"enum: {value!r} {told}"
    if n.override.enum == []:
        yield "enum lists no value"
    chosen = "default" in n.override.model_fields_set
    if n.is_required:
        if chosen:
            yield "this input is required, and takes no default"
        return
    default = n.override.default if chosen else n.before.default
    if told := refusal(n.annotation(), default):
        yield f"default: {default!r} {told}" + ("" if chosen else "; set a default that is allowed")


def _default_problems(models: Mapping[Task, type[BaseModel]]) -> Iterator[tuple[validation.Path, str]]:
    """Defaults that are good each by itself may contradict one another: then every plain call would be refused."""
    for task, plain in PLAIN_INPUTS.items():
        if task not in models:
            continue
        try:
            models[task].model_validate(plain)
        except ValidationError as error:
            for problem in validation.problems(error, plain):
                if problem.code != "missing_field":
                    yield ("spec", "card", "inputs"), f"the defaults for {task}: {problem.sentence()}"


def _example_problems(
    document: ModelDocument, models: Mapping[Task, type[BaseModel]]
) -> Iterator[tuple[validation.Path, str]]:
    """An example is `{title, task, input, output}`; its input must be one that the model takes."""
    tasks = document.spec.tasks
    for index, example in enumerate(document.spec.card.examples):
        path: validation.Path = ("spec", "card", "examples", index)
        if "output" in example:
            yield from output_problems(example["output"], path)
        task = example.get("task", tasks[0])
        if task not in tasks or not isinstance(example.get("input"), dict):
            yield path, "an example has an input, and a task of this model (its first one by default)"
            continue
        try:
            models[Task(task)].model_validate(example["input"])
        except ValidationError as error:
            for problem in validation.problems(error, example["input"]):
                yield (*path, "input", *problem.path), problem.says
