"""The values that feed a node, taken from the jobs that made them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.port_types import Kind
from serve.workflow.execution.jobs import Absent, Job
from serve.workflow.execution.wiring import Element, Feed, Fixed, Made, Piped, Planned, hashed, sources, with_parts
from serve.workflow.graph import Node
from serve.workflow.operation import Operation
from serve.workflow.ports.operation_ports import input_of
from serve.workflow.values import convert, digest_of
from serve.workflow.volumes import bounded

Jobs = Mapping[Planned, Job]


def value_of(feed: Feed, jobs: Jobs) -> Any:
    """The value. Raises Absent where it did not come to be."""
    if isinstance(feed, Fixed):
        return feed.value
    if isinstance(feed, Piped):
        job = jobs[feed.source]
        if feed.port not in job.outputs:
            raise Absent(job)
        return job.outputs[feed.port]
    if isinstance(feed, Made):
        return with_parts(feed.template, ((path, value_of(part, jobs)) for path, part in feed.parts))
    if isinstance(feed, Element):
        return value_of(feed.feed, jobs)[feed.index]
    return convert(value_of(feed.feed, jobs), feed.source, feed.wanted)


def strict(planned: Planned) -> list[tuple[str, Feed]]:
    """What it needs in any case, by port. Of a workflow run over lists, these are the lists."""
    node = planned.node
    if node.graph is not None:
        return [(port, planned.inputs[port]) for port in node.map]
    ports, lists = node.ports, node.map if planned.is_mapped else ()
    return [(port, feed) for port, feed in planned.inputs.items() if not ports[port].is_lazy or port in lists]


def lazy(planned: Planned) -> dict[str, Feed]:
    """What it is given only if it asks for it."""
    node = planned.node
    return {port: feed for port, feed in planned.inputs.items() if node.ports[port].is_lazy and port not in node.map}


def values_for(planned: Planned, feeds: list[tuple[str, Feed]], jobs: Jobs) -> dict[str, Any]:
    """The values of `feeds` by port, and defaults for the node's other inputs.

    Raises:
        Absent: one of them did not come to be, and the node cannot do without.
        InvalidRequest: `missing_input`: one that it needs is nothing.
    """
    node = planned.node
    values = {port: one.default for port, one in node.ports.items()}
    for port, feed in feeds:
        value = _value_for(node, port, feed, jobs)
        if value is None:
            _check_may_be_nothing(node, port)
        else:
            values[port] = value
    return values


def _value_for(node: Node, port: str, feed: Feed, jobs: Jobs) -> Any:
    try:
        value = value_of(feed, jobs)
        return bounded(value, port) if isinstance(feed, Made) else value
    except Absent as absent:
        if absent.job.cause is None and tolerates_skips(node.operation, port):
            return None
        raise


def _check_may_be_nothing(node: Node, port: str) -> None:
    one = node.ports[port]
    if one.is_required and one.type.kind is not Kind.JSON and not tolerates_skips(node.operation, port):
        raise InvalidRequest(f"{port} needs a value, and what it comes from gave none", "missing_input", port)


@cache
def tolerates_skips(operation: Operation | None, port: str) -> bool:
    """Whether the operation goes on where what this input comes from was skipped."""
    declared = None if operation is None else input_of(operation, port)
    return declared is not None and declared.may_be_skipped


def doomed_by(planned: Planned, feeds: list[tuple[str, Feed]], jobs: Jobs) -> Job | None:
    """Whoever has already ended without what `planned` cannot do without."""
    for port, feed in feeds:
        for source in sources(feed):
            job = jobs.get(source)
            if job is None or not job.has_ended or job.status.is_done:
                continue
            if job.cause is not None or not tolerates_skips(planned.node.operation, port):
                return job
    return None


def key_by_content(planned: Planned, says: str, values: Mapping[str, Any]) -> str:
    """The key of a node that is fed by what has none: by what came. What has a key is known by that all the same."""
    parts = [says]
    for port in sorted(planned.inputs):
        ref = planned.inputs[port].ref
        parts.append(f"{port} {ref if ref is not None else '=' + digest_of(values.get(port))}")
    return hashed("content", *parts)
