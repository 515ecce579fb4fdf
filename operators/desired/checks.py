"""What is wrong with the documents of a namespace, beyond what each can know of itself."""

from operators.state import ObjectKey, Problem, Resource, World
from serve.domain.documents import Document


def problems(world: World) -> tuple[Problem, ...]:
    """Every problem, in the order of the resources' names."""
    return ()


def _problem(resource: Resource[Document], reason: str, message: str) -> Problem:
    return Problem(ObjectKey(resource.document.api_version, resource.document.kind, resource.name), reason, message)
