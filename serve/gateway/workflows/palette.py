"""What a workflow can be made of, for one caller."""

from collections.abc import Mapping, Sequence
from typing import Any

from serve.auth.access import Caller
from serve.domain.names import TenantName
from serve.gateway.playground import shown_to
from serve.gateway.services import Services
from serve.workflow.facts import Known, PublishedWorkflow
from serve.workflow.graph import Graph
from serve.workflow.library.stored_workflows import StoredWorkflow
from serve.workflow.operations import OPERATIONS
from serve.workflow.ports.node_types import Words, node_types

_MAX_WORKFLOWS = 200
"""A tenant's own that are shown, the first by name: each is compiled, to know what comes out of it."""


async def palette(services: Services, caller: Caller, words: Sequence[str]) -> list[dict[str, Any]]:
    """Every node type that mentions all of `words`."""
    cards = shown_to(caller, await services.catalog.cards())
    facts = await services.knowledge.models()
    workflows, graphs = await _workflows(services, caller.tenant)
    known = Known({name: facts[name] for name in sorted(cards) if name in facts}, workflows)
    told = {
        name: Words(
            card.document.spec.card.title, card.document.spec.card.description, tuple(card.document.spec.card.tags)
        )
        for name, card in cards.items()
    }
    return [one for one in node_types(known, OPERATIONS, told, graphs) if _mentions(one, words)]


def _mentions(node_type: Mapping[str, Any], words: Sequence[str]) -> bool:
    said = (node_type[name] for name in ("type", "title", "description", "category"))
    text = " ".join((*said, *node_type["tags"])).casefold()
    return all(word in text for word in words)


async def _workflows(services: Services, tenant: TenantName) -> tuple[dict[str, PublishedWorkflow], dict[str, Graph]]:
    """The latest versions, by `name@version`, and their graphs where they still compile."""
    found: list[StoredWorkflow] = []
    while len(found) < _MAX_WORKFLOWS:
        page = await services.workflows.list(tenant, limit=100, after=found[-1].name if found else None)
        found += page
        if len(page) < 100:
            break
    named = [f"{one.name}@{one.latest}" for one in found[:_MAX_WORKFLOWS] if one.latest is not None]
    versions = await services.workflows.versions.named(tenant, named)
    specs = await services.workflows.documents.get_all(tenant, [one.digest for one in versions.values()])
    published, graphs = {}, {}
    for text, version in versions.items():
        if version.digest in specs:
            spec = specs[version.digest]
            published[text] = PublishedWorkflow(version.name, version.version, spec)
            if (graph := await services.knowledge.graph(version, spec)) is not None:
                graphs[text] = graph
    return published, graphs
