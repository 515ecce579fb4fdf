"""`key=value` words of a command line, typed by a model's JSON Schema.

A field that takes text takes the value as it stands. Any other takes JSON: `max_tokens=64`, `stop='["\\n"]'`. Where a
field takes both, JSON arrays and objects of the right shape are taken as such, and everything else is text. `key=@file`
takes the file's text, `key=@-` stdin's, `key=@@x` the text "@x". For a field that takes a picture, the file itself is
uploaded, and the field is given its address.
"""

import difflib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from serve.cli.exits import CliError, ExitCode

Schema = Mapping[str, Any]

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_WITH_ARTICLE = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
    "null": "null",
}
_PICTURES = ("image", "mask")
_PICTURE_SOURCES = ("@", "asset:", "data:", "http://", "https://")
_MAX_REFERENCES = 32
"""Schemas may refer in circles; no sensible one is deeper."""
_MAX_TELLING_BOUND = 2**53


def read_text(name: str) -> str:
    """The text of a file, or of stdin for `-`. Raises CliError (usage)."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CliError(f"Cannot read {name}: {error}", ExitCode.USAGE) from error


def parse_inputs(
    words: Sequence[str],
    schema: Schema,
    read: Callable[[str], str] = read_text,
    upload: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """The inputs that `words` give; `upload` turns a picture's file into what its field takes.

    Raises CliError (usage) for a word, a name or a value that does not fit.
    """
    inputs: dict[str, Any] = {}
    for word in words:
        name, given, text = word.partition("=")
        if not given or not name:
            raise CliError(f"Inputs read name=value: {word!r}", ExitCode.USAGE)
        if name in inputs:
            raise CliError(f"{name} is given twice.", ExitCode.USAGE)
        field = field_of(schema, name)
        is_picture = upload is not None and takes_picture(field, schema)
        if is_picture:
            _check_picture(name, text)
        contents = _contents(text, upload if is_picture and upload else read)
        inputs[name] = typed(name, contents, field, schema)
    return inputs


def parse_adapters(words: Sequence[str]) -> list[dict[str, Any]]:
    """A call's adapters from `NAME` and `NAME=SCALE`. Raises CliError (usage)."""
    return [_adapter(word) for word in words]


def _adapter(word: str) -> dict[str, Any]:
    name, given, text = word.partition("=")
    try:
        scale = float(text) if given else 0.0
    except ValueError:
        scale = math.nan
    if not name or not math.isfinite(scale):
        raise CliError(f"--adapter reads NAME or NAME=SCALE, as stripes=0.8: {word[:80]!r}", ExitCode.USAGE)
    return {"name": name, "scale": scale} if given else {"name": name}


def names_of(words: Sequence[str]) -> set[str]:
    """The names of the inputs that `words` give."""
    return {word.partition("=")[0] for word in words}


def takes_picture(field: Schema, root: Schema) -> bool:
    """Whether the field's text stands for a picture."""
    return any(option.get("format") in _PICTURES for option in alternatives(field, root))


def _check_picture(name: str, text: str) -> None:
    if not text.startswith(_PICTURE_SOURCES):
        raise CliError(
            f"{name} takes a picture: {name}=@file.png, {name}=asset:<id> or {name}=https://...", ExitCode.USAGE
        )


def _contents(text: str, read: Callable[[str], str]) -> str:
    if text.startswith("@@"):
        return text[1:]
    return read(text[1:]) if text.startswith("@") else text


def field_of(schema: Schema, name: str) -> Schema:
    """The schema of the input `name`. Raises CliError (usage) that says what there is."""
    fields: Mapping[str, Schema] = schema.get("properties") or {}
    if name in fields:
        return fields[name]
    if schema.get("additionalProperties", False) is not False:
        return {}
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise CliError(f"The model has no input {name!r}. {hint}", ExitCode.USAGE, f"It takes: {', '.join(fields)}")


def typed(name: str, text: str, field: Schema, root: Schema) -> Any:
    """`text` as a value that `field` takes. Bounds are the platform's to check. Raises CliError (usage)."""
    options = list(alternatives(field, root))
    for value in (value for option in options for value in option.get("enum", [option.get("const")])):
        if value is not None and text == spelled(value):
            return value
    types = [kind for option in options for kind in kinds(option)]
    value, is_json = _json(text)
    if "string" in types or not types:
        # Free text wins over scalars: `seed=5` has no text option, `prompt=5` means the text "5".
        structured = is_json and _fits(value, [kind for kind in types if kind in ("array", "object")])
        return value if structured else text
    if is_json and _fits(value, types):
        return value
    wanted = " or ".join(dict.fromkeys(_WITH_ARTICLE[kind] for kind in types if kind != "null"))
    raise CliError(f"{name} takes {wanted or 'null'}: {text[:80]!r}", ExitCode.USAGE)


def spelled(value: Any) -> str:
    """How `value` is written on a command line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(text: str) -> tuple[Any, bool]:
    try:
        return json.loads(text, parse_constant=_refuse_constant), True
    except (ValueError, RecursionError):
        return None, False


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _fits(value: Any, types: Sequence[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, _PYTHON_TYPES[kind]) for kind in types if kind != "boolean" and kind in _PYTHON_TYPES)


def alternatives(field: Schema, root: Schema, depth: int = 0) -> Iterator[Schema]:
    """The plain schemas that `field` stands for: references followed, unions opened."""
    if depth > _MAX_REFERENCES:
        return
    reference = field.get("$ref")
    if isinstance(reference, str):
        name = reference.rsplit("/", 1)[1]
        yield from alternatives((root.get("$defs") or {}).get(name, {}), root, depth + 1)
        return
    inner = [part for union in ("anyOf", "oneOf", "allOf") for part in field.get(union) or ()]
    if not inner:
        yield field
    for part in inner:
        yield from alternatives(part, root, depth + 1)


def kinds(option: Schema) -> list[str]:
    """The JSON types that a plain schema takes."""
    declared = option.get("type")
    if declared is not None:
        return [declared] if isinstance(declared, str) else list(declared)
    values = option.get("enum", [option["const"]] if "const" in option else [])
    found = [kind for kind, types in _PYTHON_TYPES.items() if any(type(value) in types for value in values)]
    return found + (["string"] if any(isinstance(value, str) for value in values) else [])


def type_label(field: Schema, root: Schema) -> str:
    """What `field` takes, for people: `number 0..2`, `low | high`, `string | array`."""
    labels = [_label(option) for option in alternatives(field, root)]
    return " | ".join(dict.fromkeys(label for label in labels if label and label != "null")) or "any"


def _label(option: Schema) -> str:
    values = option.get("enum", [option["const"]] if "const" in option else [])
    if values:
        return " | ".join(spelled(value) for value in values)
    low = _bound(option.get("minimum", option.get("exclusiveMinimum")))
    high = _bound(option.get("maximum", option.get("exclusiveMaximum")))
    return " | ".join(kinds(option)) + (f" {low}..{high}" if low or high else "")


def _bound(value: float | None) -> str:
    """A bound that tells a person something: that of a machine word does not."""
    return "" if value is None or abs(value) >= _MAX_TELLING_BOUND else f"{value:.15g}"
