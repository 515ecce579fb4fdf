"""What a run of a workflow can cost at the most: what is held for it before it begins.

It is the sum over all calls that it can make (`serve.gateway.workflows.calls`), each by the same bounds as a call by
itself (`serve.metering.prices.ceiling`). An input that another node will give counts with the widest value that the
model's card allows:

    numbers     the card's maximum: steps, sides, images, tokens
    choices     the dearest of them
    pictures    of any size: what is made of one is as large as the model makes any
    texts       as long as the card allows, or else as the model's context is. A model whose context is not known gets
                `OPEN_PROMPT_TOKENS`, and refuses more

Every call of one model may use as long a prompt as the longest that was reckoned with: an engine is told one bound for
all of a run's calls, and refuses what is longer. A try that fails is reckoned like one that does not: a node's own
retries may be billed, as a try that is stopped at its time limit is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from serve.catalog.cards import Card
from serve.domain.port_types import Kind, PortType
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.gateway.workflows.calls import Call
from serve.metering.prices.ceiling import ceiling
from serve.metering.prices.prices import PriceVersion, cost_at_most
from serve.workflow.graph import Port
from serve.workflow.ports.model_calls import call_of
from serve.workflow.ports.model_ports import SEED_PORT
from serve.workflow.values import digest_of

OPEN_PROMPT_TOKENS = 131_072
"""Of a prompt that only the run will know, for a model whose context is not known."""
MOST_BYTES_PER_CHARACTER = 33
"""Of the longest form in which a tokenizer may read one (U+FDFA, which stands for eighteen)."""
_OPEN_CHARACTERS = 16_384
"""Of a text whose card sets no limit."""
_ANY_ASSET = "asset:any"
_MAX_CHOICES = 64
"""Combinations of choices that are reckoned one by one."""
_LANGUAGE = frozenset({Task.CHAT, Task.COMPLETION, Task.EMBEDDING})


@dataclass(frozen=True, slots=True)
class CallBound:
    """A call, and what it consumes at the most, each way it may go. `adapters` are immutable ids."""

    call: Call
    ways: tuple[Quantities, ...]
    adapters: tuple[str, ...] = ()

    def most(self, max_prompt_tokens: int = 0) -> Quantities:
        """Of one try, each unit at its highest, if its prompt may have as many tokens."""
        ways = (_with_prompt(way, max_prompt_tokens).values() for way in self.ways)
        return Quantities(*(max(units) for units in zip(*ways, strict=True)))

    def cost(self, price: PriceVersion, max_prompt_tokens: int) -> int:
        """Of one try, in nano-dollars, if its prompt may have as many tokens."""
        return max(cost_at_most(_with_prompt(way, max_prompt_tokens), price, self.adapters) for way in self.ways)


@dataclass(frozen=True)
class RunBound:
    """All calls of a run."""

    calls: tuple[CallBound, ...]

    @property
    def quantities(self) -> Quantities:
        """What they consume together at the most."""
        longest = self._longest
        total = Quantities()
        for one in self.calls:
            most = one.most(longest[one.call.model])
            total += Quantities(*(unit * one.call.times for unit in most.values()))
        return total

    def models(self) -> dict[str, bool]:
        """The models that are called, and whether with adapters."""
        found: dict[str, bool] = {}
        for one in self.calls:
            found[one.call.model] = found.get(one.call.model, False) or bool(one.adapters)
        return found

    def prompt_tokens(self, model: str) -> int:
        """Of the longest prompt that is reckoned with."""
        return self._longest.get(model, 0)

    def most_of_a_call(self, model: str) -> Quantities:
        """Each unit at its highest, in any call of the model."""
        units = [one.most().values() for one in self.calls if one.call.model == model]
        return Quantities(*(max(unit) for unit in zip(*units, strict=True)))

    def of(self, label: str) -> list[CallBound]:
        """The calls of the node `label`, and of those inside it."""
        return self._by_label.get(label, [])

    @cached_property
    def _by_label(self) -> dict[str, list[CallBound]]:
        found: dict[str, list[CallBound]] = {}
        for one in self.calls:
            names = one.call.label.split("/")
            for depth in range(1, len(names) + 1):
                found.setdefault("/".join(names[:depth]), []).append(one)
        return found

    @cached_property
    def _longest(self) -> dict[str, int]:
        longest: dict[str, int] = {}
        for one in self.calls:
            longest[one.call.model] = max(longest.get(one.call.model, 0), one.most().prompt_tokens)
        return longest

    def cost(self, prices: Mapping[str, PriceVersion | None], of: str | None = None) -> int:
        """In nano-dollars, of the run or of the node `of`; what has no price costs nothing."""
        return sum(
            one.call.times * one.cost(price, self._longest[one.call.model])
            for one in (self.calls if of is None else self.of(of))
            if (price := prices.get(one.call.model)) is not None
        )


def bound_of(
    calls: Iterable[Call],
    cards: Mapping[str, Card],
    adapters: Mapping[str, Sequence[str]],
    seconds: float | None = None,
) -> RunBound:
    """The bounds of `calls`. `adapters` are the ids that each uses, by `key_of`; `seconds` is how long the run may
    take."""
    kept: dict[tuple[Any, ...], tuple[Quantities, ...]] = {}
    found = []
    for call in calls:
        limit = min((one for one in (seconds, call.timeout_seconds) if one is not None), default=None)
        key = (limit, *call.says(but=SEED_PORT))
        if key not in kept:
            kept[key] = tuple(_ways(call, cards[call.model], limit))
        found.append(CallBound(call, kept[key], tuple(adapters.get(key_of(call), ()))))
    return RunBound(tuple(found))


def key_of(call: Call) -> str:
    """What tells the adapters of one call from those of another."""
    told = [call.model, *(one.value for one in call.adapters())]
    return digest_of(told)


def _ways(call: Call, card: Card, seconds: float | None) -> Iterator[Quantities]:
    """What the call consumes at the most, for each combination of choices that are open."""
    spec = card.document.spec
    for values in _completions(call):
        inputs = _inputs(call, values)
        found = ceiling(call.task, inputs, spec, seconds=seconds)
        yield replace(found, **_open_prompt(call, inputs, getattr(spec.engine, "max_model_len", None), found))


def _completions(call: Call) -> Iterator[dict[str, Any]]:
    known = {name: value for name, value in call.values().items() if _counts(call.ports[name])}
    names = sorted(name for name in call.open if _counts(call.ports[name]))
    choices = [_widest(name, call.ports[name]) for name in names]
    for index, chosen in enumerate(product(*choices)):
        if index >= _MAX_CHOICES:
            raise ValueError(f"{call.label} leaves more open than can be reckoned with")
        yield known | dict(zip(names, chosen, strict=True))


def _counts(port: Port) -> bool:
    """Adapters are reckoned by themselves, and which model it is, is known."""
    return port.type.kind not in (Kind.ADAPTER, Kind.MODEL)


def _widest(name: str, port: Port) -> list[Any]:
    """The values of an open input that may be the dearest."""
    schemas = [port.schema, *port.schema.get("anyOf", ())]
    enum = next((schema["enum"] for schema in schemas if "enum" in schema), None)
    if enum is not None and name == "sampler":
        return list(enum)
    most = [schema["maximum"] for schema in schemas if "maximum" in schema]
    if port.type == PortType(Kind.NUMBER):
        highest = [value for value in enum or most if value is not None]
        return [max(highest, default=None)] + ([None] if name in ("width", "height") else [])
    if port.type.is_list:
        return [[_of_kind(name, port.type.item)] * max((s["maxItems"] for s in schemas if "maxItems" in s), default=1)]
    return [_of_kind(name, port.type)]


def _of_kind(name: str, wanted: PortType) -> Any:
    if wanted.kind.is_media:
        return _ANY_ASSET
    if wanted.kind is Kind.BOOLEAN:
        return True
    if name == "messages":
        return [{"role": "user", "content": ""}]
    return "" if wanted.kind is Kind.TEXT else None


def inputs_of(call: Call) -> dict[str, Any]:
    """What the call is asked, complete; with something wide for what is open."""
    return _inputs(call, next(_completions(call)))


def _inputs(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    """As the card's own: with its defaults, valid or not."""
    properties = call.facts.schemas[call.task].get("properties", {})
    defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    given, _ = call_of(call.task, {name: value for name, value in values.items() if value is not None})
    return {"prompt": "", "input": ""} | defaults | {name: value for name, value in given.items() if value is not None}


