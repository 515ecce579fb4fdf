"""A runner in a process of its own, to be killed: `python -m fakes.runner_process DATABASE_URL`.

Its model says one word and then nothing for a minute.
"""

import asyncio
import sys

from fakes.models import ScriptedModels
from fakes.runs import Outputs

from serve.clock import SystemClock
from serve.domain.generation import TextDelta
from serve.runs.execution import Runner
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records


async def main(url: str) -> None:
    settings, clock = RunsSettings(lease_seconds=1, poll_seconds=0.05), SystemClock()
    runner = Runner(
        RunStore(Records(url), clock, settings),
        ScriptedModels(lambda call: [[TextDelta("half")], 60.0]),
        clock,
        owner="the one that dies",
        settings=settings,
        max_concurrency=2,
        outputs=Outputs(),
    )
    await runner.start()
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
