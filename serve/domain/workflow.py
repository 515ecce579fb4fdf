"""The `workflow/v1` document: nodes, what flows between them, and the interface that makes an API of them.

An input of a node is a JSON value, in which at any depth stand references:

    {"$ref": ["node", "port"]}     the output of another node
    {"$input": "name"}             an input of the workflow
    {"$literal": value}            `value` itself, where it would read as one of these

What a document means (`Meaning`) is kept apart from how it is drawn (`Layout`) and where it came from (`Provenance`):
its digest covers the meaning alone, so moving a node makes no new version and misses no cache.
"""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, model_validator

from serve.domain.documents import Document, Spec
from serve.domain.port_types import TypeText
from serve.domain.task import Task

FORMAT = "workflow/v1"
MAX_NODES = 500
"""Of one document."""
MAX_STEPS = 5000
"""Of one run: nodes, those of nested workflows and items of lists together."""
MAX_NESTING = 4
"""Workflows within workflows."""
MAX_ITEMS = 256
"""Of a list that a node is run over."""
DEFAULT_ITEMS = 16
"""The same, unless the node says otherwise: what a run may cost is reckoned with it."""
MAX_DEPTH = 16
"""Of a JSON value that runs."""
MAX_KEPT_DEPTH = 64
"""Of a JSON value that is kept: far less than where JSON readers give up, each at another depth."""
MAX_BYTES = 2**20
"""Of a document as JSON."""
MAX_PORTS = 64
"""Inputs of an interface, and outputs."""
MAX_ORIGINS = 2000
"""Nodes of a graph that a workflow was imported from."""
WORKFLOW_TEXT, RUN_TEXT = "slipway_workflow", "slipway_run"
"""The texts of a PNG file that say what made it: the document, and the run with its inputs."""

PortName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
NodeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Output = Annotated[list[str], Field(min_length=2, max_length=2)]
"""[node, port]."""


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this; it looks no further, so no value can exhaust the stack."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels <= 0 or any(is_deeper(item, levels - 1) for item in inner)


def _flat(value: Any) -> Any:
    if is_deeper(value, MAX_KEPT_DEPTH):
        raise ValueError(f"is nested more than {MAX_KEPT_DEPTH} levels deep")
    return value


KeptValue = Annotated[JsonValue, BeforeValidator(_flat)]
"""A JSON value of a document."""


class NodePrefix(StrEnum):
    """What the type of a node begins with."""

    MODEL = "model"
    """`model:<name>`: a served model."""
    TASK = "task"
    """`task:<task>`: any model that does it, named by the node's input `model`."""
    OPERATION = "op"
    """`op:<name>`: an operation of ours."""
    WORKFLOW = "workflow"
    """`workflow:<name>@<version>`: a published workflow of the same tenant; in drafts also `@<alias>`."""
    COMFY = "comfy"
    """`comfy:<class>`: a node of an imported graph that has no equivalent here. It is kept, and never runs."""


NodeType = Annotated[
    str,
    StringConstraints(pattern=r"^(model|task|op|workflow|comfy):\S(.*\S)?$", max_length=120, strip_whitespace=False),
]


class CacheUse(StrEnum):
    """Whether a node's results are kept, and looked for."""

    AUTO = "auto"
    """Under all that they depend on. A seed that is drawn for a run is a part of that: another run draws another."""
    OFF = "off"


class Policy(Spec):
    """How a node is run."""

    cache: CacheUse = CacheUse.AUTO
    retries: int = Field(default=0, ge=0, le=5)
    """Tries after one that failed. What the platform loses is repeated anyway, and costs none of these."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=86_400)
    """Of one try; one that takes longer is stopped, and counts as failed."""


class NodeSpec(Spec):
    """One node."""

    type: NodeType
    """What it does: `model:<name>`, `task:<task>`, `op:<name>`, `workflow:<name>@<version>`."""
    task: Task | None = None
    """Of a model that does several: which; unset, the first that has these inputs."""
    inputs: dict[str, KeptValue] = Field(default_factory=dict, max_length=128)
    """What it is given, by the input's name: JSON values with references in them."""
    map: list[PortName] = Field(default_factory=list, max_length=8)
    """Inputs that are given a list each, all of one length; the node is run once for each item, and each of its
    outputs is the list of what came out, in order."""
    max_items: int = Field(default=DEFAULT_ITEMS, ge=1, le=MAX_ITEMS)
    """Of those lists; a run is refused, or fails, beyond it. What a run may cost is reckoned with this."""
    concurrency: int = Field(default=8, ge=1, le=64)
    """Items that are worked on at the same time."""
    when: KeptValue = None
    """A reference to a boolean: the node is skipped where it is false, and with it what needs its outputs."""
    policy: Policy = Policy()
    original: KeptValue = None
    """Of an inert node: what it was in the graph that it came from."""


