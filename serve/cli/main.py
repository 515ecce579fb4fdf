"""The `slipway` command, put together."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from serve.cli import (
    adapters,
    apply,
    budgets,
    cancel,
    chat,
    config,
    delete,
    describe,
    doctor,
    get,
    keys,
    local,
    login_link,
    members,
    node,
    prices,
    projects,
    run,
    tenants,
    usage,
    workflows,
)
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import plain
from serve.domain.errors import SlipwayError

_ANYWHERE = ("--url", "--key")
"""Options of `slipway` itself that may also stand behind the command, where people write them."""


def options_first(args: list[str]) -> list[str]:
    """`args` with `--url X` and `--key X` moved to the front; what follows `--` stays where it is."""
    end = args.index("--") if "--" in args else len(args)
    words, first, rest = iter(args[:end]), [], []
    for word in words:
        if word in _ANYWHERE:
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(tuple(f"{option}=" for option in _ANYWHERE)):
            first.append(word)
        else:
            rest.append(word)
    return first + rest + args[end:]


class Slipway(TyperGroup):
    """The root command: takes its options anywhere, and turns errors into a sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `options_first`."""
        return super().parse_args(ctx, options_first(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error that has a sentence is printed, and decides the exit code."""
        try:
            return super().invoke(ctx)
        except CliError as error:
            raise _ended(error.message, error.exit_code, error.details) from error
        except SlipwayError as error:
            details = f"field: {error.param}" if error.param else ""
            raise _ended(error.message, ExitCode.REFUSED, details) from error


def _ended(message: str, exit_code: ExitCode, details: str) -> typer.Exit:
    typer.echo(typer.style("error: ", fg=typer.colors.RED, bold=True) + plain(message), err=True)
    if details:
        typer.secho(plain(details), err=True, dim=True)
    return typer.Exit(exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("slipway-serve"))
        raise typer.Exit


def _root(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_URL", help="The platform's address.", show_default="the context's")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="SLIPWAY_API_KEY", help="The API key.", show_default="the context's")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Serve generative models: start a platform, say what it serves, and use it.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no platform answers, 4 refused, 5 the run failed or was canceled.
    """
    ctx.obj = (url, key)


_COMMANDS: tuple[Callable[[typer.Typer], None], ...] = (
    local.register,
    apply.register,
    get.register,
    describe.register,
    delete.register,
    run.register,
    cancel.register,
    chat.register,
    adapters.register,
    workflows.register,
    keys.register,
    tenants.register,
    projects.register,
    members.register,
    login_link.register,
    prices.register,
    usage.register,
    budgets.register,
    config.register,
    doctor.register,
    node.register,
)


_OTHERS = "slipway.commands"
"""Entry points of packages that `serve.cli` does not know: functions like those above."""


def build_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="slipway",
        cls=Slipway,
        callback=_root,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for register in _COMMANDS:
        register(app)
    for command in sorted(entry_points(group=_OTHERS), key=lambda each: each.name):
        command.load()(app)
    return app


def main() -> None:
    """The console script's entry."""
    build_app()()


if __name__ == "__main__":
    main()
