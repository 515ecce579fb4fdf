"""`slipway workflows`: models put together, as APIs. Here: what there is, versions, aliases, differences."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli import workflow_calls, workflow_files, workflow_import
from serve.cli.arguments import type_label
from serve.cli.completion import workflow_names
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, age, note, plain, print_data, print_fields, print_table
from serve.cli.session import connect, segment
from serve.cli.workflow_files import print_version
from serve.cli.workflow_problems import print_problems

if TYPE_CHECKING:
    from serve.cli.client import Client

_PAGE = 100
_DIGEST_CHARS = len("sha256:") + 12
Name = Annotated[str, typer.Argument(help="The workflow's name.", metavar="NAME", autocompletion=workflow_names)]
Address = workflow_calls.Address


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(
        name="workflows", help="Models composed into workflows, published as APIs.", no_args_is_help=True
    )
    group.command("list")(list_workflows)
    for command in (
        workflow_files.apply,
        workflow_files.validate,
        workflow_calls.plan,
        workflow_calls.run,
        get,
        publish,
        versions,
        alias,
        rollback,
        diff,
        export,
        delete,
    ):
        group.command()(command)
    workflow_import.register(group)
    app.add_typer(group)


def list_workflows(
    ctx: typer.Context,
    search: Annotated[str | None, typer.Option("--search", "-s", help="In name or title.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """List workflows: `slipway workflows list --search banner`."""
    with connect(ctx) as client:
        found = _listed(client, "/v1/workflows", "name", q=search)
    if output is not Format.TABLE:
        print_data(found, output)
        return
    rows = [(one["name"], one["title"], one["latest"], _aliases(one), age(one["updated_at"])) for one in found]
    print_table(("name", "title", "latest", "aliases", "saved"), rows)


def _aliases(workflow: dict[str, Any]) -> list[str]:
    return [f"{alias}={number}" for alias, number in workflow["aliases"].items()]


def _listed(client: "Client", path: str, named: str, **filters: Any) -> list[dict[str, Any]]:
    """All of a list, over as many pages as that takes."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1][named] if found else None
        page = client.get(path, filters | {"limit": _PAGE, "after": after})
        found += page["data"]
        if not page["has_more"]:
            return found


def get(ctx: typer.Context, name: Address, output: Output = Format.TABLE) -> None:
    """Show a workflow: its versions' names, what it is called with, and what it answers.

    `slipway workflows get style-grid`, `... get style-grid@draft`.
    """
    bare, _, which = name.partition("@")
    with connect(ctx) as client:
        workflow = client.get(f"/v1/workflows/{segment(bare)}")
        seen = which or ("latest" if workflow["latest"] else "draft")
        found = _at(client, bare, seen)
    if output is not Format.TABLE:
        print_data(workflow | found, output)
        return
    print_fields(
        [
            ("Name", workflow["name"]),
            ("Title", workflow["title"]),
            ("Shown", seen if seen == "draft" else found["address"]),
            ("Latest", workflow["latest"]),
            ("Aliases", _aliases(workflow)),
            ("Digest", found.get("digest")),
            ("Managed by", workflow["managed_by"]),
            ("Saved", f"{workflow['updated_at']} by {workflow['updated_by']}"),
        ]
    )
    if description := found["workflow"].get("description"):
        typer.echo("\n" + plain(description))
    _print_interface(found)
    print_problems(found["problems"])


def _at(client: "Client", name: str, which: str) -> dict[str, Any]:
    """A version with its interface; the draft in the same form."""
    path = f"/v1/workflows/{segment(name)}"
    if which != "draft":
        return client.get(f"{path}/versions/{segment(which)}")
    draft = client.get(f"{path}/draft")
    checked = client.post("/v1/workflows/validate", draft["workflow"])
    return {"workflow": draft["workflow"]} | {field: checked[field] for field in ("inputs", "outputs", "problems")}


def _print_interface(found: dict[str, Any]) -> None:
    if schema := found["inputs"]:
        required = schema.get("required") or ()
        rows = [
            (name, _type(field, schema), _default(name, field, required), field.get("description"))
            for name, field in (schema.get("properties") or {}).items()
        ]
        typer.echo("\nInputs")
        print_table(("name", "type", "default", "description"), rows)
    if schema := found["outputs"]:
        shown = (schema.get("properties") or {}).items()
        typer.echo("\nOutputs")
        print_table(
            ("name", "type", "description"),
            [(name, _type(field, schema), field.get("description")) for name, field in shown],
        )


def _default(name: str, field: dict[str, Any], required: Any) -> Any:
    return "(required)" if name in required else field.get("default")


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """`image`, `list of adapter`, or as JSON Schema has it."""
    items = field.get("items")
    if isinstance(items, dict) and "array" in _words(field.get("type")):
        return f"list of {_type(items, schema)}"
    if field.get("format"):
        return str(field["format"])
    kinds = [kind for kind in _words(field.get("type")) if kind != "null"]
    return type_label(field | ({"type": kinds} if kinds else {}), schema)