class InputConstraints(Spec):
    """What values an input takes, in the words of JSON Schema."""

    minimum: float | None = None
    """The least."""
    maximum: float | None = None
    """The most."""
    multiple_of: float | None = Field(default=None, gt=0)
    """What it must be a multiple of."""
    integer: bool = False
    """Whether it must be whole."""
    max_length: int | None = Field(default=None, ge=0)
    """Characters of a text, at the most."""
    enum: list[KeptValue] | None = Field(default=None, min_length=1, max_length=256)
    """The only values that are taken."""
    max_items: int | None = Field(default=None, ge=0, le=MAX_ITEMS)
    """Of a list, at the most."""


class Widget(Spec):
    """How a form shows an input; it means nothing."""

    widget: str | None = Field(default=None, max_length=40)
    """Which one: `slider`, `textarea`, ..."""
    group: str | None = Field(default=None, max_length=80)
    """Under which heading."""
    order: int | None = None
    """Where in it; smaller comes first."""
    advanced: bool = False
    """Whether it is folded away at first."""


class WorkflowInput(Spec):
    """A named input. It is required where it has no default and does not say `optional`."""

    name: PortName
    """What calls name it by."""
    type: TypeText
    """What it takes: `text`, `image`, `list[image]`, ..."""
    title: str = Field(default="", max_length=120)
    """Its name for people."""
    description: str = Field(default="", max_length=2000)
    """What it is for, for people."""
    default: KeptValue = None
    """Used where a run gives none."""
    optional: bool = False
    """May be left out, as a seed that is then drawn. What it goes to must be optional, too."""
    constraints: InputConstraints = InputConstraints()
    """Which values it takes."""
    ui: Widget = Widget()
    """How a form shows it."""

    @property
    def is_required(self) -> bool:
        """Whether every run has to give it a value."""
        return self.default is None and not self.optional

    @property
    def may_be_nothing(self) -> bool:
        """Whether a run can leave it without a value."""
        return self.default is None and self.optional


class WorkflowOutput(Spec):
    """A named output: a port of a node."""

    name: PortName
    """What results name it by."""
    from_: Output = Field(alias="from")
    """The node and its output: `[painter, images]`."""
    title: str = Field(default="", max_length=120)
    """Its name for people."""
    description: str = Field(default="", max_length=2000)
    """What it is, for people."""
    primary: bool = False
    """The one that is shown where there is room for one."""


class Interface(Spec):
    """What the workflow is called with, and what it answers."""

    inputs: list[WorkflowInput] = Field(default_factory=list, max_length=MAX_PORTS)
    """What a run is given, in the order of a form."""
    outputs: list[WorkflowOutput] = Field(default_factory=list, max_length=MAX_PORTS)
    """What a run results in."""


class Place(Spec):
    """Where a node is drawn."""

    x: float = 0
    """Pixels from the left."""
    y: float = 0
    """Pixels from the top. Quote this key in YAML that kubectl reads: it takes a bare y for true."""
    width: float | None = None
    """In pixels; unset, as wide as it needs."""
    height: float | None = None
    """In pixels; unset, as high as it needs."""
    collapsed: bool = False
    """Whether only its title is shown."""
    title: str = Field(default="", max_length=120)
    """In place of its name."""
    color: str = Field(default="", max_length=32)
    """Of its frame, as CSS writes it."""


class Group(Spec):
    """A frame around nodes."""

    title: str = Field(default="", max_length=120)
    """What is written on it."""
    color: str = Field(default="", max_length=32)
    """Of the frame, as CSS writes it."""
    nodes: list[str] = Field(default_factory=list, max_length=MAX_NODES)
    """Those inside, by name."""


