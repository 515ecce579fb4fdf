"""The log format: one JSON object a line, or text for people; and the fields that follow a request through the code.

Prompts and answers are other people's words: nothing here writes them, and whoever would asks `LogSettings.prompts`.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from serve.domain.moments import rfc3339
from serve.settings import LogSettings

_NO_FIELDS: Mapping[str, Any] = {}
_fields: ContextVar[dict[str, Any] | None] = ContextVar("slipway_log_fields", default=None)
_HANDLER_NAME = "slipway"


def begin(**fields: Any) -> dict[str, Any]:
    """Start a request's fields: from here on they are on every line of this task and of those it starts."""
    _fields.set(fields)
    return fields


def bind(**fields: Any) -> None:
    """Add fields to those of the request under way; without one, start them."""
    current = _fields.get()
    if current is None:
        begin(**fields)
    else:
        current.update(fields)


def bound() -> Mapping[str, Any]:
    """The fields of the request under way."""
    return _fields.get() or _NO_FIELDS


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Make the root logger write as `settings` say, to `stream`. Calling it again replaces it.

    The default is the process's own standard error. Ray Serve puts a logger in the place of `sys.stderr` that wraps
    each line in its own JSON and, in throughput mode, holds a thousand of them back: a killed replica would be mute.
    """
    handler = logging.StreamHandler(stream or sys.__stderr__)
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.get_name() == _HANDLER_NAME]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level)
    logging.getLogger("httpx").setLevel(max(logging.WARNING, root.level))  # a line per poll of Ray says nothing


def _extras(record: logging.LogRecord) -> Mapping[str, Any]:
    extras = getattr(record, "fields", None)
    return {**bound(), **extras} if extras else bound()


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:
        # The inherited one prints, and Ray Serve's own `print` writes every line as a tuple.
        return "".join(traceback.format_exception(*ei)).rstrip("\n")


class JsonFormatter(_Formatter):
    """time (RFC 3339, UTC), level, logger, message, the bound fields, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(_Formatter):
    """`12:34:56 INFO message field=value ...`: for a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs = (
            f"{name}={value!r}" if " " in str(value) else f"{name}={value}" for name, value in _extras(record).items()
        )
        return " ".join((super().formatMessage(record), *pairs))
