"""Whether the models will take what is known of their inputs: asked before a run begins, not in the middle of it."""

from collections.abc import Iterable

from serve.domain.errors import InvalidRequest
from serve.domain.port_types import Kind
from serve.gateway.workflows.calls import MAX_SIZE, Call
from serve.workflow.ports.model_calls import call_of
from serve.workflow.schemas import check_value


def check_calls(calls: Iterable[Call]) -> None:
    """Raises InvalidRequest about the first value that the card of its model refuses, with the field it came from; and
    where all of them together are too much to look at."""
    seen: set[tuple[str, ...]] = set()
    size = 0
    for call in calls:
        key = (call.label, *call.says())
        if key not in seen:
            seen.add(key)
            size += sum(mark.size for mark in call.marks.values())
            if size > MAX_SIZE:
                told = f"The models are asked more than {MAX_SIZE >> 20} million characters together: give them less."
                raise InvalidRequest(told, "too_large", call.place)
            _check_values(call)
            if not call.open:
                _check_whole(call)


def _check_values(call: Call) -> None:
    for name, given in call.given.items():
        port = call.ports[name]
        if given.value is None or port.type.kind.is_media or port.type.kind is Kind.ADAPTER:
            continue
        if told := check_value(port.schema, given.value):
            raise InvalidRequest(f"{given.origin} {told} ({call.model} asks for that)", "invalid_value", given.origin)


def _check_whole(call: Call) -> None:
    """All at once, as values may fit by themselves and not together."""
    try:
        inputs, _ = call_of(call.task, {name: one for name, one in call.values().items() if name != "adapters"})
        call.facts.card.complete(call.task, inputs)
    except InvalidRequest as error:
        field = (error.param or "").partition(".")[0]
        given = call.given.get(field)
        place = f"{call.place}.inputs.{error.param}" if error.param else call.place
        origin = place if given is None else given.origin
        raise InvalidRequest(f"{call.label}: {error.message}", error.code, origin) from None
