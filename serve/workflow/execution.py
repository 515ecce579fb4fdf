"""Executes a plan: asyncio, and a list of what is ready.

It starts from what is wanted and asks backwards, so nothing runs that nobody needs, and what is cached spares all that
it was made from. A node that waits is a number that counts down; quick nodes are done in the loop itself, one after
another, and only what leaves the process has a task. The loop is given back every few milliseconds, so a run of many
quick nodes holds up no other.

What a job goes through: its conditions; a result that is there (of an earlier attempt, of an earlier run, of a node of
this run that does the same); its inputs, first those that it needs in any case, then the lazy ones that it chooses;
the work. Each of these steps is one method here, and ends in the next one, or in waiting.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from serve.domain.errors import EngineFailed, InvalidRequest, SlipwayError
from serve.domain.port_types import Kind
from serve.domain.run import RunError
from serve.domain.steps import Step, StepStatus
from serve.domain.workflow import CacheUse
from serve.workflow.fan_out import FanOut
from serve.workflow.framing import Frames
from serve.workflow.jobs import Absent, Job
from serve.workflow.keeping import Keeper
from serve.workflow.operation import Quick
from serve.workflow.planning import SEED_PORT, Planner
from serve.workflow.telling import Teller
from serve.workflow.values import decode, digest_of
from serve.workflow.wiring import Converted, Element, Feed, Fixed, Made, Piped, Planned, sources, with_parts
from serve.workflow.values import convert
from serve.workflow.working import Done, Workers

_TURN_SECONDS = 0.002
"""How long the loop is kept."""
_LOOK_EVERY = 16
"""Jobs between two looks at the clock."""
