"""A process that meters calls as fast as it can, to be killed: `python -m fakes.journal_process JOURNALS LOG [SEED]`.

LOG gets a line after each step that is done, of the call's number and what was counted: `o` it is open, `t` tokens were
made, `p` a checkpoint, `c` closed. Each is one write, so that what LOG says did happen before.
"""

import os
import random
import sys
from pathlib import Path

from serve.clock import SystemClock, Uuid7Ids
from serve.domain.usage import Receipt, Tally, UsageBatch, UsageStatus
from serve.metering.meter import MeteredCall
from serve.settings import MeteringSettings

from fakes.journals import subject  # isort: skip
from serve.metering.process import ProcessMetering  # isort: skip

CHECKPOINT_TOKENS = 8
MOST_TOKENS = 11
"""Made in one step."""


class NoBooks:
    """Nothing is shipped from here."""

    async def book(self, batch: UsageBatch) -> Receipt:
        raise ConnectionError


def main(journals: Path, log: Path, seed: int) -> None:
    drawn = random.Random(seed)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    settings = MeteringSettings(journal_max_bytes=256 * 2**20, checkpoint_tokens=CHECKPOINT_TOKENS)
    metering = ProcessMetering(
        settings, journals, f"writer-{seed}", SystemClock(), Uuid7Ids(), NoBooks(), usage=True, witness=False
    )
    running: list[tuple[int, MeteredCall, Tally]] = []
    number = seed * 1_000_000
    while True:
        if len(running) < 8:
            number, tally = number + 1, Tally()
            running.append((number, metering.meter.begin(subject(number), tally), tally))
            os.write(said, b"o %d 0\n" % number)
        chosen, call, tally = running[drawn.randrange(len(running))]
        tally.completion_tokens += drawn.randint(1, MOST_TOKENS)
        os.write(said, b"t %d %d\n" % (chosen, tally.completion_tokens))
        if (known := call.checkpoint()) is not None:
            os.write(said, b"p %d %d\n" % (chosen, known.completion_tokens))
        if drawn.random() < 0.3:
            ended = call.end(UsageStatus.SUCCEEDED)
            os.write(said, b"c %d %d\n" % (chosen, ended.completion_tokens))
            running.remove((chosen, call, tally))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
