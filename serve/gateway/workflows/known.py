"""What workflows are told of the models that are served and of one another: for the gateway, and for the runner."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from serve.catalog.cards import Card
from serve.catalog.catalog import Catalog
from serve.domain.documents import takes_adapters
from serve.domain.names import TenantName
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.domain.workflow import MAX_NESTING, MAX_NODES, WorkflowSpec
from serve.gateway.workflows.problem_answers import invalid_workflow
from serve.metering.prices.ceiling import ceiling
from serve.workflow.compiling.compiling import Compiled, compile_workflow
from serve.workflow.compiling.pinning import pinned, workflows_named
from serve.workflow.facts import Known, ModelFacts, PublishedWorkflow
from serve.workflow.graph import Graph
from serve.workflow.library.library import Library
from serve.workflow.library.stored_workflows import StoredVersion
from serve.workflow.problems import Code, Problem

_MAX_GRAPHS = 256
_MAX_READY = 64


class CardInputs:
    """`facts.ChecksInputs` over a card."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def complete(self, task: Task, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """See `ChecksInputs`."""
        return self._card.validate(task, inputs).model_dump(mode="json", by_alias=True)

    def most(self, task: Task, inputs: Mapping[str, Any], seconds: float | None) -> Quantities:
        """See `ChecksInputs`."""
        return ceiling(task, inputs, self._card.document.spec, seconds=seconds)


def facts_of(card: Card) -> ModelFacts:
    """What workflows need to know of a model."""
    spec = card.document.spec
    weights = card.record.weights_digest if card.record else None
    adapters = spec.adapters.enabled and takes_adapters(spec.engine)
    return ModelFacts(
        name=card.name,
        tasks=tuple(spec.tasks),
        schemas={task: card.input_schema(task) for task in spec.tasks},
        digest="sha256:" + hashlib.sha256(f"{card.digest} {weights}".encode()).hexdigest(),
        takes_adapters=adapters,
        max_adapters=spec.adapters.max_per_call if adapters else 0,
        card=CardInputs(card),
    )


class Knowledge:
    """All that a tenant's workflows may name. Cards come from the catalogue's own memory, versions never change."""

    def __init__(self, catalog: Catalog, library: Library, *, with_deleted: bool = False) -> None:
        """`with_deleted` knows versions that were deleted, too: those that runs were let in with."""
        self._catalog = catalog
        self._library = library
        self._with_deleted = with_deleted
        self._facts: dict[str, tuple[str, str | None, ModelFacts]] = {}
        self._graphs: OrderedDict[tuple[TenantName, str, int], Graph | None] = OrderedDict()
        self._ready: OrderedDict[tuple[Any, ...], tuple[WorkflowSpec, WorkflowSpec, Compiled]] = OrderedDict()

    async def models(self) -> Mapping[str, ModelFacts]:
        """Every served model, by name."""
        cards = await self._catalog.cards()
        self._facts = {name: self._remembered(card) for name, card in cards.items()}
        return {name: facts for name, (_, _, facts) in self._facts.items()}

    def _remembered(self, card: Card) -> tuple[str, str | None, ModelFacts]:
        weights = card.record.weights_digest if card.record else None
        known = self._facts.get(card.name)
        is_same = known is not None and known[:2] == (card.digest, weights)
        return known if known is not None and is_same else (card.digest, weights, facts_of(card))

    async def known(self, tenant: TenantName, spec: WorkflowSpec) -> Known:
        """What `spec`, of this tenant, may name, with all that is inside the workflows that it names.

        Raises:
            InvalidWorkflow: they are more than the nodes of one document, nested ones together.
        """
        found: dict[str, PublishedWorkflow] = {}
        wanted = workflows_named(spec)
        for _ in range(MAX_NESTING + 1):  # one level too deep is looked at, to be refused as such
            fresh = wanted - found.keys()
            if not fresh:
                break
            if len(fresh) + len(found) > MAX_NODES:
                told = f"There are more than {MAX_NODES} workflows inside, nested ones together."
                raise invalid_workflow([Problem(Code.TOO_LARGE, told, field="nodes")])
            found |= await self.published(tenant, fresh)
            wanted = {named for one in fresh & found.keys() for named in workflows_named(found[one].spec)}
        return Known(await self.models(), found)

    async def published(self, tenant: TenantName, named: Collection[str]) -> dict[str, PublishedWorkflow]:
        """The versions that are named so, without what is inside them; what is not there is left out."""
        versions = await self._library.versions.named(tenant, named, with_deleted=self._with_deleted)
        specs = await self._library.documents.get_all(tenant, [version.digest for version in versions.values()])
        return {
            text: PublishedWorkflow(version.name, version.version, specs[version.digest])
            for text, version in versions.items()
            if version.digest in specs
        }

    async def graph(self, version: StoredVersion, spec: WorkflowSpec) -> Graph | None:
        """A version, compiled with what is served now; None where something that it needs is there no longer. Graphs
        are kept: neither a version nor those inside it ever change, so only other models make another graph."""
        key = (version.tenant, version.digest, _served(await self.models()))
        if key in self._graphs:
            self._graphs.move_to_end(key)
            return self._graphs[key]
        known = await self.known(version.tenant, spec)
        graph = (await asyncio.to_thread(compile_workflow, spec, known)).graph
        self._graphs[key] = graph
        while len(self._graphs) > _MAX_GRAPHS:
            self._graphs.popitem(last=False)
        return graph

    async def compiled(self, spec: WorkflowSpec, known: Known, targets: Sequence[str]) -> tuple[WorkflowSpec, Compiled]:
        """`spec` with numbers in the place of aliases, compiled. What is kept is found by the very object: a version's
        document is read once, and every run of it would be compiled again."""
        numbers = {named: one.version for named, one in known.workflows.items()}
        key = (id(spec), tuple(targets), frozenset(numbers.items()), _served(known.models))
        if key not in self._ready:
            final = pinned(spec, numbers)
            compiled = await asyncio.to_thread(compile_workflow, final, known, targets=targets)
            self._ready[key] = (spec, final, compiled)  # `spec` is held so that no other object gets its id
        self._ready.move_to_end(key)
        _, final, compiled = self._ready[key]
        while len(self._ready) > _MAX_READY:
            self._ready.popitem(last=False)
        return final, compiled


def _served(models: Mapping[str, ModelFacts]) -> int:
    """Changes with what is served."""
    return hash(frozenset((facts.name, facts.digest) for facts in models.values()))
