"""`slipway render`: prints what the operator would write for documents, without a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from operators.state import Manifest, World
    from serve.domain.kinds import AnyDocument

_SUFFIXES = {".yaml", ".yml", ".json"}
_REFUSED = 4
"""The exit code for a document that is invalid."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`; the entry point in `slipway.commands`."""
    app.command()(render)


def render(
    source: Annotated[
        list[str], typer.Option("--filename", "-f", help="A file, a folder of .yaml and .json files, or - for stdin.")
    ],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="The namespace that the objects are for.")
    ] = "default",
) -> None:
    """Print the RayService, and what surrounds it, that the operator makes of documents: `render -f k8s/samples`.

    Without a Platform among them it is the default one. What is wrong with the documents together goes to stderr, and
    ends the command with 4 where a document is left out for it.
    """
    from operators.desired.checks import problems
    from operators.desired.objects import desired_objects
    from operators.desired.size import size_problems
    from operators.planning.upgrades import choose_strategy

    seen = world([document for name in source for document in _read(name)], namespace)
    desired = desired_objects(seen, choose_strategy(seen))
    typer.echo(as_yaml(desired), nl=False)
    found = (*problems(seen), *size_problems(seen, desired))
    for problem in found:
        colour = typer.colors.RED if problem.is_fatal else typer.colors.YELLOW
        typer.secho(f"{problem.key.kind.lower()}/{problem.key.name}: {problem.message}", err=True, fg=colour)
    if any(problem.is_fatal for problem in found):
        raise typer.Exit(_REFUSED)


def _read(source: str) -> list["AnyDocument"]:
    from serve.catalog.manifests import load_documents

    return [document for name, text in _texts(source) for document in load_documents(text, name)]


def _texts(source: str) -> list[tuple[str, str]]:
    """(name, text) of the file, of standard input, or of the files in the folder."""
    if source == "-":
        return [("stdin", typer.get_text_stream("stdin").read())]
    path = Path(source)
    files = sorted(found for found in path.iterdir() if found.suffix in _SUFFIXES) if path.is_dir() else [path]
    try:
        return [(str(file), file.read_text()) for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{source} cannot be read: {error}", param_hint="--filename") from error


def world(documents: list["AnyDocument"], namespace: str) -> "World":
    """What the operator would see of a namespace with these documents, in a cluster that knows every optional kind."""
    from operators.desired.objects import OPTIONAL_KINDS
    from operators.state import Live, Resource, World
    from serve.domain.documents import AdapterDocument, ModelDocument
    from serve.domain.platform import PlatformDocument
    from serve.domain.workflow import WorkflowDocument
    from serve.serving.serve_config import default_platform

    platforms = [each for each in documents if isinstance(each, PlatformDocument)] or [default_platform()]
    return World(
        namespace,
        tenant="default",
        platform=Resource(platforms[0], uid=""),
        other_platforms=tuple(Resource(each, uid="") for each in platforms[1:]),
        models=tuple(Resource(each, uid="") for each in documents if isinstance(each, ModelDocument)),
        adapters=tuple(Resource(each, uid="") for each in documents if isinstance(each, AdapterDocument)),
        workflows=tuple(Resource(each, uid="") for each in documents if isinstance(each, WorkflowDocument)),
        live=Live(known_kinds=OPTIONAL_KINDS),
    )


def as_yaml(manifests: tuple["Manifest", ...]) -> str:
    """One YAML document each, texts of several lines as blocks."""
    import yaml

    class Blocks(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Blocks.add_representer(str, text)
    return yaml.dump_all(manifests, Dumper=Blocks, sort_keys=False, explicit_start=True, allow_unicode=True, width=120)