def _words(kinds: Any) -> list[str]:
    return [kinds] if isinstance(kinds, str) else list(kinds or ())


def publish(
    ctx: typer.Context,
    name: Name,
    alias: Annotated[list[str] | None, typer.Option(help="An alias that is to mean it, as prod; repeatable.")] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="What to note with the version.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Make a version of the draft, which never changes: `slipway workflows publish banner --alias prod -m "wider"`.

    Prints its address. A draft that says what the latest version says makes no new one.
    """
    with connect(ctx) as client:
        path = f"/v1/workflows/{segment(name)}/versions"
        version, is_new = client.make(path, json={"note": message, "aliases": alias or []})
    if output is not Format.TABLE:
        print_data(version, output)
        return
    print_version(version)
    if not is_new:
        note("The latest version says all that the draft does: there is no new one.")


def versions(ctx: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """List the versions of a workflow, the newest first."""
    with connect(ctx) as client:
        found = _listed(client, f"/v1/workflows/{segment(name)}/versions", "version")
    if output is not Format.TABLE:
        print_data(found, output)
        return
    rows = [
        (one["version"], one["aliases"], one["note"], one["digest"][:_DIGEST_CHARS], age(one["created_at"]))
        for one in found
    ]
    print_table(("version", "aliases", "note", "digest", "age"), rows)


def alias(
    ctx: typer.Context,
    name: Name,
    called: Annotated[str, typer.Argument(help="The alias, as prod.", metavar="ALIAS")],
    version: Annotated[int | None, typer.Argument(help="The version that it is to mean.", min=1)] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the alias.")] = False,
) -> None:
    """Have an alias mean a version: `slipway workflows alias banner prod 3`."""
    if (version is None) is not remove:
        raise CliError("Give the version that the alias is to mean, or --remove.", ExitCode.USAGE)
    path = f"/v1/workflows/{segment(name)}/aliases/{segment(called)}"
    with connect(ctx) as client:
        if remove:
            client.delete(path)
            typer.echo(f"{name}@{called} removed")
        else:
            _print_alias(name, client.put(path, {"version": version}))


def rollback(
    ctx: typer.Context,
    name: Name,
    called: Annotated[str, typer.Argument(help="The alias, as prod.", metavar="ALIAS")],
) -> None:
    """Have an alias mean the version again that it meant before: `slipway workflows rollback banner prod`."""
    with connect(ctx) as client:
        path = f"/v1/workflows/{segment(name)}/aliases/{segment(called)}"
        _print_alias(name, client.post(f"{path}/rollback", {}))


def _print_alias(name: str, moved: dict[str, Any]) -> None:
    before = f" (before: {moved['previous']})" if moved["previous"] else ""
    typer.echo(f"{name}@{moved['alias']} means {name}@{moved['version']}{before}")


def diff(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(help="NAME for its latest version, or NAME@3, NAME@prod.", metavar="FROM")],
    after: Annotated[
        str | None, typer.Argument(help="The same of another state.", metavar="TO", show_default="NAME@draft")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what changed from one state of a workflow to another: `slipway workflows diff banner@1 banner@draft`.

    Words and layout are told last: they change nothing that it does.
    """
    name, _, old = before.partition("@")
    other, _, new = (after or f"{name}@draft").partition("@")
    if other != name:
        raise CliError(f"{before} and {after} are different workflows.", ExitCode.USAGE)
    with connect(ctx) as client:
        found = client.get(f"/v1/workflows/{segment(name)}/diff", {"from": old or "latest", "to": new or "latest"})
    if output is not Format.TABLE:
        print_data(found, output)
        return
    for one in found["differences"]:
        typer.echo(f"{_SIGNS.get(one['kind'].rpartition('_')[2], '~')} {plain(one['message'])}")
    if not found["differences"]:
        typer.echo(f"{name}: {found['from']} and {found['to']} are the same.")
    elif found["is_same"]:
        note("Both do the same.")


_SIGNS = {"added": "+", "removed": "-"}


def export(
    ctx: typer.Context,
    name: Address,
    output: Annotated[Format, typer.Option("--output", "-o", help="yaml or json.")] = Format.YAML,
) -> None:
    """Print the document of a workflow, to keep in git and to apply:
    `slipway workflows export banner@prod > banner.yaml`."""
    bare, _, which = name.partition("@")
    with connect(ctx) as client:
        document = client.get(f"/v1/workflows/{segment(bare)}/document", {"version": which or "latest"})
    print_data(document, Format.JSON if output is Format.JSON else Format.YAML)


def delete(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="NAME with all that is in it, or NAME@3 for one version.",
            metavar="NAME[@VERSION]",
            autocompletion=workflow_names,
        ),
    ],
) -> None:
    """Delete a workflow with its draft and versions, or one version. Runs that have begun go on."""
    bare, _, which = name.partition("@")
    path = f"/v1/workflows/{segment(bare)}"
    with connect(ctx) as client:
        client.delete(f"{path}/versions/{segment(which)}" if which else path)
    typer.echo(f"workflow/{name} deleted")
