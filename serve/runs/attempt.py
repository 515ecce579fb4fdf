"""One attempt at a run, as its runner holds it: the answer so far, and the lines that are not written yet."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from serve.domain.folds import Answer
from serve.domain.generation import (
    AdapterUse,
    Artifact,
    CallContext,
    Completed,
    Event,
    Metered,
    ModelCall,
    Preview,
    Progress,
    TextDelta,
    ToolCallDelta,
    Verdict,
)
from serve.domain.run import Run, RunEventKind
from serve.domain.steps import Step
from serve.domain.storable import clean
from serve.domain.usage import HoldId, PriceId, Quantities
from serve.runs.held_answers import HeldAnswers
from serve.runs.outputs import view
from serve.runs.rows import Line
from serve.runs.step_news import StepNews


class Stop(StrEnum):
    """Why an attempt is stopped from outside."""

    CANCELED = "canceled"
    LEASE_LOST = "lease_lost"
    HANDED_BACK = "handed_back"
    UNWRITABLE = "unwritable"


def context_of(run: Run) -> CallContext:
    """Who calls whatever is called for this attempt at a run."""
    return CallContext(
        request_id=run.request_id,
        tenant=run.tenant,
        project=run.project,
        key_id=run.key_id,
        attempt=run.fence,  # of every claim, also of those that gave their attempt back: usage ids are never used twice
        run_id=run.id,
        priority=run.priority,
        deadline_at=None if run.deadline_ms is None else run.deadline_ms / 1000,
        tags=tuple(sorted(run.tags.items())),
        admitted_ms=run.created_ms,
        price=None if run.price is None else PriceId(run.price),
        hold=None if run.hold is None else HoldId(run.hold),
        reserved_nano=run.reserved_nano,
        trace=run.trace,
    )


def call_of(run: Run) -> ModelCall:
    """What the model is asked for this attempt at a model's run."""
    if run.task is None:
        raise ValueError(f"run {run.id} is of a {run.kind}: no one model is called for it")
    adapters = tuple(AdapterUse(adapter.id, adapter.scale) for adapter in run.adapters)
    return ModelCall(task=run.task, inputs=run.inputs, context=context_of(run), adapters=adapters)


@dataclass(eq=False, slots=True)
class Attempt:
    """A held run. `lines` are sealed and unwritten; text and progress are gathered until they are sealed."""

    run: Run
    stopped: "asyncio.Future[Stop]"
    answer: Answer = field(default_factory=Answer)
    lines: list[Line] = field(default_factory=list)
    admitted: bool = False
    """Whether the model has begun to answer."""
    is_whole: bool = False
    """Whether it came to the run's own end, and well."""
    num_failed_writes: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    """What the model's caller says of a call that is stopped."""
    usage: Quantities | None = None
    """What the call has consumed as far as is known; all of it once the answer is whole."""
    answering: AsyncGenerator[list[Event], None] | None = None
    """The stream of a whole answer, open until the run's end is written: until then nobody knows who pays for it."""
    steps: list[Step] = field(default_factory=list)
    """Sealed and unwritten, as lines are; of a workflow's run."""
    news: StepNews = field(default_factory=StepNews)
    held: HeldAnswers = field(default_factory=HeldAnswers)
    _text: dict[int, list[str]] = field(default_factory=dict)
    _arguments: dict[tuple[int, int], list[ToolCallDelta]] = field(default_factory=dict)
    _progress: dict[str, Progress] = field(default_factory=dict)

    def stop(self, why: Stop) -> None:
        """Ask the attempt to end; the first reason counts. Only its owner's cancel is the owner's to pay for."""
        if not self.stopped.done():
            self.verdict.platform_retry = why is not Stop.CANCELED
            if self.verdict.platform_retry:
                self.held.stop()
            self.stopped.set_result(why)

    def add(self, events: Iterable[Event]) -> None:
        """Take in what the model said."""
        events = list(events)
        self.admitted = True
        self.answer.add(events)
        for event in events:
            self._tell(event)

    def log(self, message: str, label: str | None = None) -> None:
        """Tell the run's owner what happened, to the whole or to a step, after what was said before."""
        self._seal_answer()
        of_step = {} if label is None else {"step": label}
        self.lines.append(Line(RunEventKind.LOG, {**of_step, "level": "warning", "message": clean(message)}))

    def _tell(self, event: Event) -> None:
        match event:
            case TextDelta():
                self._text.setdefault(event.index, []).append(event.text)
            case ToolCallDelta():
                self._arguments.setdefault((event.index, event.call_index), []).append(event)
            case Progress():
                self._progress[event.phase] = event
            case Preview():
                data = base64.b64encode(event.data).decode()
                shown = {"index": event.index, "media_type": event.media_type, "data": data}
                self.lines.append(Line(RunEventKind.PREVIEW, shown))
            case Metered() | Completed():
                self.usage = event.usage
            case Artifact():
                shown = {"index": event.index, "name": event.name, "asset": view(event.asset)}
                self.lines.append(Line(RunEventKind.OUTPUT, shown))

    def has_news(self, max_events: int) -> bool:
        """Whether there is anything to write; of what workflows' steps say in passing, only if it is time for it."""
        if self.lines or self.steps or self._text or self._arguments or self._progress:
            return True
        return self.news.is_due(_now(), self._share(max_events))

    def _share(self, max_events: int) -> float:
        return min(1.0, self.run.num_events / max_events)

    def seal(self, max_events: int, *, everything: bool = True) -> list[Line]:
        """Every unwritten line, what was gathered included. They stay until `written` takes them away.

        Without `everything` some news of a workflow's steps may wait for the next time.
        """
        self._seal_answer()
        lines, steps = self.news.seal(_now(), self._share(max_events), everything=everything)
        self.lines += lines
        self.steps += steps
        return list(self.lines)

    def _seal_answer(self) -> None:
        for phase, event in self._progress.items():
            data = {"phase": phase, "done": event.done, "total": event.total}
            self.lines.append(Line(RunEventKind.PROGRESS, data))
        for index, pieces in self._text.items():
            if text := clean("".join(pieces)):
                self.lines.append(Line(RunEventKind.OUTPUT, {"index": index, "text": text}))
        for (index, call_index), deltas in self._arguments.items():
            self.lines.append(_tool_call_line(index, call_index, deltas))
        self._progress, self._text, self._arguments = {}, {}, {}

    def written(self, num_lines: int, num_steps: int, run: Run) -> None:
        """The first `num_lines` and `num_steps` are in the tables, and the row is `run`."""
        for step in self.steps[:num_steps]:
            if step.status.is_terminal:
                self.held.settle(step.label, is_used=step.usage is not None)
        del self.lines[:num_lines]
        del self.steps[:num_steps]
        self.run = run
        self.num_failed_writes = 0

    def forget_news(self) -> None:
        """What was to be written cannot be."""
        self.lines.clear()
        self.steps.clear()
        self.news.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _tool_call_line(index: int, call_index: int, deltas: list[ToolCallDelta]) -> Line:
    delta = {
        "index": call_index,
        "id": next((d.id for d in deltas if d.id), ""),
        "name": next((d.name for d in deltas if d.name), ""),
        "arguments": clean("".join(d.arguments for d in deltas)),
    }
    return Line(RunEventKind.OUTPUT, {"index": index, "tool_call": delta})
