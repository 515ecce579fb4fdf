"""A stage's figures on disk: written after each, so that a stage that is cut off goes on where it stopped.

A measurement that fails leaves its error in the figure's place, and the next one runs.
"""

import json
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEEDED_SECONDS = 20.0
"""What a measurement is taken to need, unless it says otherwise: one that would overrun the stage's budget waits for
the next run of the script."""
_STICKY = ("CUDA error", "device-side assert", "an illegal memory access")
logger = logging.getLogger(__name__)


class DeviceBroken(Exception):
    """The device answers nothing any more in this process: the rest is for the next one."""


class Record:
    """One stage: `figures` by name, `errors` by name, and whether all of it is there."""

    def __init__(
        self, path: Path, budget_seconds: float, facts: dict[str, Any], release: Callable[[], None] = lambda: None
    ) -> None:
        self._path, self._until, self._release = path, time.monotonic() + budget_seconds, release
        self._waiting: list[str] = []
        self._content: dict[str, Any] = {"is_complete": False, "runs": [], "figures": {}, "errors": {}}
        if path.exists():
            self._content |= json.loads(path.read_text())
        self._content["runs"].append(facts)
        # Written before each measurement: what is still here when a process starts has ended the one before.
        if cut_off := self._content.pop("now", None):
            self._content["errors"][cut_off] = "the process ended in the middle of it"

    @property
    def is_complete(self) -> bool:
        return bool(self._content["is_complete"])

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self._content["figures"])

    def forget_errors(self) -> None:
        """Try again what failed."""
        self._content["errors"] = {}

    def lacks(self, *names: str) -> bool:
        """Whether any of these is still to be measured."""
        known = {**self._content["figures"], **self._content["errors"]}
        return any(name not in known for name in names)

    def measure(self, name: str, run: Callable[[], Any], needed_seconds: float = NEEDED_SECONDS) -> Any:
        """What `run` finds, or found before; None if it failed, or must wait.

        Raises:
            DeviceBroken: an error after which the device is of no use to this process.
        """
        if not self.lacks(name):
            return self._content["figures"].get(name)
        if time.monotonic() + needed_seconds > self._until:
            self._waiting.append(name)
            return None
        self._content["now"] = name
        self._write()
        began = time.monotonic()
        try:
            self._content["figures"][name] = found = run()
            logger.info("%s: %s (%.1f s)", name, json.dumps(found), time.monotonic() - began)
        except Exception as error:
            found = None
            self._fail(name, error)
        finally:
            self._content.pop("now", None)
            self._write()
        self._release()
        return found

    def note(self, name: str, fact: Any) -> None:
        """Keep what follows from figures, or says why there is none; anew in each run."""
        self._content.setdefault("notes", {})[name] = fact
        self._write()

    def _fail(self, name: str, error: Exception) -> None:
        told = f"{type(error).__name__}: {error}"
        logger.warning("%s: %s", name, told)
        where = traceback.format_tb(error.__traceback__)[-3:]
        self._content["errors"][name] = {"error": told[:2000], "where": "".join(where)[-2000:]}
        if any(sign in told for sign in _STICKY):
            self._write()
            raise DeviceBroken(name) from error

    def end(self) -> None:
        """This run of the stage is over; it is complete if nothing waits."""
        self._content["is_complete"] = not self._waiting
        self._content["waiting"] = self._waiting
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps(self._content, indent=1) + "\n")
        draft.replace(self._path)
