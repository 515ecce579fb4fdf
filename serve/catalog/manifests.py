"""YAML text -> typed documents, or every problem at once with its line.

YAML here is what a manifest needs: the core types, string keys, aliases within bounds. Tags, merge keys and repeated
keys are refused: each is a way for two readers to read two documents.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml
from pydantic import ValidationError

from serve.catalog.inputs import card_problems
from serve.domain import validation
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import InvalidRequest
from serve.domain.kinds import KINDS, AnyDocument
from serve.domain.validation import Path

MAX_TEXT_BYTES = 1 << 20
MAX_VALUES = 50_000
"""Values of one file after aliases are followed; nested aliases of a few lines can stand for billions."""
MAX_DEPTH = 64
MAX_PROBLEMS = 50

_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp")}

Lines = dict[Path, int]


def load_documents(text: str, source: str = "file.yaml") -> list[AnyDocument]:
    """The documents of `text`, in order.

    Raises:
        InvalidRequest: `invalid_document`; one line per problem, `models.yaml:12: spec.scaling.minReplicas: ...`.
    """
    reading = _Reading(source)
    documents = [d for value, lines in reading.values(text) if (d := reading.document(value, lines)) is not None]
    if not documents and not reading.problems:
        reading.problems.append(f"{source}:1: there is no document in it")
    reading.refuse()
    return documents


def document_of(value: Mapping[str, Any]) -> AnyDocument:
    """The document that `value`, parsed JSON, writes. Raises as `load_documents` does, without lines."""
    reading = _Reading("")
    document = reading.document(dict(value), {})
    reading.refuse()
    return cast("AnyDocument", document)


def read_values(text: str, source: str = "file.yaml") -> list[tuple[Any, Lines]]:
    """What the YAML documents of `text` say, whatever that is, each with the line of every path in it.

    Raises:
        InvalidRequest: `invalid_document`: it is not YAML, or more than a manifest needs.
    """
    reading = _Reading(source)
    values = list(reading.values(text))
    reading.refuse()
    return values


class _Reading:
    """One text on its way to documents, and what was found wrong so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[str] = []
        self._first_path: Path = ()
        self._seen: dict[tuple[str, str], int] = {}

    def values(self, text: str) -> Iterator[tuple[Any, Lines]]:
        """Plain values with the line of each path. A text that is not YAML ends it with a problem."""
        if len(text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
            self.problems.append(f"{self.source}: the file is larger than {MAX_TEXT_BYTES} bytes")
            return
        construction = _Construction()
        try:
            for root in yaml.compose_all(text, Loader=_Loader):
                if root is not None and root.tag != _TAG + "null":
                    lines: Lines = {}
                    yield construction.value(root, (), lines), lines
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problems.append(f"{self.source}:{mark.line + 1 if mark else 1}: {error.problem}")
        except yaml.reader.ReaderError as error:
            self.problems.append(f"{self.source}:1: a character that YAML does not allow: {error.reason}")

    def document(self, value: Any, lines: Lines) -> AnyDocument | None:
        """The document in `value`, or None with its problems noted."""
        if not isinstance(value, dict):
            self._note((), "a document is a mapping with apiVersion, kind, metadata and spec", lines)
            return None
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            self._note(("kind",), f"must be one of {', '.join(KINDS)}", lines)
            return None
        if value.get("apiVersion") != API_VERSION:
            self._note(("apiVersion",), f"must be {API_VERSION}", lines)
            return None
        try:
            document: AnyDocument = KINDS[kind].model_validate(value)
        except ValidationError as error:
            for problem in validation.problems(error, value):
                self._note(problem.path, problem.says, lines)
            return None
        return document if self._is_sound(document, lines) else None

    def _is_sound(self, document: AnyDocument, lines: Lines) -> bool:
        before = len(self.problems)
        if isinstance(document, ModelDocument):
            for path, says in card_problems(document):
                self._note(path, says, lines)
        line = lines.get((), 1)
        first = self._seen.setdefault((document.kind, document.name), line)
        if first != line:
            self._note(("metadata", "name"), f"{document.kind} {document.name} is here twice, see line {first}", lines)
        return len(self.problems) == before

    def _note(self, path: Path, says: str, lines: Lines) -> None:
        self._first_path = self._first_path or path
        where = f"{self.source}:{line_of(path, lines)}: " if self.source else ""
        told = f"{'.'.join(map(str, path))}: " if path else ""
        self.problems.append(f"{where}{told}{says}")

    def refuse(self) -> None:
        """Raise what was found, if anything was."""
        if not self.problems:
            return
        shown = self.problems[:MAX_PROBLEMS]
        if len(self.problems) > MAX_PROBLEMS:
            shown.append(f"... and {len(self.problems) - MAX_PROBLEMS} more")
        raise InvalidRequest("\n".join(shown), "invalid_document", ".".join(map(str, self._first_path)) or None)


def line_of(path: Path, lines: Lines) -> int:
    """The line of `path`, or of the nearest thing around it that is there."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """The safe loader, which cannot be nested into a stack overflow."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As the parent class does, to a depth."""
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH:
                raise yaml.composer.ComposerError(
                    problem=f"nested deeper than {MAX_DEPTH} levels",
                    problem_mark=self.get_mark(),
                )
            composed: yaml.Node | None = super().compose_node(parent, index)
            return composed
        finally:
            self.depth -= 1


class _Construction:
    """Nodes -> plain JSON values, counting what aliases stand for."""

    def __init__(self) -> None:
        self._num_values = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: Path, lines: Lines) -> Any:
        """The value of `node`; notes the line of every path under it."""
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            raise _error(node, f"the file stands for more than {MAX_VALUES} values; are its aliases nested?")
        if len(path) > MAX_DEPTH:
            raise _error(node, "an alias refers to what it is inside of")
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, lines)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index), lines) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path, lines: Lines) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.tag == _TAG + "merge":
                raise _error(key_node, "merge keys (<<) are not taken: write the fields out")
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                raise _error(key_node, "a key is a string")
            if key in made:
                raise _error(key_node, f"the key {key!r} is here twice, first at line {lines[(*path, key)]}")
            lines[(*path, key)] = key_node.start_mark.line + 1
            made[key] = self.value(value_node, (*path, key), lines)
        return made

    def _scalar(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            raise _error(node, f"the tag {node.tag} is not taken")
        if node.tag == _TAG + "timestamp":
            return node.value
        try:
            value = self._scalars.construct_object(node)
        except (ValueError, KeyError):
            raise _error(node, "not a value that can be read") from None
        if isinstance(value, float) and value - value != 0:
            raise _error(node, "not a finite number")
        return value
