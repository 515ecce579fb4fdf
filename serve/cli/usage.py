"""`slipway usage`: what was used and what it costs, single events, exports, and whether it all adds up."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from serve.cli import usage_audit
from serve.cli.output import Format, Output, note, print_data, print_table
from serve.cli.session import connect, segment
from serve.cli.times import ago

_MAX_PAGE = 1000
Since = Annotated[str, typer.Option(help="From when: 24h, 7d, 4w, or a time as 2027-01-31T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Until when; now, if nothing is said.")]
OfModel = Annotated[str | None, typer.Option("--model", help="Of this model.")]
OfKey = Annotated[str | None, typer.Option("--of-key", help="Of the key with this id.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Of another tenant, or * for all (admin keys only).")]
OfProject = Annotated[str | None, typer.Option("--project", help="Of this project.")]
Tagged = Annotated[list[str] | None, typer.Option("--tag", help="key=value; repeatable.")]
_FLAGS = ("unbilled", "estimated", "unpriced")


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="usage", help="What was used, and what it costs.", invoke_without_command=True)
    group.callback()(usage)
    group.command()(events)
    group.command()(export)
    usage_audit.register(group)
    app.add_typer(group)


def usage(
    ctx: typer.Context,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="tenant, project, key, model, adapter, workflow, node or tag:<key>; repeatable.", show_default="model"
        ),
    ] = None,
    since: Since = "30d",
    until: Until = None,
    granularity: Annotated[str, typer.Option(help="hour, day, month or total.")] = "total",
    model: OfModel = None,
    of_key: OfKey = None,
    project: OfProject = None,
    tag: Tagged = None,
    tenant: OfTenant = None,
    output: Output = Format.TABLE,
) -> None:
    """Usage and cost, summed: `slipway usage --by model --since 7d --granularity day`."""
    if ctx.invoked_subcommand is not None:
        return
    names = by or ["model"]
    asked = _asked(since, until, model, of_key, project, tag, tenant)
    rows = _all_pages(ctx, asked | {"group_by": names, "granularity": granularity})
    if output is not Format.TABLE:
        print_data(rows, output)
        return
    if not rows:
        note("Nothing was used in this time.")
        return
    _print_usage(names, rows, granularity)


def _all_pages(ctx: typer.Context, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with connect(ctx) as client:
        while True:
            answer = client.get("/v1/usage", {**params, "limit": _MAX_PAGE, "after": len(rows)})
            rows += answer["data"]
            if not answer["has_more"]:
                return rows


def _print_usage(names: list[str], rows: list[dict[str, Any]], granularity: str) -> None:
    units = list(dict.fromkeys(unit for row in rows for unit in row["quantities"]))
    flags = [name for name in _FLAGS if any(row[name] for row in rows)]
    periods = [] if granularity == "total" else ["from"]
    has_less = any(row["cost"]["due"] != row["cost"]["list"] for row in rows)
    money = ["list", "free", "credit", "due"] if has_less else ["due"]
    heads = [*periods, *names, "attempts", *(unit.replace("_", " ") for unit in units), *flags]
    print_table(
        [*heads, *(f"{name} usd" for name in money)],
        [
            [
                *([row["period"]] if periods else []),
                *(row["group"][name] for name in names),
                row["attempts"],
                *(row["quantities"].get(unit, 0) for unit in units),
                *(row[name] for name in flags),
                *(row["cost"][name]["usd"] for name in money),
            ]
            for row in rows
        ],
    )
    if num_unpriced := sum(row["unpriced"] for row in rows):
        note(f"{num_unpriced} attempts have no price: they are in no cost. POST /v1/admin/rerate charges them later.")


def events(
    ctx: typer.Context,
    event_id: Annotated[str | None, typer.Argument(help="One of them, with what was posted on it since.")] = None,
    request: Annotated[str | None, typer.Option(help="Of this request.")] = None,
    run: Annotated[str | None, typer.Option(help="Of this run.")] = None,
    since: Since = "30d",
    until: Until = None,
    model: OfModel = None,
    of_key: OfKey = None,
    project: OfProject = None,
    tag: Tagged = None,
    tenant: OfTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_PAGE, help="How many.")] = 50,
    output: Output = Format.TABLE,
) -> None:
    """Single attempts and corrections, the newest first."""
    asked = _asked(since, until, model, of_key, project, tag, tenant)
    with connect(ctx) as client:
        if event_id is not None:
            found = client.get(f"/v1/usage/events/{'/'.join(segment(part) for part in event_id.split('/'))}")
            print_data(found, Format.YAML if output is Format.TABLE else output)
            return
        answer = client.get("/v1/usage/events", asked | {"request_id": request, "run_id": run, "limit": limit})
    if output is not Format.TABLE:
        print_data(answer["data"], output)
        return
    print_table(
        ["id", "model", "status", "billed", "basis", "quantities", "usd", "admitted"], map(_event, answer["data"])
    )
    if answer["has_more"]:
        note("There are more; --limit shows them, and `slipway usage export` gives all.")


def _event(row: dict[str, Any]) -> list[Any]:
    billed = "yes" if row["billable"] else f"no: {row['reason']}"
    cost = "unpriced" if row["cost"] is None else row["cost"]["due"]["usd"]
    quantities = " ".join(f"{name}={value}" for name, value in row["quantities"].items())
    return [row["id"], row["model"], row["status"], billed, row["basis"], quantities, cost, row["admitted_at"]]


def export(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Option("--to", help="A file; else standard output.")] = None,
    form: Annotated[str, typer.Option("--format", help="csv or cloudevents.")] = "csv",
    since: Since = "30d",
    until: Until = None,
    booked_since: Annotated[
        str | None, typer.Option(help="Only what was booked since: where the last export ended.")
    ] = None,
    model: OfModel = None,
    project: OfProject = None,
    tenant: OfTenant = None,
) -> None:
    """Every event as CSV, or as CloudEvents in lines of JSON, in the order they were booked."""
    asked = _asked(since, until, model, None, project, None, tenant) | {"format": form}
    if booked_since is not None:
        asked["booked_since"] = ago(booked_since, "--booked-since")
    with connect(ctx) as client:
        parts = client.download("/v1/usage/events", asked)
        if file is None:
            for part in parts:
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            return
        with file.open("wb") as written:
            for part in parts:
                written.write(part)
    note(f"Written to {file}.")


def _asked(
    since: str,
    until: str | None,
    model: str | None,
    key: str | None,
    project: str | None,
    tag: list[str] | None,
    tenant: str | None,
) -> dict[str, Any]:
    return {
        "from": ago(since, "--since"),
        "to": None if until is None else ago(until, "--until"),
        "model": model,
        "key": key,
        "project": project,
        "tag": tag or None,
        "tenant": tenant,
    }
