"""From prompts to what the UNet is conditioned on, as the stock pipelines' `encode_prompt` does it, and beyond it.

A prompt that fits the text encoder's window and carries no weights gives the stock embeddings. A longer one is read in
chunks of a window each, and their embeddings follow one another; the pooled embedding is the first chunk's. Weights
move each token's embedding along the line from what the empty prompt has in its place. Adapters of the text encoders
apply here, and to every text of a call: its negative prompt and its padding too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor

from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.text_adapters import Applied, TextAdapters, TextKey, text_key
from deployments.engines.diffusion.weighting import fragments
from serve.domain.errors import InvalidRequest

MAX_CHUNKS: Final = 16
"""Windows of text that one prompt may fill: the cost of every step grows with them."""
BACKTRACK: Final = 0.25
"""Share of a window that may stay empty so that a chunk ends at a comma, or else with a whole word."""
MAX_ADAPTER_BYTES: Final = 2 * 2**30
"""Of device memory, for what recent adapters change in the text encoders: low-rank terms of many, or all weights of the
two that SDXL has, once. What is larger is computed for every text."""
_WORD_END: Final = "</w>"
_COMMA: Final = ",</w>"


@dataclass(frozen=True, slots=True)
class SizeCondition:
    """What an SDXL model is told of the picture's size, as (height, width), and of its crop, as (top, left)."""

    original: tuple[int, int]
    target: tuple[int, int]
    crop: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Conditioning:
    """One row's conditioning: context [L, D], pooled [P] and time_ids [6] of SDXL, all in the bundle's dtype."""

    context: Tensor
    pooled: Tensor | None
    time_ids: Tensor | None
    num_tokens: int
    """Of the text: start, end and padding are not counted."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt and, for guidance, its negative: contexts of one length."""

    positive: Conditioning
    negative: Conditioning | None

    @property
    def num_tokens(self) -> int:
        """Of both."""
        return self.positive.num_tokens + (0 if self.negative is None else self.negative.num_tokens)


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most a window less start and end: token ids and the weight of each."""

    ids: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Text:
    """An encoded text: context [num_chunks * window, D]."""

    context: Tensor
    pooled: Tensor | None
    num_tokens: int


class PromptEncoder:
    """Encodes prompts, and remembers the last texts, `max_entries` windows of them: a long text takes the memory of as
    many short ones. Used by one thread at a time."""

    def __init__(self, bundle: Bundle, max_entries: int, max_adapter_bytes: int = MAX_ADAPTER_BYTES) -> None:
        self._bundle = bundle
        self._max_entries = max_entries
        self._adapters = TextAdapters(bundle.text_encoders, max_adapter_bytes)
        self._texts: OrderedDict[tuple[TextKey, str], _Text] = OrderedDict()
        self._num_windows = 0

    def encode(
        self,
        prompt: str,
        negative: str,
        *,
        guided: bool,
        size: SizeCondition | None = None,
        adapters: Applied = (),
    ) -> Encoded:
        """The conditioning of `prompt`, and of `negative` when `guided`, by text encoders with `adapters`. SDXL needs a
        `size`, others ignore it.

        Raises:
            InvalidRequest: a prompt is longer than MAX_CHUNKS windows.
        """
        text = self._text(prompt, "prompt", adapters)
        against = self._against(negative, text, adapters) if guided else None
        length = max(len(text.context), len(against.context) if against is not None else 0)
        time_ids = self._time_ids(size)
        return Encoded(
            positive=self._conditioning(text, length, time_ids, adapters),
            negative=None if against is None else self._conditioning(against, length, time_ids, adapters),
        )

    def forget(self) -> None:
        """Memory is short: give back what can be made again, and is large."""
        self._adapters.forget()

    def _against(self, negative: str, text: _Text, adapters: Applied) -> _Text:
        if negative or not self._bundle.empty_negative_is_zero:
            return self._text(negative, "negative_prompt", adapters)
        pooled = None if text.pooled is None else torch.zeros_like(text.pooled)
        return _Text(torch.zeros_like(text.context), pooled, 0)

    def _conditioning(self, text: _Text, length: int, time_ids: Tensor | None, adapters: Applied) -> Conditioning:
        context = text.context
        if missing := (length - len(context)) // self._bundle.window:
            context = torch.cat([context, *[self._text("", "prompt", adapters).context] * missing])
        return Conditioning(context, text.pooled, time_ids, text.num_tokens)

    def _time_ids(self, size: SizeCondition | None) -> Tensor | None:
        if self._bundle.architecture != "sdxl":
            return None
        if size is None:
            raise ValueError("an SDXL model must be told the size of the picture")
        numbers = [*size.original, *size.crop, *size.target]
        return torch.tensor(numbers, dtype=self._bundle.dtype, device=self._bundle.device)

    def _text(self, text: str, param: str, adapters: Applied) -> _Text:
        key = text_key(adapters), text
        if key in self._texts:
            self._texts.move_to_end(key)
            return self._texts[key]
        with self._adapters.applied(adapters) if key[0] else nullcontext():
            made = self._encode(text, param)
        self._texts[key] = made
        self._num_windows += len(made.context) // self._bundle.window
        while self._num_windows > self._max_entries:
            _, oldest = self._texts.popitem(last=False)
            self._num_windows -= len(oldest.context) // self._bundle.window
        return made

    @torch.no_grad()
    def _encode(self, text: str, param: str) -> _Text:
        room = self._bundle.window - 2
        pairs = list(zip(self._bundle.tokenizers, self._bundle.text_encoders, strict=True))
        read = [chunks(tokenizer, text, room) for tokenizer, _ in pairs]
        num_chunks = max(map(len, read))
        if num_chunks > MAX_CHUNKS:
            told = f"it has more than {(num_chunks - 1) * room} tokens, and {MAX_CHUNKS * room} are read. Shorten it."
            raise InvalidRequest(f"{param} is too long: {told}", "prompt_too_long", param)
        contexts, pooled = [], None
        for (tokenizer, encoder), mine in zip(pairs, read, strict=True):
            padded = [*mine, *[Chunk()] * (num_chunks - len(mine))]
            hidden, pooled = self._hidden(tokenizer, encoder, padded)
            contexts.append(hidden.flatten(0, 1))
        context = torch.cat(contexts, dim=-1).to(self._bundle.dtype)
        num_tokens = sum(len(chunk.ids) for chunk in read[0])
        return _Text(context, pooled if self._bundle.architecture == "sdxl" else None, num_tokens)

    def _hidden(self, tokenizer: Any, encoder: Any, read: list[Chunk]) -> tuple[Tensor, Tensor]:
        """Hidden states [chunks, window, D] with weights applied; what the encoder pools of the first chunk [P]."""
        is_weighted = any(weight != 1.0 for chunk in read for weight in chunk.weights)
        asked = [*read, Chunk()] if is_weighted else read
        ids = torch.tensor([_framed(tokenizer, chunk.ids, self._bundle.window) for chunk in asked])
        is_sdxl = self._bundle.architecture == "sdxl"
        out = encoder(ids.to(self._bundle.device), output_hidden_states=is_sdxl)
        # SDXL was trained on the last layer but one, without the final norm; Stable Diffusion 1.5 on the last.
        hidden: Tensor = out.hidden_states[-2] if is_sdxl else out[0]
        if is_weighted:
            weights = [(1.0, *chunk.weights) for chunk in read]
            hidden = _weighted(hidden[:-1], hidden[-1:], weights)
        return hidden, out[0][0]


def chunks(tokenizer: Any, text: str, room: int) -> list[Chunk]:
    """`text` as chunks of at most `room` tokens; one empty chunk for an empty text."""
    ids: list[int] = []
    weights: list[float] = []
    for fragment in fragments(text):
        new = tokenizer(fragment.text, add_special_tokens=False, verbose=False).input_ids
        ids += new
        weights += [fragment.weight] * len(new)
    bounds = [0, *cuts(tokenizer.convert_ids_to_tokens(ids), room), len(ids)]
    return [Chunk(tuple(ids[start:end]), tuple(weights[start:end])) for start, end in pairwise(bounds)]


def cuts(tokens: Sequence[str], room: int) -> list[int]:
    """Where to cut `tokens` so that no part is longer than `room`: after a comma, or a word, if one ends near."""
    found: list[int] = []
    start = 0
    while len(tokens) - start > room:
        earliest = start + room - int(room * BACKTRACK)
        near = range(start + room, earliest - 1, -1)
        after_comma = (at for at in near if tokens[at - 1] == _COMMA)
        after_word = (at for at in near if tokens[at - 1].endswith(_WORD_END))
        start = next(after_comma, None) or next(after_word, None) or start + room
        found.append(start)
    return found


def _framed(tokenizer: Any, ids: Sequence[int], window: int) -> list[int]:
    framed = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return [*framed, *[tokenizer.pad_token_id] * (window - len(framed))]


def _weighted(hidden: Tensor, empty: Tensor, weights: list[tuple[float, ...]]) -> Tensor:
    """hidden [k, window, D] moved from empty [1, window, D] by a weight per token; positions without one keep 1."""
    scale = torch.ones(hidden.shape[:2], dtype=torch.float32)
    for row, numbers in enumerate(weights):
        scale[row, : len(numbers)] = torch.tensor(numbers)
    moved = torch.lerp(empty.float(), hidden.float(), scale.to(hidden.device).unsqueeze(-1))
    return moved.to(hidden.dtype)
