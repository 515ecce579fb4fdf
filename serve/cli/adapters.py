"""`slipway adapters`: bring adapters, say something of them, share them, take their files home.

Listing, looking and deleting are `slipway get adapters`, `describe adapter` and `delete adapter`.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.adapter_files import files_of, save
from serve.cli.describe import models_for
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, note, print_data
from serve.cli.session import adapter_path, connect, segment
from serve.cli.transfers import CountedFile, bar

if TYPE_CHECKING:
    from serve.cli.client import Client

Named = Annotated[str, typer.Argument(help="The adapter's name.", metavar="NAME")]
Title = Annotated[str | None, typer.Option(help="What it is, in a few words.")]
Description = Annotated[str | None, typer.Option(help="What it is, in more words.")]
Triggers = Annotated[
    list[str] | None, typer.Option("--trigger", help="A word that calls it in a prompt; repeatable.", metavar="WORD")
]
DefaultScale = Annotated[float | None, typer.Option(help="Used where a call names none.")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="adapters", help="Upload, download and share adapters (LoRA).", no_args_is_help=True)
    group.command()(upload)
    group.command()(download)
    group.command("set")(set_words)
    group.command()(share)
    group.command()(unshare)
    app.add_typer(group)


def upload(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="What it is called. A name that is taken moves to a new version.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="A .safetensors file, a PEFT folder, its files, or a zip of one.", metavar="PATH"),
    ] = None,
    uri: Annotated[
        str | None, typer.Option(help="In place of files: hf://org/name, https://..., or asset:<id>.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="What the files at --uri must be: sha256:...")] = None,
    base: Annotated[
        str | None, typer.Option(help="A served model that it must fit.", show_default="any that it fits")
    ] = None,
    title: Title = None,
    description: Description = None,
    trigger: Triggers = None,
    scale: DefaultScale = None,
    shared: Annotated[
        list[str] | None, typer.Option("--share", help="A tenant that may use it; repeatable.", metavar="TENANT")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Store an adapter: `slipway adapters upload stripes.safetensors --name stripes --base shapes-sd`.

    The files are read, never run; what does not fit the base is refused with what was found and what was expected.
    Prints the new version's id. Calls that run keep the version they began with.
    """
    if bool(paths) == bool(uri) or (digest and not uri):
        raise CliError("Give PATHs, or --uri (and with it, if you like, --digest).", ExitCode.USAGE)
    _check_name(name)
    files = files_of(paths or [])
    fields = {"name": name, "base": base, "digest": digest, "uri": uri} | _words(title, description, trigger, scale)
    fields = {field: value for field, value in (fields | {"shared_with": shared}).items() if value not in (None, [])}
    with connect(ctx) as client:
        if base is not None:
            client.get(f"/v1/catalog/{segment(base)}")  # a base that is not there is told before a long upload
        stored, is_new = _sent(client, fields, files) if files else client.make("/v1/adapters", json=fields)
        if output is Format.TABLE:
            _print_stored(client, stored, is_new)
        else:
            print_data(stored, output)


def _check_name(name: str) -> None:
    from serve.domain.names import dns_label

    try:
        dns_label(name)
    except ValueError as error:
        raise CliError(f"--name: {error}", ExitCode.USAGE) from None


def _sent(client: "Client", fields: dict[str, Any], files: dict[str, Path]) -> tuple[dict[str, Any], bool]:
    """Send a form whose files are read as they go."""
    with ExitStack() as stack:
        try:
            moved = stack.enter_context(bar("sending", sum(path.stat().st_size for path in files.values()), "checking"))
            parts = [
                ("file", (name, stack.enter_context(CountedFile(path, moved)), "application/octet-stream"))
                for name, path in files.items()
            ]
        except OSError as error:
            raise CliError(f"Cannot read {error.filename}: {error}", ExitCode.USAGE) from error
        return client.make("/v1/adapters", data=fields, files=parts)


def _print_stored(client: "Client", stored: dict[str, Any], is_new: bool) -> None:
    typer.echo(stored["id"])
    if not is_new:
        note("These very files are the present version already.")
    facts = f"{stored['architecture']}, {', '.join(stored['kinds'])}, rank {stored['rank']}"
    note(f"{facts}, {stored['num_modules']} modules, {stored['num_bytes']} bytes.")
    models = models_for(client, stored)
    if models:
        note(f"Call it: slipway run {models[0]} --adapter {stored['address']}")


def download(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="NAME, TENANT/NAME, or either with @sha256:...", metavar="NAME")],
    to: Annotated[Path, typer.Option(help="The folder to put it in.", show_default="this folder")] = Path(),
) -> None:
    """Save an adapter's files, checked against their digests: a .safetensors file, or a PEFT folder. Prints its name.

    What lies there already is never overwritten.
    """
    with connect(ctx) as client:
        typer.echo(str(save(client, client.get(adapter_path(name)), to)))


def set_words(
    ctx: typer.Context,
    name: Named,
    title: Title = None,
    description: Description = None,
    trigger: Triggers = None,
    scale: DefaultScale = None,
) -> None:
    """Say something else of an adapter; `--trigger ''` removes its words. Its versions stay as they are."""
    words = {field: value for field, value in _words(title, description, trigger, scale).items() if value is not None}
    if not words:
        raise CliError("There is nothing to change: give --title, --description, --trigger or --scale.", ExitCode.USAGE)
    with connect(ctx) as client:
        client.patch(adapter_path(name), words)
    typer.echo(f"adapter/{name} configured")


def share(
    ctx: typer.Context,
    name: Named,
    tenants: Annotated[list[str], typer.Argument(help="Tenants; '*' is all of them (administrators).")],
) -> None:
    """Let other tenants use an adapter and download it, all its versions; they cannot change it."""
    with connect(ctx) as client:
        before = _readers(client, name)
        _share(client, name, [*before, *(tenant for tenant in dict.fromkeys(tenants) if tenant not in before)])


def unshare(
    ctx: typer.Context, name: Named, tenants: Annotated[list[str], typer.Argument(help="Tenants that may no longer.")]
) -> None:
    """End the sharing with these tenants. What they have running keeps the adapter to its end."""
    with connect(ctx) as client:
        before = _readers(client, name)
        if strangers := [tenant for tenant in tenants if tenant not in before]:
            told = ", ".join(before) or "nobody"
            raise CliError(f"{name} is not shared with {', '.join(strangers)}, but with {told}.", ExitCode.REFUSED)
        _share(client, name, [tenant for tenant in before if tenant not in tenants])


def _readers(client: "Client", name: str) -> list[str]:
    adapter = client.get(adapter_path(name))
    if adapter["address"] != adapter["name"]:
        # The list is shown to its owner only: adding to an empty one would end what the owner shares.
        raise CliError(
            f"Whom {name} is shared with is for the tenant {adapter['tenant']!r} to say.",
            ExitCode.REFUSED,
            "Use a key of that tenant.",
        )
    readers: list[str] = adapter["shared_with"]
    return readers


def _share(client: "Client", name: str, readers: Iterable[str]) -> None:
    adapter = client.patch(adapter_path(name), {"shared_with": list(readers)})
    told = ", ".join(adapter["shared_with"])
    typer.echo(f"adapter/{name} {f'shared with {told}' if told else 'is private'}")


def _words(
    title: str | None, description: str | None, trigger: list[str] | None, scale: float | None
) -> dict[str, Any]:
    triggers = [word for word in trigger if word] if trigger else None
    return {"title": title, "description": description, "trigger_words": triggers, "default_scale": scale}
