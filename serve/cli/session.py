"""What every command that talks to the platform starts with.

The HTTP client is imported here, when a command runs: `slipway --help` and completion do without it.
"""

from typing import TYPE_CHECKING
from urllib.parse import quote

import typer

from serve.cli.context import Context, resolve

if TYPE_CHECKING:
    from serve.cli.client import Client


def context_of(ctx: typer.Context) -> Context:
    """The address and key for this command; the root command left the options in `ctx.obj`."""
    url, key = ctx.obj or (None, None)
    return resolve(url, key)


def connect(ctx: typer.Context) -> "Client":
    """A client for the platform that this command is about; use it in a `with`."""
    from serve.cli.client import Client

    return Client(context_of(ctx))


def segment(text: str) -> str:
    """`text` as one segment of a path, whatever it holds."""
    return quote(text, safe="") if text not in (".", "..") else text.replace(".", "%2E")


def adapter_path(name: str) -> str:
    """Where an adapter is: one's own by its name, another tenant's as `tenant/name`, either with `@sha256:...`."""
    return f"/v1/adapters/{'/'.join(segment(part) for part in name.split('/', 1))}"
