"""What a runner needs to perform workflows, put together."""

from dataclasses import dataclass

from deployments.operation_calls import RayOperations
from serve.catalog.catalog import Catalog
from serve.domain.ports import Clock
from serve.gateway.workflows.known import Knowledge
from serve.settings import WorkflowsSettings
from serve.storage.assets import Assets
from serve.storage.records import Records
from serve.workflow.execution.performing import Performer
from serve.workflow.library.documents import Documents
from serve.workflow.library.library import Library
from serve.workflow.results.history import StepHistory
from serve.workflow.results.result_store import StoredResults


@dataclass(frozen=True, slots=True)
class WorkflowParts:
    """`history` is to be started and stopped; `results` and `documents` are to be swept."""

    performer: Performer
    history: StepHistory
    results: StoredResults
    documents: Documents


def open_workflows(records: Records, assets: Assets, clock: Clock, settings: WorkflowsSettings) -> WorkflowParts:
    """Over one database. A version that was deleted after a run was let in is known to that run still."""
    library = Library(records, clock, settings)
    history = StepHistory(records, clock)
    results = StoredResults(records, assets, clock, settings)
    performer = Performer(
        documents=library.documents,
        knows=Knowledge(Catalog(records, clock), library, with_deleted=True),
        media=assets,
        results=results,
        operations=RayOperations(),
        history=history,
        clock=clock,
        settings=settings,
    )
    return WorkflowParts(performer, history, results, library.documents)
