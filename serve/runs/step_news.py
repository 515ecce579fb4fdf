"""What the steps of a workflow's run have to say, gathered until it is written: rows, and lines of the run's story.

Of a step only the latest state is written, of its progress only the latest; the order is that in which steps were told
last, so that no step is stored before those it was made from. Progress, pictures on the way and words are thinned out:
some eight lines a second, however many steps speak, and fewer the more the run has said. The ends of steps always find
room (`serve.runs.rows.kept`).
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from serve.domain.generation import Event, Preview, Progress, TextDelta
from serve.domain.money import cost_shown
from serve.domain.run import RunEventKind
from serve.domain.steps import Step
from serve.domain.storable import clean, storable
from serve.runs.rows import Line

_MAX_STEPS = 1000
"""Steps of one write: a transaction that holds SQLite for some ten milliseconds."""
_SAID_SECONDS = 0.5
"""How often a run says how far its steps are; each step that does so, beyond four, makes it rarer."""
_MANY_SPEAKERS = 4
_MAX_TEXT = 65_536
"""Characters of one step that wait to be told; what is more is in its outputs."""
_SHOWN_CHARACTERS = 8192
"""Outputs as JSON that an event shows; larger ones are read with the steps."""


class StepNews:
    """The news of one attempt at a workflow's run."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        self._progress: dict[tuple[str, str], Progress] = {}
        self._previews: dict[str, Preview] = {}
        self._text: dict[tuple[str, int], list[str]] = {}
        self._said_at = float("-inf")

    def tell(self, steps: Sequence[Step]) -> None:
        """The state of these from now on."""
        for step in steps:
            self._steps.pop(step.label, None)
            self._steps[step.label] = step

    def say(self, label: str, event: Event) -> None:
        """What a step's work says meanwhile."""
        match event:
            case Progress():
                self._progress[label, event.phase] = event
            case Preview():
                self._previews[label] = event
            case TextDelta():
                self._text.setdefault((label, event.index), []).append(event.text)

    def is_due(self, now: float, share: float) -> bool:
        """Whether there is anything to write now. `share` in [0, 1] is how much of its room the run has used."""
        return bool(self._steps) or self._may_speak(now, share)

    def _may_speak(self, now: float, share: float) -> bool:
        num_speakers = len(self._progress) + len(self._previews) + len(self._text)
        pause = _SAID_SECONDS * max(1.0, num_speakers / _MANY_SPEAKERS) * (1 + 9 * share)
        return bool(num_speakers) and now - self._said_at >= pause

    def seal(self, now: float, share: float, *, everything: bool) -> tuple[list[Line], list[Step]]:
        """Lines and rows to write now. Without `everything` a part of the steps may be left for the next write."""
        labels = list(self._steps) if everything else list(self._steps)[:_MAX_STEPS]
        steps = [self._steps.pop(label) for label in labels]
        lines = self._last_words({step.label for step in steps if step.status.is_terminal})
        if everything or self._may_speak(now, share):
            self._said_at = now
            lines += self._words()
        return lines + [step_line(step) for step in steps], steps

    def _last_words(self, labels: Collection[str]) -> list[Line]:
        """Of steps that have ended: the rest of their text. How far they were is of no interest any more."""
        if not labels or not (self._progress or self._previews or self._text):
            return []
        self._progress = {place: event for place, event in self._progress.items() if place[0] not in labels}
        self._previews = {label: event for label, event in self._previews.items() if label not in labels}
        ended = [place for place in self._text if place[0] in labels]
        return _text_lines({place: self._text.pop(place) for place in ended})

    def _words(self) -> list[Line]:
        lines = [
            Line(RunEventKind.PROGRESS, {"step": label, "phase": phase, "done": event.done, "total": event.total})
            for (label, phase), event in self._progress.items()
        ]
        lines += [_preview_line(label, event) for label, event in self._previews.items()]
        lines += _text_lines(self._text)
        self._progress, self._previews, self._text = {}, {}, {}
        return lines

    def clear(self) -> None:
        """Forget everything."""
        self._steps, self._progress, self._previews, self._text = {}, {}, {}, {}


def step_line(step: Step) -> Line:
    """A step's state as an event; what does not apply is left out."""
    shown: dict[str, Any] = {"label": step.label, "type": step.type, "status": step.status.value}
    if step.reason:
        shown["reason"] = clean(step.reason)
    if step.error:
        shown["error"] = storable(step.error.model_dump())[0]
    if step.tries > 1:
        shown["tries"] = step.tries
    if step.started_ms is not None and step.finished_ms is not None:
        shown["seconds"] = (step.finished_ms - step.started_ms) / 1000
    if step.usage:
        shown |= {"usage": dict(step.usage), "cost": cost_shown(step.cost_nano)}
    outputs, length = storable(step.outputs)
    if outputs is not None and length <= _SHOWN_CHARACTERS:
        shown["output"] = outputs
    return Line(RunEventKind.STEP, shown)


def _text_lines(text: Mapping[tuple[str, int], Sequence[str]]) -> list[Line]:
    told = {place: clean("".join(pieces))[:_MAX_TEXT] for place, pieces in text.items()}
    return [
        Line(RunEventKind.OUTPUT, {"step": label, "index": index, "text": words})
        for (label, index), words in told.items()
        if words
    ]


def _preview_line(label: str, event: Preview) -> Line:
    data = base64.b64encode(event.data).decode()
    return Line(
        RunEventKind.PREVIEW, {"step": label, "index": event.index, "media_type": event.media_type, "data": data}
    )