def _open_prompt(call: Call, inputs: Mapping[str, Any], context: int | None, found: Quantities) -> dict[str, int]:
    """The tokens of a prompt whose texts are open, where there are any."""
    texts = [name for name in call.open if _is_text(call.ports[name])]
    if not texts:
        return {}
    if call.task not in _LANGUAGE:
        more = sum(_characters(call.ports[name]) for name in texts)
        return {"prompt_tokens": found.prompt_tokens + more * MOST_BYTES_PER_CHARACTER}
    prompt = inputs.get("input") if call.task is Task.EMBEDDING else inputs.get("prompt")
    num_tokens = (OPEN_PROMPT_TOKENS if context is None else context) * _num_prompts(prompt)
    return {"prompt_tokens": num_tokens, "cached_prompt_tokens": num_tokens}


def _is_text(port: Port) -> bool:
    is_choice = any("enum" in schema for schema in (port.schema, *port.schema.get("anyOf", ())))
    return port.type.kind in (Kind.TEXT, Kind.JSON, Kind.EMBEDDING) and not is_choice


def _characters(port: Port) -> int:
    schemas = [port.schema, *port.schema.get("anyOf", ())]
    return max((schema["maxLength"] for schema in schemas if "maxLength" in schema), default=_OPEN_CHARACTERS)


def _num_prompts(given: Any) -> int:
    return len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1


def _with_prompt(way: Quantities, num_tokens: int) -> Quantities:
    if num_tokens <= way.prompt_tokens:
        return way
    return replace(way, prompt_tokens=num_tokens, cached_prompt_tokens=num_tokens if way.cached_prompt_tokens else 0)
