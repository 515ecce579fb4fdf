"""`slipway chat`: talk to a model."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.arguments import parse_adapters
from serve.cli.describe import cost_text
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import note, write_text
from serve.cli.session import connect

if TYPE_CHECKING:
    from serve.cli.client import Client

_ENDINGS = {"length": "cut at the token limit", "stopped": "stopped"}
HELP = """\
/system TEXT   set the instructions and start anew; without TEXT, remove them
/reset         forget the conversation
/help          this
/exit          end (or Ctrl-D)
Ctrl-C stops an answer."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(chat)


def chat(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name, or MODEL:ADAPTER.")],
    system: Annotated[str | None, typer.Option(help="Instructions for the model.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Say this, print the answer, end.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens per answer at the most.")] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="An adapter to apply, with its scale; repeatable, they add up.", metavar="NAME[=SCALE]"),
    ] = None,
) -> None:
    """Chat with a model. With --message, or text on stdin, answer once and end."""
    adapters = parse_adapters(adapter or []) or None
    options = {"temperature": temperature, "max_tokens": max_tokens, "adapters": adapters}
    conversation = Conversation(model, {name: value for name, value in options.items() if value is not None}, system)
    with connect(ctx) as client:
        if message is None and not _is_interactive():
            message = sys.stdin.read().strip()
            if not message:
                raise CliError("There is nothing on stdin to say; use --message.", ExitCode.USAGE)
        if message is not None:
            note(say(client, conversation, message).footer())
        else:
            converse(client, conversation)


def _is_interactive() -> bool:
    return sys.stdin.isatty()


@dataclass
class Conversation:
    """What was said so far. `options` go with every request."""

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    turns: list[dict[str, str]] = field(default_factory=list)

    def request(self) -> dict[str, Any]:
        """The body of the next call."""
        instructions = [{"role": "system", "content": self.system}] if self.system else []
        return {
            "model": self.model,
            "messages": instructions + self.turns,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.options,
        }

    def command(self, line: str) -> bool:
        """Do what a line that starts with a slash says; False ends the conversation."""
        word, _, rest = line.partition(" ")
        match word:
            case "/exit" | "/quit":
                return False
            case "/reset":
                self.turns.clear()
            case "/system":
                self.system = rest.strip() or None
                self.turns.clear()
            case "/help":
                note(HELP)
            case _:
                note(f"There is no {word}. {HELP}")
        return True


@dataclass
class Answer:
    """One answer, as it was measured from here. Seconds from the request; counts as the platform gives them."""

    text: str = ""
    first_seconds: float | None = None
    seconds: float = 0.0
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None

    def footer(self) -> str:
        """`12 + 34 tokens · first after 0.21 s · 56 tokens/s`."""
        parts = []
        if self.usage:
            parts.append(f"{self.usage['prompt_tokens']} + {self.usage['completion_tokens']} tokens")
            parts += [text] if (text := cost_text(self.usage.get("cost"))) else []
        if self.first_seconds is not None:
            parts.append(f"first after {self.first_seconds:.2f} s")
            decode_seconds = self.seconds - self.first_seconds
            if self.usage and self.usage["completion_tokens"] > 1 and decode_seconds > 0:
                parts.append(f"{(self.usage['completion_tokens'] - 1) / decode_seconds:.0f} tokens/s")
        if self.finish_reason in _ENDINGS:
            parts.append(_ENDINGS[self.finish_reason])
        return " · ".join(parts)


def say(client: "Client", conversation: Conversation, text: str) -> Answer:
    """Say `text` and print the answer while it comes. Ctrl-C ends the answer, and what came of it is kept."""
    conversation.turns.append({"role": "user", "content": text})
    answer, began = Answer(), time.monotonic()
    try:
        with contextlib.closing(client.chat(conversation.request())) as chunks:
            _print_chunks(chunks, answer, began)
    except KeyboardInterrupt:
        answer.finish_reason = "stopped"
    except CliError:
        # The question stays out of the conversation, so that the next one is not asked on top of it.
        conversation.turns.pop()
        raise
    finally:
        answer.seconds = time.monotonic() - began
        if answer.text and not answer.text.endswith("\n"):
            write_text("\n")
    if answer.text:
        conversation.turns.append({"role": "assistant", "content": answer.text})
    else:
        conversation.turns.pop()
    return answer


def _print_chunks(chunks: Iterator[dict[str, Any]], answer: Answer, began: float) -> None:
    for chunk in chunks:
        answer.usage = chunk.get("usage") or answer.usage
        for choice in chunk["choices"]:
            text = choice["delta"].get("content") or ""
            if text and answer.first_seconds is None:
                answer.first_seconds = time.monotonic() - began
            answer.text += text
            answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
            write_text(text)


def converse(client: "Client", conversation: Conversation) -> None:
    """Read, say, print, until the person leaves."""
    # Importing it gives input() line editing and history.
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - importing it gives input() a history
    note(f"{conversation.model}. /help shows the commands, Ctrl-D ends.")
    while (line := _read_line()) is not None:
        if line.startswith("/"):
            if not conversation.command(line):
                return
        elif line:
            _turn(client, conversation, line)


def _turn(client: "Client", conversation: Conversation, line: str) -> None:
    """One exchange. A refusal ends the turn; a platform that went away ends the command."""
    try:
        note(say(client, conversation, line).footer())
    except CliError as error:
        if error.exit_code is ExitCode.UNREACHABLE:
            raise
        note(f"{error.message}  {error.details}".rstrip())


def _read_line() -> str | None:
    """The next line, stripped; None at the end of input. Ctrl-C gives a fresh prompt."""
    while True:
        try:
            return input("> ").strip()
        except KeyboardInterrupt:
            write_text("\n")
        except EOFError:
            write_text("\n")
            return None
