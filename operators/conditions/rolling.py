"""From what was found out about a resource to its conditions: when each last changed, and what they come to."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from operators.crds.statuses import MAX_MESSAGE

Truth = Literal["True", "False", "Unknown"]
READY = "Ready"
_WORD = re.compile(r"[A-Za-z0-9]+")
_MAX_REASON = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so, is not so, or is not known: a condition without its moment."""

    type: str
    status: Truth
    reason: str
    """CamelCase."""
    message: str = ""

    def of_type(self, name: str) -> "Finding":
        """The same said about something else."""
        return Finding(name, self.status, self.reason, self.message)


def summed_up(findings: Sequence[Finding], when_ready: Finding) -> list[Finding]:
    """The findings with `Ready` after them: the first that is false, or else the first that is not known, or else
    `when_ready`."""
    unfit = [one for one in findings if one.status == "False"] or [one for one in findings if one.status == "Unknown"]
    return [*findings, (unfit[0] if unfit else when_ready).of_type(READY)]


def conditions(
    findings: Iterable[Finding], before: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions of a status; `before` is the status so far, whose moments stay where nothing has changed."""
    known = {one["type"]: one for one in before.get("conditions") or ()}
    return [_condition(one, known.get(one.type), generation, now) for one in findings]


def _condition(finding: Finding, before: Mapping[str, Any] | None, generation: int, now: datetime) -> dict[str, Any]:
    is_same = before is not None and before["status"] == finding.status
    return {
        "type": finding.type,
        "status": finding.status,
        "reason": finding.reason,
        "message": finding.message[:MAX_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if is_same and before else moment(now),
    }


def condition_in(status: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A condition of a status, or None."""
    found: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    return next((one for one in found if one.get("type") == name), None)


def moment(now: datetime) -> str:
    """RFC 3339 in whole seconds of UTC."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def reason_of(code: str) -> str:
    """A machine code (`managed_elsewhere`) as a condition's reason (`ManagedElsewhere`)."""
    told = "".join(word[0].upper() + word[1:] for word in _WORD.findall(code))
    return (told if told[:1].isalpha() else f"Http{told}" if told else "Refused")[:_MAX_REASON]
