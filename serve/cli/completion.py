"""Names that a shell completes: asked of the platform, and nothing at all where none answers."""

from serve.cli.context import resolve
from serve.cli.exits import CliError


def workflow_names(incomplete: str) -> list[str]:
    """The tenant's workflows whose names begin so."""
    from serve.cli.client import Client

    try:
        with Client(resolve(None, None)) as client:
            found = client.get("/v1/workflows", {"limit": 100, "q": incomplete or None})["data"]
    except CliError:
        return []
    return [one["name"] for one in found if one["name"].startswith(incomplete)]
