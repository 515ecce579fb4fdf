"""Every node type there is, as plain JSON: what a palette lists, and forms and connections are made from.

A model that does several tasks is an entry for each. A port says its type, its words, whether it is needed, and in
`schema` the values it takes and how they are entered (`x-ui`); `list[T]` and `T` stand for any type, the same one
wherever an operation says T.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serve.domain.port_types import Kind, PortType, parse_type
from serve.domain.task import Task
from serve.domain.workflow import NodePrefix
from serve.workflow.facts import Known, ModelFacts, PublishedWorkflow
from serve.workflow.graph import Graph, Port
from serve.workflow.interface import input_schema
from serve.workflow.operation import In, Operation, Out
from serve.workflow.ports.model_calls import OUTPUT_WORDS, outputs_of
from serve.workflow.ports.model_ports import MODEL_PORT, ports_of, task_ports
from serve.workflow.ports.port_words import titled, widget_of
from serve.workflow.schemas import schema_of

JsonObject = dict[str, Any]
TASK_TITLES: dict[Task, str] = {
    Task.CHAT: "Chat",
    Task.COMPLETION: "Completion",
    Task.EMBEDDING: "Embedding",
    Task.TEXT_TO_IMAGE: "Text to image",
    Task.IMAGE_TO_IMAGE: "Image to image",
}
_GENERIC = {"T": "any", "list[T]": "list"}
_WORKFLOWS = "Workflows"


@dataclass(frozen=True, slots=True)
class Words:
    """What a palette says of a model."""

    title: str
    description: str = ""
    tags: tuple[str, ...] = ()


def node_types(
    known: Known,
    operations: Mapping[str, Operation],
    words: Mapping[str, Words] | None = None,
    graphs: Mapping[str, Graph] | None = None,
) -> list[JsonObject]:
    """All of them: models, tasks, operations, workflows. `words` are those of models by name; `graphs` are compiled
    workflows by what a node type writes after `workflow:`, whose inputs then show the bounds of what they go to."""
    told, compiled = words or {}, graphs or {}
    models = sorted(known.models.values(), key=lambda facts: facts.name)
    return [
        *(_model(facts, task, told.get(facts.name, Words(facts.name))) for facts in models for task in facts.tasks),
        *_tasks(models),
        *(_operation(operations[name]) for name in sorted(operations, key=lambda one: _place(operations[one]))),
        *(_workflow(named, one, compiled.get(named)) for named, one in sorted(known.workflows.items())),
    ]


def _place(operation: Operation) -> tuple[str, str]:
    return operation.category, operation.title


def _model(facts: ModelFacts, task: Task, words: Words) -> JsonObject:
    return {
        "type": f"{NodePrefix.MODEL}:{facts.name}",
        "task": str(task),
        "title": words.title,
        "description": words.description,
        "category": TASK_TITLES[task],
        "tags": list(words.tags),
        "digest": facts.digest,
        "inputs": [_port(name, port) for name, port in ports_of(facts, task).items()],
        "outputs": _task_outputs(task),
    }


def _tasks(models: list[ModelFacts]) -> Iterator[JsonObject]:
    for task in Task:
        able = [facts.name for facts in models if task in facts.tasks]
        if not able:
            continue
        inputs = [_port(name, port) for name, port in task_ports(task).items()]
        choice = next(one for one in inputs if one["name"] == MODEL_PORT)
        choice["schema"] = choice["schema"] | {"enum": able}
        yield {
            "type": f"{NodePrefix.TASK}:{task}",
            "task": str(task),
            "title": f"{TASK_TITLES[task]} (any model)",
            "description": "Leaves open which model does it: the input `model` names one.",
            "category": TASK_TITLES[task],
            "tags": [],
            "inputs": inputs,
            "outputs": _task_outputs(task),
        }


def _operation(operation: Operation) -> JsonObject:
    return {
        "type": f"{NodePrefix.OPERATION}:{operation.name}",
        "title": operation.title,
        "description": operation.description,
        "category": operation.category,
        "tags": [],
        "version": operation.version,
        "inputs": [_operation_input(name, one, index) for index, (name, one) in enumerate(operation.inputs.items())],
        "outputs": [_operation_output(name, one) for name, one in operation.outputs.items()],
    }


def _workflow(named: str, one: PublishedWorkflow, graph: Graph | None) -> JsonObject:
    spec = one.spec
    inputs = graph or spec.interface.inputs
    properties = input_schema(inputs)["properties"]
    types = graph.output_types if graph else {}
    return {
        "type": f"{NodePrefix.WORKFLOW}:{named}",
        "title": spec.title or one.name,
        "description": spec.description,
        "category": _WORKFLOWS,
        "tags": list(spec.tags),
        "version": one.version,
        "inputs": [
            _input(own.name, own.type, properties[own.name], required=own.is_required, default=own.default)
            for own in spec.interface.inputs
        ],
        "outputs": [
            _output(own.name, str(types[own.name]) if own.name in types else None, own.title, own.description)
            for own in spec.interface.outputs
        ],
    }


def _port(name: str, port: Port) -> JsonObject:
    return _input(name, str(port.type), port.schema, required=port.is_required, default=port.default)


def _input(
    name: str,
    type_text: str,
    schema: Mapping[str, Any],
    *,
    required: bool,
    default: Any,
    is_lazy: bool = False,
    is_many: bool = False,
) -> JsonObject:
    look = schema.get("x-ui", {})
    return {
        "name": name,
        "type": type_text,
        "title": schema.get("title") or titled(name),
        "description": schema.get("description", ""),
        "required": required,
        "default": default,
        "advanced": look.get("advanced", False),
        "lazy": is_lazy,
        "many": is_many,
        "schema": dict(schema),
    }


def _operation_input(name: str, one: In, index: int) -> JsonObject:
    port_type = None if one.type in _GENERIC else parse_type(one.type)
    own = schema_of(port_type) if port_type else _generic_schema(one.type)
    schema: JsonObject = own | dict(one.schema)
    widget = widget_of(port_type, schema) if port_type else _GENERIC[one.type]
    schema.setdefault("title", _own_title(name))
    schema.setdefault("description", one.description)
    shown = {"widget": widget, "group": "", "order": index, "advanced": False}
    schema["x-ui"] = shown | dict(schema.get("x-ui", {}))
    if one.default is not None:
        schema.setdefault("default", one.default)
    is_required = one.required and one.default is None
    return _input(name, one.type, schema, required=is_required, default=one.default, is_lazy=one.lazy, is_many=one.many)


def _own_title(name: str) -> str:
    """Of an operation's input: words that models are asked with are not meant here."""
    return name.replace("_", " ").capitalize()


def _generic_schema(type_text: str) -> JsonObject:
    return schema_of(PortType(Kind.JSON, True)) if type_text == "list[T]" else {}


def _task_outputs(task: Task) -> list[JsonObject]:
    types = outputs_of(task)
    return [_output(name, str(port_type), "", OUTPUT_WORDS.get(name, "")) for name, port_type in types.items()]


def _operation_output(name: str, one: Out) -> JsonObject:
    return _output(name, one.type, "", one.description)


def _output(name: str, type_text: str | None, title: str, description: str) -> JsonObject:
    """`type` is None where it is known only when the workflow is compiled."""
    return {"name": name, "type": type_text, "title": title or _own_title(name), "description": description}
