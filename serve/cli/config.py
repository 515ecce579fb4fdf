"""`slipway config`: the effective settings of this machine."""

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, print_data, print_table

MASK = "********"
"""What stands for a secret that is set."""


class ConfigFormat(StrEnum):
    """How settings are printed; `env` can be sourced by a shell."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    ENV = "env"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(config)


def config(
    output: Annotated[
        ConfigFormat, typer.Option("--output", "-o", help="How to print the settings.")
    ] = ConfigFormat.TABLE,
) -> None:
    """Show every setting: its variable, its effective value (secrets masked), what it does."""
    rows = [(variable, description, printable(value)) for variable, description, value in _rows()]
    match output:
        case ConfigFormat.TABLE:
            print_table(["variable", "value", "description"], [(name, value, about) for name, about, value in rows])
        case ConfigFormat.ENV:
            for name, about, value in rows:
                # A mask that a shell sourced would become the secret.
                hidden = "# " if value == MASK else ""
                typer.echo(f"# {about}\n{hidden}{name}={shlex.quote(_as_variable(value))}")
        case _:
            data = [{"variable": name, "value": value, "description": about} for name, about, value in rows]
            print_data(data, Format(output.value))


def _rows() -> list[tuple[str, str, Any]]:
    from pydantic import ValidationError

    from serve.settings import Settings

    try:
        return Settings().rows()
    except ValidationError as error:
        details = "\n".join(
            f"SLIPWAY_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}" for item in error.errors()
        )
        raise CliError("The environment holds settings that are not valid.", ExitCode.USAGE, details) from error


def printable(value: Any) -> Any:
    """A plain value; secrets are asterisks if they are set, and empty if not."""
    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return str(value) if isinstance(value, Path) else value


def _as_variable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
