"""`slipway login-link`: a link that signs one browser in to the web app, once."""

import typer

from serve.cli.output import Format, Output, print_data
from serve.cli.session import connect


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("login-link")(login_link)


def login_link(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Print a link that signs one browser in to the web app, once, as the local administrator.

    It takes an admin key, and lasts a quarter of an hour. Whoever opens it first is in: send it to nobody.
    """
    with connect(ctx) as client:
        made = client.post("/v1/login-links")
    if output is Format.TABLE:
        typer.echo(made["url"])
    else:
        print_data(made, output)
