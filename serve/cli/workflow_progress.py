"""A run of a workflow, followed live: a line for each step that is running."""

import json
from typing import TYPE_CHECKING, Any

from serve.cli.output import note

if TYPE_CHECKING:
    from serve.cli.board import Board
    from serve.cli.sse import ServerEvent

_NESTED, _OPERATION = "workflow:", "op:"
_UNTOLD = ("succeeded", "cached", "skipped")
_MAX_TEXT = 60
"""Characters of an answer in the making that are shown: its last ones."""


class StepsDisplay:
    """Shows events of a workflow's run. `quiet` shows nothing."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self._board: Board | None = None
        self._texts: dict[str, str] = {}

    def show(self, event: "ServerEvent") -> None:
        """Show one event."""
        if self.quiet:
            return
        data: dict[str, Any] = json.loads(event.data)
        label = str(data.get("step") or data.get("label") or "")
        match event.kind:
            case "started":
                self._started()
            case "step":
                self._step(label, data)
            case "progress" if label:
                self._progress(label, data)
            case "output" if label and isinstance(data.get("text"), str):
                self._text(label, data["text"])
            case "log":
                note(f"{label}: {data.get('message', '')}" if label else str(data.get("message", "")))

    def _started(self) -> None:
        """Of a new attempt, which shows again what is still running."""
        self.close()

    def _step(self, label: str, data: dict[str, Any]) -> None:
        kind, status = str(data.get("type", "")), str(data["status"])
        # What a nested workflow does is told by its own steps.
        if kind.startswith(_NESTED) or (status in _UNTOLD and not self._is_shown(label, kind)):
            return
        board = self._shown()
        if status == "running":
            board.show(label, status)
            return
        seconds = data.get("seconds")
        told = (data.get("error") or {}).get("message") or ("" if seconds is None else f"took {seconds:.1f} s")
        board.show(label, status, told)
        if status != "failed":
            board.drop(label)

    def _is_shown(self, label: str, kind: str) -> bool:
        """Whether its end is worth a line: operations are done before anybody could read that they began."""
        return not kind.startswith(_OPERATION) or self._shown().state(label) is not None

    def _progress(self, label: str, data: dict[str, Any]) -> None:
        done, total = data.get("done"), data.get("total")
        fraction = done / total if done is not None and total else None
        self._shown().show(label, "running", str(data.get("phase", "")), fraction)

    def _text(self, label: str, text: str) -> None:
        self._texts[label] = (self._texts.get(label, "") + text)[-_MAX_TEXT:]
        self._shown().show(label, "running", " ".join(self._texts[label].split()))

    def _shown(self) -> "Board":
        if self._board is None:
            from rich.console import Console

            from serve.cli.board import Board

            self._board = Board(Console(stderr=True))
            self._board.__enter__()
        return self._board

    def close(self) -> None:
        """Leave the terminal to others."""
        if self._board is not None:
            self._board.__exit__(None, None, None)
            self._board = None
