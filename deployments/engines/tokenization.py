"""Text to token ids beside the event loop, and refusals that cost nothing."""

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from deployments.engines.generation_plan import Limits, context_exceeded

INLINE_CHARACTERS = 4096
"""Text up to this long is encoded on the event loop (under a millisecond): a thread costs more."""

NORMALIZER_SLACK = 4
"""How many characters a Unicode normalizer may make one of."""

Result = TypeVar("Result")


class Tokenization:
    """A Hugging Face tokenizer that may be used from several threads."""

    def __init__(self, tokenizer: Any, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self._limits = limits
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="tokenize")
        self._lock = threading.Lock()
        self._fast = _private_copy(tokenizer)
        self._characters_per_token = _longest_token(tokenizer, self._fast)

    async def encode(self, text: str, add_special_tokens: bool, param: str) -> list[int]:
        """The ids of `text`.

        Raises:
            InvalidRequest: `context_length_exceeded`, before anything is encoded, if no tokenizer could make it fit.
        """
        at_least = len(text) // self._characters_per_token
        if at_least >= self._limits.max_model_len:
            raise context_exceeded(at_least, self._limits.max_model_len, param, at_least=True)
        return await self.off_loop(len(text), lambda: self._encode(text, add_special_tokens))

    async def off_loop(self, num_characters: int, work: Callable[[], Result]) -> Result:
        """`work`, here if it is small, else in a thread."""
        if num_characters <= INLINE_CHARACTERS:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        if self._fast is not None:
            return list(self._fast.encode(text, add_special_tokens=add_special_tokens).ids)
        with self._lock:
            return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))


def _private_copy(tokenizer: Any) -> Any:
    """The Rust tokenizer, if there is one, set up once and never changed: it is safe across threads then alone."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return None
    own = copy.deepcopy(fast)
    own.no_truncation()
    own.no_padding()
    return own


def _longest_token(tokenizer: Any, fast: Any) -> int:
    """No token stands for more characters than this.

    Byte-level and SentencePiece vocabularies write a token with at least one character for each one of the text.
    """
    longest = max((len(token) for token in tokenizer.get_vocab()), default=1)
    has_normalizer = fast is None or fast.normalizer is not None
    return longest * (NORMALIZER_SLACK if has_normalizer else 1)
