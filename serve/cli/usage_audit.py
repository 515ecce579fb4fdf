"""`slipway usage reconcile`, `accept`, `conflicts` and `rerate`: whether usage adds up, and what somebody decided."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, note, plain, print_data, print_table
from serve.cli.session import connect
from serve.cli.times import ago

if TYPE_CHECKING:
    from serve.cli.client import Client

Note = Annotated[str, typer.Option(help="Why: kept with the decision.")]


def register(group: typer.Typer) -> None:
    """Add the commands to `usage`."""
    group.command()(reconcile)
    group.command()(accept)
    group.command()(rerate)
    conflicts = typer.Typer(name="conflicts", help="Records in quarantine.", invoke_without_command=True)
    conflicts.callback()(list_by_default)
    conflicts.command("list")(list_conflicts)
    conflicts.command()(resolve)
    group.add_typer(conflicts)


def reconcile(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(help="Sources that reported since: 24h, 7d, or a time.")] = "7d",
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare with a Prometheus, too: http://localhost:9090.")
    ] = None,
    window: Annotated[
        str,
        typer.Option(help="Full hours that are compared with Prometheus: as many, up to the last one that is over."),
    ] = "1h",
    show_all: Annotated[bool, typer.Option("--all", help="Also what adds up.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Whether every token and image is accounted for. Exit code 1 and words if something does not add up."""
    with connect(ctx) as client:
        found = client.get("/v1/admin/reconcile", {"since": ago(since, "--since"), "all": show_all or None})
        if prometheus is not None:
            from serve.cli.prometheus import compare

            found["prometheus"] = compare(client, prometheus, window)
    if output is not Format.TABLE:
        print_data(found, output)
    else:
        _print_audit(found)
    differing = [one for one in found.get("prometheus", ()) if one["result"] == "differs"]
    if not found["adds_up"] or differing:
        raise CliError(
            "Usage does not add up.",
            ExitCode.FAILED,
            "k8s/runbooks/SlipwayUsageUnreconciled.md says what to do about each.",
        )


def rerate(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    price: Annotated[str, typer.Option(help="The version to charge by: `slipway prices history MODEL` lists them.")],
    since: Annotated[str, typer.Option(help="Calls admitted since: 24h, 7d, or a time.")],
    until: Annotated[str, typer.Option(help="Calls admitted before that; now, if nothing is said.")] = "0s",
    wrong: Annotated[str | None, typer.Option(help="Calls charged by this version, not those without a price.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Charge what was booked without a price, or by a wrong one. Saying it again changes nothing."""
    span = {"since": ago(since, "--since"), "until": ago(until, "--until")}
    with connect(ctx) as client:
        done = client.post("/v1/admin/rerate", {"model": model, "version": price, "wrong": wrong, **span})
    if output is not Format.TABLE:
        print_data(done, output)
        return
    typer.echo(f"{done['attempts']} attempts, {done['change']['usd']} USD in all")


def _print_audit(found: dict[str, Any]) -> None:
    for source in found["data"]:
        words = " ".join([*(one["message"] for one in source["differences"]), *source["explained"]]) or "adds up"
        typer.echo(f"{source['source']} ({source['state']}, {source['booked']} events): {plain(words)}")
    for one in found.get("prometheus", ()):
        typer.echo(f"{one['tenant']} {one['model']} {one['unit']}: {one['result']} {one['message']}".rstrip())
    if found.get("prometheus") == []:
        note("Prometheus: nothing was used in the full hours that are compared; --window 24h takes more of them.")
    if found["late_witnesses"]:
        typer.echo(f"{found['late_witnesses']} calls wait for a ledger to book them: is one running?")
    verdict = "everything adds up" if found["adds_up"] else "see above"
    note(f"{found['sources']} sources: {verdict}.")


def accept(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="The source that `reconcile` names.")],
    why: Note = "",
) -> None:
    """Take note of what does not add up at a source now: it is told as known from then on, and anything new as new."""
    with connect(ctx) as client:
        found = client.post("/v1/admin/reconcile/accept", {"source": source, "note": why})["accepted"]
    for one in found:
        typer.echo(f"accepted: {plain(one['message'])}")
    if not found:
        note("There was nothing to accept.")


All = Annotated[bool, typer.Option("--all", help="Also those that are decided.")]


def list_by_default(ctx: typer.Context, show_all: All = False, output: Output = Format.TABLE) -> None:
    """Records in quarantine: each contradicts what is booked, or makes no sense."""
    if ctx.invoked_subcommand is None:
        list_conflicts(ctx, show_all, output)


def list_conflicts(ctx: typer.Context, show_all: All = False, output: Output = Format.TABLE) -> None:
    """The records, the newest first."""
    with connect(ctx) as client:
        found = client.get("/v1/admin/conflicts", {"all": show_all or None, "limit": 1000})
    if output is not Format.TABLE:
        print_data(found["data"], output)
        return
    if not found["data"]:
        note("Nothing waits in quarantine.")
        return
    rows = [_row(record) for record in found["data"]]
    print_table(("id", "record", "source", "says", "received", "decided", "reason"), rows)
    if found["has_more"]:
        note("There are more.")


def _row(record: dict[str, Any]) -> list[Any]:
    said = record["record"]
    quantities = " ".join(f"{name}={value}" for name, value in said.get("quantities", {}).items())
    says = f"{said.get('status')} {quantities}"
    moments = (record["received_at"], record["resolved_at"])
    return [record["id"], record["payload_sha256"][:12], record["source"], says, *moments, record["reason"]]


def resolve(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(help="The attempt's id.")],
    right: Annotated[str, typer.Option(help="ledger: it stays as it is; record: it is corrected to what that says.")],
    record: Annotated[str, typer.Option(help="Which record, by the beginning of its hash, where there are more.")] = "",
    why: Note = "",
) -> None:
    """Decide on a record in quarantine, for ever: `slipway usage conflicts resolve ID --right ledger`."""
    with connect(ctx) as client:
        sha256 = _the_one(client, id, record)
        body = {"id": id, "payload_sha256": sha256, "right": right, "note": why}
        client.post("/v1/admin/conflicts/resolve", body)
    note("The ledger stays as it is." if right == "ledger" else "The ledger is corrected.")


def _the_one(client: "Client", id: str, beginning: str) -> str:
    found = client.get("/v1/admin/conflicts", {"limit": 1000})["data"]
    hashes = [one["payload_sha256"] for one in found if one["id"] == id]
    hashes = [sha256 for sha256 in hashes if sha256.startswith(beginning)]
    if len(hashes) == 1:
        return str(hashes[0])
    if not hashes:
        raise CliError("No record of this attempt waits in quarantine.", ExitCode.REFUSED)
    raise CliError(f"{len(hashes)} records of this attempt wait; --record says which one.", ExitCode.USAGE)
