"""What a run takes from the results of earlier ones, and adds to them. Where they are out of reach it does without."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from serve.domain.errors import SlipwayError
from serve.domain.steps import Stage, StepStatus
from serve.workflow.execution.jobs import Job
from serve.workflow.execution.tasks import Tasks
from serve.workflow.results.results import Kept, Results

_log = logging.getLogger(__name__)
Taken = Callable[[Job, Kept | None], None]


class Keeper:
    """The kept results, as one run uses them."""

    def __init__(self, results: Results, stage: Stage, tasks: Tasks, taken: Taken, *, use_cache: bool) -> None:
        """`taken` is told what there is for a job that asked."""
        self._results = results
        self._stage = stage
        self._run = stage.run
        self._tasks = tasks
        self._taken = taken
        self._known: set[str] = set()
        self._asking: list[Job] = []
        self._making: list[Kept] = []
        self._is_keeping = False
        self.use_cache = use_cache

    async def look(self, keys: Collection[str]) -> None:
        """Learn which of these have results."""
        if not self.use_cache or not keys:
            return
        try:
            self._known |= await self._results.known(self._run.tenant, keys)
        except Exception:
            _log.warning("run %s does without kept results", self._run.id, exc_info=True)

    def has(self, key: str) -> bool:
        """Whether there is a result, as far as was looked."""
        return key in self._known

    def ask(self, job: Job) -> None:
        """Take the result of the job's key, with all others that are asked for meanwhile."""
        self._asking.append(job)

    def made(self, job: Job, outputs: Mapping[str, Any]) -> None:
        """Keep what the job has made, if it has. `outputs` are as its row has them."""
        if job.status is StepStatus.SUCCEEDED and job.key is not None:
            self._making.append(Kept(job.key, outputs, self._run.id, job.planned.label))

    def flush(self) -> None:
        """Begin what was gathered."""
        if self._asking:
            asking, self._asking = self._asking, []
            self._tasks.start(self._take([job.key for job in asking if job.key]), _each(asking, self._taken))
        if self._making and not self._is_keeping:
            making, self._making = self._making, []
            self._is_keeping = True
            self._tasks.start(self._results.keep(self._run.tenant, making), self._kept)

    async def _take(self, keys: list[str]) -> Mapping[str, Kept]:
        found = await self._results.take(self._run.tenant, self._run.project, keys, self._run.id)
        whole = {}
        for key, kept in found.items():
            try:
                whole[key] = replace(kept, outputs=await self._stage.take_out(kept.outputs))
            except SlipwayError:
                _log.warning("run %s: what is kept as %s cannot be read", self._run.id, key, exc_info=True)
        return whole

    def _kept(self, _: Any, error: BaseException | None) -> None:
        self._is_keeping = False
        if error is not None:
            _log.warning("run %s: its results are not kept", self._run.id, exc_info=error)


def _each(asking: list[Job], taken: Taken) -> Callable[[Any, BaseException | None], None]:
    def came(found: Mapping[str, Kept] | None, error: BaseException | None) -> None:
        if error is not None:
            _log.warning("kept results cannot be taken", exc_info=error)
        for job in asking:
            taken(job, (found or {}).get(job.key or ""))

    return came
