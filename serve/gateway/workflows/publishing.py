"""From a draft, or a document, to a version: checked as it will run, and then stored whole."""

from serve.auth.access import Caller
from serve.domain.errors import Conflict
from serve.domain.names import TenantName
from serve.domain.workflow import WorkflowDocument
from serve.gateway.services import Services
from serve.gateway.workflows.checking import ready
from serve.gateway.workflows.views import PublishBody
from serve.workflow.library.library import Applied, is_version_of
from serve.workflow.library.stored_workflows import NewVersion, StoredDraft, StoredVersion

_NUM_TRIES = 5
"""A draft is saved every other second while somebody types."""


def author(caller: Caller) -> str:
    """Who is said to have written: the person, or the key."""
    return caller.user_id or caller.key_id


async def publish_draft(
    services: Services, caller: Caller, name: str, body: PublishBody, revision: str | None
) -> tuple[StoredVersion, bool]:
    """Publish the draft as it is now, or only at `revision`; whether that made a version.

    Raises:
        NotFound, Conflict: as `Library.publish`. InvalidWorkflow: with everything that is wrong with the draft.
    """
    for left in reversed(range(_NUM_TRIES)):
        draft = await services.workflows.draft(caller.tenant, name)
        checked = await ready(services, caller.tenant, draft.spec)
        new = NewVersion(
            caller.tenant,
            name,
            checked.spec,
            author(caller),
            body.note,
            revision or draft.workflow.revision,
            aliases=tuple(body.aliases),
        )
        try:
            return await services.workflows.publish(new)
        except Conflict as error:
            if revision is not None or not left or error.code != "revision_mismatch":
                raise
    raise AssertionError("the last try returns or raises")


async def apply_document(
    services: Services, caller: Caller, owner: TenantName, document: WorkflowDocument, managed_by: str
) -> tuple[StoredVersion, Applied]:
    """Make a workflow what a document says. Raises as `Library.apply`, and InvalidWorkflow."""
    checked = await ready(services, owner, document.spec)
    new = NewVersion(owner, document.name, checked.spec, author(caller), manager=managed_by)
    return await services.workflows.apply(new, document.spec)


async def is_published(services: Services, draft: StoredDraft) -> bool:
    """Whether the latest version says all that the draft does."""
    if draft.workflow.latest is None:
        return False
    latest = await services.workflows.versions.get(draft.workflow.tenant, draft.workflow.name, draft.workflow.latest)
    return is_version_of(draft.spec, await services.workflows.versions.spec(latest))
