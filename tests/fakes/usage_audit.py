"""The audit after a chaos test: what clients wrote down against what the ledger's tables say.

Reads the database file itself, so that a mistake in the API's sums cannot hide one in the ledger's.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serve.domain.usage import UNITS
from serve.metering.ledger.witnesses import NEVER_MS

CHECKPOINT_TOKENS = 64
Row = dict[str, Any]


@dataclass
class Attempt:
    """An attempt with what corrected it."""

    row: Row
    corrections: list[Row] = field(default_factory=list)

    def net(self, column: str) -> int:
        """The attempt's value and its corrections' together."""
        return sum(row[column] or 0 for row in (self.row, *self.corrections))

    @property
    def cost(self) -> int:
        return self.net("cost_nano")

    @property
    def is_billable(self) -> bool:
        """As it stands after the last correction."""
        return bool((self.corrections[-1] if self.corrections else self.row)["billable"])

    @property
    def is_estimated(self) -> bool:
        last = self.corrections[-1] if self.corrections else self.row
        return bool(last["basis"] != "measured")


class Tables:
    """The tables of a platform at rest."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self._connection.row_factory = sqlite3.Row

    def rows(self, query: str, *values: Any) -> list[Row]:
        """What `query` finds."""
        return [dict(row) for row in self._connection.execute(query, values)]

    def unsettled(self) -> list[Row]:
        """Witnesses that still wait for the replica's record; one that has judged an estimate is kept, and does not."""
        return self.rows("SELECT * FROM usage_witnesses WHERE due_ms < ?", NEVER_MS)

    def attempts(self) -> dict[str, list[Attempt]]:
        """Every attempt by its request."""
        rows = self.rows("SELECT * FROM usage_events ORDER BY booked_ms, id")
        found = {row["id"]: Attempt(row) for row in rows if row["corrects"] is None}
        for row in rows:
            if row["corrects"] is not None:
                found[row["corrects"]].corrections.append(row)
        by_request = defaultdict(list)
        for attempt in found.values():
            by_request[attempt.row["request_id"]].append(attempt)
        return by_request


def read_log(path: Path) -> list[Row]:
    """The driver's lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def audit(tables: Tables, log: Iterable[Row]) -> list[str]:
    """What does not add up, in words; empty when everything does."""
    attempts = tables.attempts()
    problems: list[str] = []
    for line in log:
        if line.get("request"):
            problems += [f"{line}: {problem}" for problem in _of_request(line, attempts.get(line["request"], []))]
    for run in tables.rows("SELECT * FROM runs"):
        found = attempts.get(run["request_id"], [])
        problems += [f"run {run['id']} ({run['status']}): {problem}" for problem in _of_run(run, found)]
    return problems + list(_of_sums(tables)) + list(_of_leftovers(tables))


def _of_request(line: Row, found: list[Attempt]) -> Iterator[str]:
    billed = [attempt for attempt in found if attempt.is_billable]
    if len(billed) > 1:
        yield f"billed {len(billed)} times: {[attempt.row['id'] for attempt in billed]}"
    if line["outcome"] == "refused" and any(attempt.cost for attempt in billed):
        yield "a refused request was charged"
    if line.get("received") and not found:
        yield "the client received words of which the ledger knows nothing"
    if line["outcome"] == "complete":
        yield from _of_complete(line["usage"], billed)
    elif line["outcome"] == "left":
        yield from _of_left(line, billed)


def _of_complete(usage: Mapping[str, Any], billed: list[Attempt]) -> Iterator[str]:
    if len(billed) != 1:
        yield f"a whole answer was billed {len(billed)} times"
        return
    for unit in ("prompt_tokens", "completion_tokens"):
        if billed[0].net(unit) != usage[unit]:
            yield f"{unit}: the client was told {usage[unit]}, booked are {billed[0].net(unit)}"
    if billed[0].cost != usage["cost"]["nano_usd"]:
        yield f"cost: the client was told {usage['cost']['nano_usd']}, booked are {billed[0].cost}"


def _of_left(line: Row, billed: list[Attempt]) -> Iterator[str]:
    tokens = sum(attempt.net("completion_tokens") for attempt in billed)
    slack = CHECKPOINT_TOKENS if any(attempt.is_estimated for attempt in billed) else 0
    if billed and not line["received"] - slack <= tokens <= line["asked"]:
        yield f"received {line['received']} of {line['asked']}, booked {tokens}"


def _of_run(run: Row, found: list[Attempt]) -> Iterator[str]:
    billed = [attempt for attempt in found if attempt.is_billable]
    if len(billed) > 1:
        yield f"billed {len(billed)} times: {[attempt.row['id'] for attempt in billed]}"
    if run["status"] == "succeeded":
        usage = json.loads(run["usage"])
        booked = sum(attempt.net("steps") for attempt in billed)
        if booked != usage["steps"] or len(billed) != 1:
            yield f"took {usage['steps']} steps, booked are {booked} in {len(billed)} attempts"


def _of_sums(tables: Tables) -> Iterator[str]:
    columns = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in (*UNITS, "cost_nano"))
    (events,), (hours,) = (tables.rows(f"SELECT {columns} FROM {table}") for table in ("usage_events", "usage_hours"))
    for name, value in events.items():
        if hours[name] != value:
            yield f"{name}: events sum to {value}, roll-ups to {hours[name]}"
    for row in tables.rows("SELECT id FROM usage_events WHERE billable AND cost_nano IS NULL AND kind = 'attempt'"):
        yield f"{row['id']} has no cost"


def _of_leftovers(tables: Tables) -> Iterator[str]:
    for row in (*tables.unsettled(), *tables.rows("SELECT * FROM usage_conflicts")):
        yield f"left: {row}"
    for row in tables.rows("SELECT * FROM budget_accounts WHERE held_nano != 0"):
        yield f"an allowance leaked: {row}"
    (spent,) = tables.rows("SELECT coalesce(sum(cost_nano - free_nano), 0) AS spent FROM usage_events")
    for row in tables.rows("SELECT * FROM budget_accounts WHERE spent_nano != ?", spent["spent"]):
        yield f"a budget of everything says {row['spent_nano']}, events {spent['spent']}"
