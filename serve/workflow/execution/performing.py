"""The execution of workflows' runs, as a runner asks for it: read, compiled, planned, executed."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from serve.domain.errors import EngineFailed, Unprocessable
from serve.domain.media import Asset
from serve.domain.names import TenantName
from serve.domain.port_types import Kind, parse_type
from serve.domain.ports import Clock
from serve.domain.run import Run, WorkflowTerms
from serve.domain.steps import Operations, OperationStep, Performed, Stage
from serve.domain.workflow import RUN_TEXT, WORKFLOW_TEXT, WorkflowSpec
from serve.domain.written import is_asset
from serve.settings import WorkflowsSettings
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.execution.execution import Execution
from serve.workflow.execution.outcome import conclude, tell_rest
from serve.workflow.execution.planning import Given, Planner
from serve.workflow.execution.working import History, Worker
from serve.workflow.facts import Known
from serve.workflow.graph import Composite, Graph, Literal, Node, Source
from serve.workflow.operations import INSCRIBE
from serve.workflow.results.results import Results
from serve.workflow.values import asset_ids

_log = logging.getLogger(__name__)
_COMPILED = 64
"""Graphs that are remembered."""
_INSCRIBE_SECONDS = 30.0


class Documents(Protocol):
    """What runs execute."""

    async def get(self, tenant: TenantName, digest: str) -> WorkflowSpec:
        """The document. Raises NotFound."""
        ...


class Knows(Protocol):
    """All that a tenant's workflows can name."""

    async def known(self, tenant: TenantName, spec: WorkflowSpec) -> Known:
        """What `spec` needs of it, at least."""
        ...


class MediaRows(Protocol):
    """What is known of stored assets."""

    async def assets(self, tenant: TenantName, ids: Collection[str]) -> Mapping[str, Asset]:
        """Those of the tenant, by id; what is gone is left out."""
        ...


class Performer:
    """Implements `serve.domain.steps.WorkflowExecution`."""

    def __init__(
        self,
        *,
        documents: Documents,
        knows: Knows,
        media: MediaRows,
        results: Results,
        operations: Operations,
        history: History,
        clock: Clock,
        settings: WorkflowsSettings,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`pause` waits between tries."""
        self._documents = documents
        self._knows = knows
        self._media = media
        self._results = results
        self._operations = operations
        self._history = history
        self._clock = clock
        self._settings = settings
        self._pause = pause
        self._graphs: OrderedDict[tuple[Any, ...], Graph] = OrderedDict()

    async def perform(self, stage: Stage) -> Performed:
        """See `WorkflowExecution`."""
        run = stage.run
        terms = run.workflow
        if terms is None:
            raise EngineFailed("A workflow's run has no terms.")
        graph, known = await self._compiled(run.tenant, terms)
        ids = sorted(set(_assets_named(graph, run.inputs)))
        assets = await self._media.assets(run.tenant, ids) if ids else {}
        planner = Planner(Given(terms, known.models, assets))
        scope = planner.plan(graph, run.inputs)
        worker = Worker(stage, known.models, self._operations, self._history, self._clock, self._settings, self._pause)
        most = self._settings.max_concurrent_steps
        execution = Execution(stage, planner, scope, worker, self._results, self._clock, most)
        await execution.run()
        tell_rest(execution, scope)
        performed = conclude(execution, scope, stage)
        if self._settings.image_metadata and terms.metadata:
            return await self._inscribed(run, terms, graph, performed)
        return performed

    async def _compiled(self, tenant: TenantName, terms: WorkflowTerms) -> tuple[Graph, Known]:
        spec = await self._documents.get(tenant, terms.digest)
        known = await self._knows.known(tenant, spec)
        digests = tuple(sorted(facts.digest for facts in known.models.values()))
        place = (tenant, terms.digest, terms.targets, digests)
        graph = self._graphs.get(place)
        if graph is None:
            # Beside the loop: at its limits a workflow takes longer than other runs' leases should wait.
            compiled = await asyncio.to_thread(compile_workflow, spec, known, targets=terms.targets)
            if compiled.graph is None:
                first = next(problem for problem in compiled.problems if problem.is_error)
                raise Unprocessable(
                    f"The workflow cannot run any more: {first.param}: {first.message}", "invalid_workflow"
                )
            graph = self._graphs[place] = compiled.graph
            if len(self._graphs) > _COMPILED:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(place)
        return graph, known

    async def _inscribed(self, run: Run, terms: WorkflowTerms, graph: Graph, performed: Performed) -> Performed:
        """With pictures whose files say how they were made. A run does not fail for their sake."""
        pictures = [name for name in performed.outputs if graph.output_types[name].kind is Kind.IMAGE]
        if not any(performed.outputs[name] for name in pictures):
            return performed
        spec = await self._documents.get(run.tenant, terms.digest)
        metadata = _metadata(run, spec)
        outputs = await asyncio.gather(
            *(self._inscribe(run, name, performed.outputs[name], metadata) for name in pictures)
        )
        return replace(performed, outputs={**performed.outputs, **dict(zip(pictures, outputs, strict=True))})

    async def _inscribe(self, run: Run, name: str, written: Any, metadata: Mapping[str, str]) -> Any:
        if isinstance(written, list):
            return [await self._inscribe(run, name, one, metadata) for one in written]
        if not is_asset(written):
            return written
        step = OperationStep(name, run.id, run.tenant, run.project, INSCRIBE, {"image": written}, metadata)
        try:
            async with asyncio.timeout(_INSCRIBE_SECONDS):
                return (await self._operations.perform(step))["image"]
        except Exception:
            _log.warning("run %s: the picture %s does not say how it was made", run.id, name, exc_info=True)
            return written


def _metadata(run: Run, spec: WorkflowSpec) -> dict[str, str]:
    made = {"workflow": run.target, "run": run.id, "inputs": run.inputs}
    return {
        WORKFLOW_TEXT: json.dumps(spec.written(), ensure_ascii=False, separators=(",", ":")),
        RUN_TEXT: json.dumps(made, ensure_ascii=False),
    }


def _assets_named(graph: Graph, inputs: Mapping[str, Any]) -> Iterator[str]:
    for name, one in graph.inputs.items():
        port_type = parse_type(one.type)
        yield from asset_ids(inputs.get(name), port_type)
        yield from asset_ids(one.default, port_type)
    for node in graph.nodes.values():
        for port, source in node.inputs.items():
            yield from _assets_of(node, port, source)
        if node.graph is not None:
            yield from _assets_named(node.graph, {})


def _assets_of(node: Node, port: str, source: Source) -> Iterator[str]:
    if isinstance(source, Literal):
        wanted = node.ports[port].type
        yield from asset_ids(source.value, wanted.listed if port in node.map else wanted)
    elif isinstance(source, Composite) and node.ports[port].type.kind.is_media:
        listed = node.ports[port].type if node.ports[port].type.is_list else node.ports[port].type.listed
        yield from asset_ids(source.template, listed)
