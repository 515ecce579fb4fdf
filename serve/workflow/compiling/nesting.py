"""Workflows within workflows: which are reachable, in what order they are compiled, how deep they go, and which call
themselves. All of it is found from node types alone, before anything is compiled."""

from collections.abc import Mapping
from dataclasses import dataclass

from serve.domain.workflow import MAX_NESTING, MAX_STEPS, WorkflowSpec
from serve.workflow.compiling.ordering import cycles, ordered
from serve.workflow.compiling.pinning import workflows_named
from serve.workflow.facts import PublishedWorkflow
from serve.workflow.problems import Code


@dataclass(frozen=True, slots=True)
class Nesting:
    """`order` has every workflow that can be compiled, by address (`name@3`), each after those it calls; `refused`
    says what is wrong with the others. `addresses` are by what node types write. With more than `MAX_STEPS` nodes
    nothing is looked at any further."""

    order: tuple[str, ...]
    workflows: Mapping[str, PublishedWorkflow]
    addresses: Mapping[str, str]
    refused: Mapping[str, tuple[Code, str]]
    num_nodes: int


def nesting_of(spec: WorkflowSpec, workflows: Mapping[str, PublishedWorkflow]) -> Nesting:
    """What `spec` calls, directly or not."""
    found, addresses, needs = _reached(spec, workflows)
    order = ordered(needs)
    refused = _called_in_circles(needs, order)
    depths: dict[str, int] = {}
    kept = []
    for name in order:
        depths[name] = 1 + max((depths[other] for other in needs[name] if other in depths), default=0)
        if depths[name] > MAX_NESTING:
            refused[name] = (Code.TOO_DEEP, f"{name} nests workflows {depths[name]} deep; at most {MAX_NESTING} can be")
        else:
            kept.append(name)
    num_nodes = sum(len(workflow.spec.nodes) for workflow in found.values())
    return Nesting(tuple(kept), found, addresses, refused, num_nodes)


def _reached(
    spec: WorkflowSpec, workflows: Mapping[str, PublishedWorkflow]
) -> tuple[dict[str, PublishedWorkflow], dict[str, str], dict[str, list[str]]]:
    found: dict[str, PublishedWorkflow] = {}
    addresses: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    waiting = [spec]
    num_nodes = 0
    while waiting and num_nodes <= MAX_STEPS:
        names = workflows_named(waiting.pop())
        for named in sorted(names - addresses.keys()):
            if named in workflows:
                workflow = workflows[named]
                own = addresses[named] = workflow.address
                if own not in found:
                    found[own] = workflow
                    waiting.append(workflow.spec)
                    num_nodes += len(workflow.spec.nodes)
    for own, workflow in found.items():
        called = {addresses[named] for named in workflows_named(workflow.spec) if named in addresses}
        needs[own] = sorted(called)
    return found, addresses, needs


def _called_in_circles(needs: Mapping[str, list[str]], order: list[str]) -> dict[str, tuple[Code, str]]:
    """What never comes to an order: on a circle, or behind one."""
    circles = [" -> ".join([*circle, circle[0]]) for circle in cycles(needs, order)]
    told = f"workflows that call each other never end: {'; '.join(circles)[:400]}"
    return {name: (Code.CYCLE, told) for name in needs.keys() - set(order)}
