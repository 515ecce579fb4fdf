"""How the command ends: exit codes, and the error that carries one."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can tell from `$?`."""

    OK = 0
    FAILED = 1
    """Something broke: here, or inside the platform (5xx)."""
    USAGE = 2
    """The command line makes no sense."""
    UNREACHABLE = 3
    """No platform answers at the address."""
    REFUSED = 4
    """The platform understood and said no (4xx), or a document is invalid."""
    RUN_FAILED = 5
    """The run that was waited for failed or was canceled."""


class CliError(Exception):
    """Ends the command: a sentence for stderr, details under it, and the exit code."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED, details: str = "") -> None:
        super().__init__(message, exit_code, details)
        self.message = message
        self.exit_code = exit_code
        self.details = details

    def __str__(self) -> str:
        return self.message


class Unreachable(CliError):
    """No platform answers."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"Cannot reach the platform at {url}: {reason}",
            ExitCode.UNREACHABLE,
            "`slipway up` starts one on this machine; --url or SLIPWAY_URL names another.",
        )
