"""How an adapter or a workflow is, as its resource says it: the platform has it, or says why not."""

from typing import Any

from operators.conditions.rolling import Finding, conditions, reason_of, summed_up
from operators.conditions.seen import Seen, accepted, key_of, unanswered
from operators.state import Resource, StoredDocument
from operators.syncing.documents import is_stored
from serve.domain.documents import AdapterDocument, Document
from serve.domain.workflow import WorkflowDocument


def adapter_status(adapter: Resource[AdapterDocument], seen: Seen) -> dict[str, Any]:
    """The status of an Adapter."""
    stored = seen.catalogue.adapters.get(adapter.name)
    status = _status(adapter, stored, seen, ("version", "base"))
    if stored is not None and stored.version:
        status["version"] = stored.version
    if stored is not None and stored.base:
        status["base"] = stored.base
    return status


def workflow_status(workflow: Resource[WorkflowDocument], seen: Seen) -> dict[str, Any]:
    """The status of a Workflow."""
    stored = seen.catalogue.workflows.get(workflow.name)
    status = _status(workflow, stored, seen, ("version",))
    if stored is not None and stored.version:
        status["version"] = int(stored.version)
    return status


def _status(
    resource: Resource[Document], stored: StoredDocument | None, seen: Seen, known: tuple[str, ...]
) -> dict[str, Any]:
    """`known`: what of the status so far stays where the platform says nothing new."""
    if (kept := seen.keeps(resource)) is not None:
        return dict(kept)
    status: dict[str, Any] = {"tenant": seen.world.tenant, "observedGeneration": resource.generation}
    if not seen.catalogue.is_answering:
        status |= {key: resource.status[key] for key in ("digest", *known) if key in resource.status}
    elif stored is not None:
        status["digest"] = stored.digest
    findings = [accepted(seen.problems.get(key_of(resource), ())), _applied(resource, stored, seen)]
    ready = Finding("Ready", "True", "Applied", "Calls can use it.")
    status["conditions"] = conditions(summed_up(findings, ready), resource.status, resource.generation, seen.now)
    return status


def _applied(resource: Resource[Document], stored: StoredDocument | None, seen: Seen) -> Finding:
    refusal = seen.refusal_of(resource.document)
    if refusal is not None:
        return Finding("Applied", "False", reason_of(refusal.code), refusal.message)
    silence = unanswered(seen, "Applied")
    if silence is not None:
        return silence
    if not is_stored(resource, stored):
        return Finding("Applied", "False", "NotAppliedYet", "The platform does not have this document yet.")
    return Finding("Applied", "True", "Applied", "The platform has this document.")