class Note(Spec):
    """Words on the canvas."""

    text: str = Field(max_length=4000)
    """The words."""
    x: float = 0
    """Pixels from the left."""
    y: float = 0
    """Pixels from the top. Quote this key in YAML that kubectl reads: it takes a bare y for true."""
    width: float | None = None
    """In pixels; unset, as wide as it needs."""
    height: float | None = None
    """In pixels; unset, as high as it needs."""


class Layout(Spec):
    """How a workflow is drawn; it means nothing."""

    nodes: dict[str, Place] = Field(default_factory=dict, max_length=MAX_NODES)
    """Where nodes are, by name."""
    groups: list[Group] = Field(default_factory=list, max_length=100)
    """Frames around some of them."""
    notes: list[Note] = Field(default_factory=list, max_length=100)
    """Words between them."""


class Provenance(Spec):
    """Where a workflow came from."""

    imported_from: str | None = Field(default=None, max_length=80)
    """The format that it was converted from."""
    source_digest: str | None = Field(default=None, max_length=71)
    """Of the file that it was converted from."""
    warnings: list[Annotated[str, Field(max_length=1000)]] = Field(default_factory=list, max_length=1000)
    """What did not come over, in sentences."""
    became: dict[str, list[str]] = Field(default_factory=dict, max_length=2 * MAX_ORIGINS)
    """Of the nodes of an imported graph, by their ids there: the nodes here that do their work, `input:<name>` and
    `output:<name>` of the interface, or `note`."""


class WorkflowSpec(Spec):
    """A workflow."""

    format: Literal["workflow/v1"] = "workflow/v1"
    """Of this document."""
    title: str = Field(default="", max_length=120)
    """Its name for people."""
    description: str = Field(default="", max_length=4000)
    """What it does, for people."""
    tags: list[Annotated[str, Field(max_length=40)]] = Field(default_factory=list, max_length=32)
    """Words that it is found by."""
    interface: Interface = Interface()
    nodes: dict[NodeName, NodeSpec] = Field(default_factory=dict)
    """What is done, by node; the references between them say in which order."""
    layout: Layout = Layout()
    provenance: Provenance = Provenance()

    @model_validator(mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        """Counted before anything else is looked at: a million nodes must cost nothing."""
        nodes = value.get("nodes") if isinstance(value, dict) else None
        if isinstance(nodes, dict) and len(nodes) > MAX_NODES:
            raise ValueError(f"nodes: a workflow has at most {MAX_NODES} nodes, and this one has {len(nodes)}")
        return value

    def written(self) -> dict[str, Any]:
        """As documents write it: what it leaves at its defaults is left out."""
        return {"format": FORMAT} | self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def meaning(self) -> bytes:
        """What it does, as canonical JSON: interface without words and widgets, and nodes."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        interface = {
            side: [{name: one[name] for name in one if name not in _WORDS} for one in ports]
            for side, ports in plain.get("interface", {}).items()
        }
        return _as_bytes({"format": FORMAT, "interface": interface, "nodes": _in_order(plain.get("nodes", {}))})

    def said(self) -> bytes:
        """The same with all its words; only how it is drawn and where it came from are left out."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"layout", "provenance"})
        return _as_bytes(plain | {"nodes": _in_order(plain.get("nodes", {}))})

    def digest(self) -> str:
        """`sha256:...` of the meaning: the same for two workflows that do the same."""
        return "sha256:" + hashlib.sha256(self.meaning()).hexdigest()


_WORDS = frozenset({"title", "description", "ui"})


def _in_order(nodes: dict[str, Any]) -> dict[str, Any]:
    """Nodes, and their inputs, by name: their order means nothing. That within a value may: a model that is held to a
    JSON Schema answers in the order of its properties."""
    return {
        name: node | ({"inputs": dict(sorted(node["inputs"].items()))} if "inputs" in node else {})
        for name, node in sorted(nodes.items())
    }


def _as_bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


class WorkflowDocument(Document):
    """A tenant's workflow. Applying it publishes a version, unless the latest one says the same; how its nodes are
    drawn, and where it came from, make none."""

    kind: Literal["Workflow"]
    spec: WorkflowSpec
