"""From a folded answer to the outputs document of a run.

    chat, completion   {"text", "choices": [{"index", "text", "finish_reason", "tool_calls"?}]}
    embedding          {"embeddings": [[...]]}
    pictures           {"artifacts": [{"name", "index", "asset": {...}, "seed"?}]}, by index; seed is that one's own

A document over INLINE_LIMIT_BYTES is kept by the OutputSink, and `{"document": {...}}` refers to it; for a workflow's
outputs, which may be called so, `{"$document": {"asset": {...}}}` does, as for a step's (`serve.domain.stowed`).
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from serve.domain.errors import EngineFailed
from serve.domain.folds import Answer, ChoiceFold
from serve.domain.generation import Artifact, numbers_of
from serve.domain.images import ASSET_SCHEME, IMAGE_FIELDS
from serve.domain.media import INLINE_LIMIT_BYTES, Asset
from serve.domain.run import Run, RunKind
from serve.domain.storable import clean
from serve.domain.stowed import stowed


class OutputSink(Protocol):
    """Where outputs go that are too large for a row."""

    async def store(self, run: Run, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        """Keep `data` as an asset of the run; the asset's view, for the outputs document."""
        ...

    async def read(self, run: Run, asset_id: str) -> bytes:
        """What was kept so, of a run of the same tenant. Raises NotFound when it is gone."""
        ...

    async def keep_only(self, run: Run, asset_ids: Collection[str]) -> None:
        """Remove what is stored for the run, but for these, as long as `run` is the claim that works on it."""
        ...


def view(asset: Asset) -> dict[str, Any]:
    """An asset as outputs and events show it: what is known of its content, without what is not."""
    return {key: value for key, value in asdict(asset).items() if value is not None and key != "created_ms"}


async def outputs_of(run: Run, answer: Answer, sink: OutputSink) -> dict[str, Any]:
    """The outputs document of a whole answer.

    Raises:
        EngineFailed: the model ended without completing, or produced what is no number.
    """
    if answer.usage is None:
        raise EngineFailed("The model ended its answer early.")
    return await fitting(run, _document(run, answer), sink)


async def fitting(run: Run, document: dict[str, Any], sink: OutputSink) -> dict[str, Any]:
    """The document as its row has it: itself, or where it is kept. Raises EngineFailed: it holds what is no number."""
    try:
        data = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise EngineFailed("The model produced values that are no numbers.") from None
    if len(data) <= INLINE_LIMIT_BYTES:
        return document
    kept = await sink.store(run, "output.json", data, "application/json")
    return stowed(kept) if run.kind is RunKind.WORKFLOW else {"document": kept}


def assets_of(run: Run, answer: Answer, outputs: Mapping[str, Any] | None) -> frozenset[str]:
    """The ids of the assets that a run is about: its pictures, what was announced of its answer, its document."""
    sources = [str(run.inputs.get(name) or "") for name in IMAGE_FIELDS.get(run.task, ())] if run.task else []
    given = {source.removeprefix(ASSET_SCHEME) for source in sources if source.startswith(ASSET_SCHEME)}
    made = {artifact.asset.id for artifact in answer.artifacts}
    document = (outputs or {}).get("document")
    return frozenset(given | made | ({document["id"]} if document else set()))


def assets_within(value: Any) -> Iterator[str]:
    """The ids of the assets that written values name, at any depth: `asset:<id>`, and `{"asset": {"id": ...}}`."""
    match value:
        case str() if value.startswith(ASSET_SCHEME):
            yield value.removeprefix(ASSET_SCHEME)
        case {"asset": {"id": str(asset_id)}}:
            yield asset_id
        case Mapping():
            for one in value.values():
                yield from assets_within(one)
        case list() | tuple():
            for one in value:
                yield from assets_within(one)


def _document(run: Run, answer: Answer) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if answer.choices:
        choices = [_choice(index, answer.choices[index]) for index in sorted(answer.choices)]
        document |= {"text": choices[0]["text"], "choices": choices}
    if answer.vectors:
        document["embeddings"] = [numbers_of(answer.vectors[index]) for index in sorted(answer.vectors)]
    if answer.artifacts:
        by_index = sorted(answer.artifacts, key=lambda artifact: artifact.index)
        document["artifacts"] = [_artifact(run, artifact) for artifact in by_index]
    return document


def _artifact(run: Run, artifact: Artifact) -> dict[str, Any]:
    """With the seed that makes this one again: image i of a call is made from the call's seed and i."""
    shown: dict[str, Any] = {"name": artifact.name, "index": artifact.index, "asset": view(artifact.asset)}
    seed = run.inputs.get("seed")
    return shown if seed is None else shown | {"seed": seed + artifact.index}


def _choice(index: int, fold: ChoiceFold) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": index, "text": clean(fold.text), "finish_reason": fold.finish_reason}
    if fold.tool_calls:
        shown["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": clean(call.arguments)}}
            for _, call in sorted(fold.tool_calls.items())
        ]
    return shown
