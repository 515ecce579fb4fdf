"""How a client's retry finds the run that its first try made.

OpenAI's clients send a request again when it times out or the connection breaks. They send no key with it, only
`x-stainless-retry-count`: 0 for a first try, then 1, 2, ... Two first tries with one body are two requests, however
alike; a retry must join the run that an earlier try made, and of several the one that nobody waits for any more.

So every run made by a try gets an Idempotency-Key of ours, `try:<fingerprint>:<run>:<count>`, which no second run can
have: the fingerprint is of caller, route and body, `count` of the last try that took the run. A retry takes over a
run of its fingerprint whose count is below its own, and raises it in the same transaction, so that of eight alike
calls that broke together each retry finds a run of its own. Runs that are still at work come first, the oldest of
them first, as it has been waited for longest. One that has ended well is taken only for a minute after its end: a
client repeats within seconds, and what was delivered long ago is not what a new call asks for. One that failed or was
canceled is never taken. Where there is none the retry makes a run itself.

The key's unique index finds them all in one range: a fingerprint's runs lie together, in the order they were made.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update

from serve.domain.names import RunId, TenantName
from serve.domain.run import Run, RunStatus
from serve.runs.rows import RUN_COLUMNS, to_run
from serve.runs.store import RunStore
from serve.storage.tables import runs

WINDOW_MS = 3_600_000
"""How old a run may be that a retry joins. Clients give up after three tries of ten minutes each."""
ENDED_MS = 60_000
"""How long ago it may have ended: the longest that a client waits between two tries."""
_LAST_ID = UUID(int=2**128 - 1)


def key_of(fingerprint: str, run_id: RunId, num_retries: int) -> str:
    """The Idempotency-Key of a run that try `num_retries` made or took."""
    return f"{_prefix(fingerprint)}{run_id}:{num_retries}"


def _prefix(fingerprint: str) -> str:
    return f"try:{fingerprint}:"


async def take_over(store: RunStore, tenant: TenantName, fingerprint: str, num_retries: int) -> Run | None:
    """The run that retry `num_retries` (from 1) joins, now its own; None if it has to make one."""
    now_ms = store.clock.now_ms()
    first_id = UUID(int=max(0, now_ms - WINDOW_MS) << 80)
    prefix = _prefix(fingerprint)
    alike = runs.c.idempotency_key.between(f"{prefix}{first_id}", f"{prefix}{_LAST_ID}")
    query = select(*RUN_COLUMNS).where(runs.c.tenant == tenant, alike).with_for_update()
    async with store.records.write() as connection:
        found = [to_run(row) for row in await connection.execute(query)]
        run = choose(found, num_retries, now_ms)
        if run is None:
            return None
        key = key_of(fingerprint, run.id, num_retries)
        await connection.execute(update(runs).where(runs.c.id == run.id).values(idempotency_key=key))
    return run.model_copy(update={"idempotency_key": key})


def choose(alike: Sequence[Run], num_retries: int, now_ms: int) -> Run | None:
    """Which of the runs of one fingerprint a retry joins; see the module."""
    free = [run for run in alike if _num_retries(run) < num_retries]
    working = [run for run in free if not run.status.is_terminal and not run.cancel_requested]
    if working:
        return min(working, key=lambda run: (-_num_retries(run), run.id))
    ended = [run for run in free if run.status == RunStatus.SUCCEEDED and _ended_ms(run) >= now_ms - ENDED_MS]
    return max(ended, key=lambda run: (_num_retries(run), run.id), default=None)


def _num_retries(run: Run) -> int:
    return int((run.idempotency_key or "0").rpartition(":")[2])


def _ended_ms(run: Run) -> int:
    return run.finished_ms or 0
