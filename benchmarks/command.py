"""What the benchmarks' commands have in common: running to the end or until told to stop, and printing the result."""

import asyncio
import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.load import LoadFailed


def numbers(text: str) -> list[int]:
    """`1,4,16` as numbers; for argparse."""
    return [int(part) for part in text.split(",")]


def print_result(measuring: Coroutine[Any, Any, dict[str, Any]], out: Path | None) -> None:
    """Run it; print its result as JSON, and write it to `out`. What happens meanwhile goes to standard error."""
    _log_to_stderr()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(_until_terminated(measuring))
    except LoadFailed as error:
        raise SystemExit(f"No result: {error}") from error
    except asyncio.CancelledError:
        raise SystemExit("No result: stopped.") from None
    _show(result, out)


def print_found(measure: Callable[[], dict[str, Any]], out: Path | None) -> None:
    """The same for a measurement that starts no servers and runs in threads of its own."""
    _log_to_stderr()
    _show(measure(), out)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _show(result: dict[str, Any], out: Path | None) -> None:
    text = _on_lines(result)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")


def _on_lines(result: dict[str, Any]) -> str:
    """Indented JSON in which the innermost objects and lists are on one line each, where they are short."""

    def joined(found: re.Match[str]) -> str:
        line = " ".join(found.group().split())
        return line if len(line) <= 140 else found.group()

    return re.sub(r"\{[^{}\[\]]*\}|\[[^{}\[\]]*\]", joined, json.dumps(result, indent=2))


async def _until_terminated(measuring: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """SIGTERM ends it as Ctrl-C does: servers are taken down on the way out."""
    task = asyncio.ensure_future(measuring)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
