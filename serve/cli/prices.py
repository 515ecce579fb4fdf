"""`slipway prices`: what calls cost, and why a charge is what it is."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from serve.cli.arguments import read_text
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, cell, note, parse_time, plain, print_data, print_table
from serve.cli.session import connect, segment

if TYPE_CHECKING:
    from serve.cli.client import Client

_UNITS = (
    "prompt_tokens",
    "cached_prompt_tokens",
    "completion_tokens",
    "images",
    "pixels",
    "pixel_steps",
    "input_images",
    "audio_ms",
    "video_ms",
    "gpu_ms",
)
Units = Annotated[int, typer.Option(min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    prices = typer.Typer(help="What calls cost, and why.", invoke_without_command=True)
    prices.callback()(list_prices)
    prices.command()(history)
    prices.command()(check)
    prices.command("set")(set_prices)
    app.add_typer(prices, name="prices")


def list_prices(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """What every model costs now, in US dollars."""
    if ctx.invoked_subcommand is not None:
        return
    with connect(ctx) as client:
        found = client.get("/v1/prices")["data"]
    if output is not Format.TABLE:
        print_data(found, output)
        return
    rows = [(row["model"], _told(row["price"]), _since(row["price"])) for row in found]
    print_table(("model", "prices", "since"), rows)


def history(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    output: Output = Format.TABLE,
) -> None:
    """Every version of a model's prices, the last one first."""
    with connect(ctx) as client:
        found = client.get(f"/v1/prices/{segment(model)}")["data"]
    if output is not Format.TABLE:
        print_data(found, output)
        return
    rows = [(price["effective_at"], price["tenant"] or "everyone", _told(price), price["id"]) for price in found]
    print_table(("from", "for", "prices", "id"), rows)


def check(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="The model's name; not needed with --event.")] = None,
    prompt_tokens: Units = 0,
    cached_prompt_tokens: Annotated[int, typer.Option(min=0, help="A part of the prompt's tokens.")] = 0,
    completion_tokens: Units = 0,
    images: Units = 0,
    pixels: Annotated[int, typer.Option(min=0, help="Of all images together.")] = 0,
    pixel_steps: Annotated[int, typer.Option(min=0, help="Pixels times denoising steps.")] = 0,
    input_images: Units = 0,
    audio_ms: Units = 0,
    video_ms: Units = 0,
    gpu_ms: Units = 0,
    adapter: Annotated[list[str] | None, typer.Option(help="An adapter of the call; repeatable.")] = None,
    at: Annotated[str | None, typer.Option(help="By the prices of this moment, as 2027-01-31T00:00:00Z.")] = None,
    price: Annotated[str | None, typer.Option(help="By this version.")] = None,
    event: Annotated[str | None, typer.Option(help="Explain a booked usage event, by its id.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Explain a charge line by line: `slipway prices check smollm2-135m-instruct --prompt-tokens 1200
    --completion-tokens 300`, or one that was booked: `slipway prices check --event ID`."""
    given = {name: value for name, value in locals().items() if name in _UNITS and value}
    with connect(ctx) as client:
        if event is not None:
            _explain_event(client, event, output)
            return
        if model is None:
            raise CliError("Name a model, or a booked event with --event.", ExitCode.USAGE)
        moment = None if at is None else _moment(at)
        body = {"model": model, "quantities": given, "adapters": adapter or [], "at": moment, "price": price}
        _print_bill(_checked(client, body), output)


def set_prices(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    source: Annotated[
        str, typer.Option("--filename", "-f", help="YAML as under `prices:` of a model's document; - for stdin.")
    ],
    tenant: Annotated[str | None, typer.Option(help="The prices of this tenant alone.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a version of a model's prices; an empty mapping, {}, takes them away. For administrators."""
    query = "" if tenant is None else f"?tenant={quote(tenant, safe='')}"
    with connect(ctx) as client:
        made = client.put(f"/v1/admin/prices/{segment(model)}{query}", _prices_in(source))
    if output is not Format.TABLE:
        print_data(made, output)
        return
    whose = f" of tenant {tenant}" if tenant else ""
    typer.echo(f"price/{made['id']}")
    note(f"Prices of {model}{whose} from {made['effective_at']}: {_told(made) or 'none'}.")


def _prices_in(source: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(read_text(source))
    except yaml.YAMLError as error:
        raise CliError(f"{source} is no YAML: {error}", ExitCode.USAGE) from error


def _checked(client: "Client", body: dict[str, Any]) -> dict[str, Any]:
    return client.post("/v1/prices/check", {name: value for name, value in body.items() if value is not None})


def _explain_event(client: "Client", event_id: str, output: Format) -> None:
    event = client.get(f"/v1/usage/events/{quote(event_id, safe='/:')}")
    postings = [event, *event["postings"]]
    last, used = postings[-1], dict[str, int]()
    for posting in postings:
        for unit, value in posting["quantities"].items():
            used[unit] = used.get(unit, 0) + value
    if last["price"] is None:
        raise CliError(
            f"It was booked without a price: {event['model']} had none when the call was admitted.",
            ExitCode.REFUSED,
            "POST /v1/admin/rerate charges it by a version that was made since.",
        )
    adapters = [adapter.partition("@")[0] for adapter in event["adapters"]]
    body = {"model": event["model"], "quantities": used, "adapters": adapters, "price": last["price"]}
    _print_bill(_checked(client, body), output)
    if not last["billable"]:
        note(f"It is not charged: {last['reason']}.")


def _print_bill(bill: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        print_data(bill, output)
        return
    print_lines(bill)
    if bill["cost"] is not None:
        typer.echo(f"total: ${bill['cost']['usd']} ({bill['cost']['nano_usd']} nano-dollars)")
        note(f"price version {bill['price']['id']}, in force from {bill['price']['effective_at']}")


def print_lines(bill: dict[str, Any]) -> None:
    """The sentences of a bill or a plan."""
    if bill["price"] is None:
        typer.echo(f"{bill['model']} has no price: its usage costs nothing, and is reported as unpriced.")
    for line in bill["lines"]:
        typer.echo(plain(line["note"]))


def print_plan(plan: dict[str, Any]) -> None:
    """What a call would take and cost at the most."""
    rows = [(unit.replace("_", " "), value) for unit, value in plan["quantities_at_most"].items()]
    print_table(("at most", "of"), [(value, unit) for unit, value in rows])
    print_lines(plan)
    if plan["cost_at_most"] is not None:
        typer.echo(f"costs at most: ${plan['cost_at_most']['usd']}")
    if plan["estimated_seconds"] is not None:
        typer.echo(f"takes about: {plan['estimated_seconds']:g} s at the most, once it has begun")
    for remark in plan["notes"]:
        note(remark)


def _moment(text: str) -> str:
    try:
        return parse_time(text).isoformat()
    except ValueError as error:
        raise CliError(f"--at takes a time as 2027-01-31T00:00:00Z: {text!r}", ExitCode.USAGE) from error


def _since(price: dict[str, Any] | None) -> str | None:
    return None if price is None else price["effective_at"]


def _told(price: dict[str, Any] | None) -> str:
    if price is None:
        return "unpriced"
    told = " ".join(f"{name}={cell(value)}" for name, value in price["prices"].items() if name != "effectiveFrom")
    return told or ("as for everyone" if price["tenant"] else "unpriced")
