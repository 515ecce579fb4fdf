"""A tokenizer of CLIP's kind whose vocabulary is the words of the scenes; any other text falls to single bytes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Final

from transformers import CLIPTokenizer

WINDOW: Final = 32
"""Tokens in a prompt, start and end included. Longer prompts are cut, as CLIP's are at 77."""
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS: Final = (
    *("red", "green", "blue", "yellow", "orange", "purple", "white", "black"),
    *("circle", "square", "triangle", "star", "cross"),
    *("small", "medium", "large", "centre", "top", "bottom", "left", "right", "corner"),
    *("above", "below", "of", "to", "at", "in", "on", "the", "a", "an", "and", "with"),
    *("background", "picture", "drawing", "photo", ","),
)
Pair = tuple[str, str]


def byte_symbols() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in CLIP's order: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def merges(words: tuple[str, ...] = WORDS) -> list[Pair]:
    """Merge rules, in rank order, under which each of `words` is one token.

    A word is first merged by the rules of the words before it; what remains is joined from the left by new rules. New
    rules rank last, so they never change how an earlier word comes together.
    """
    rules: list[Pair] = []
    for word in words:
        pieces = _apply(rules, [*word[:-1], word[-1] + "</w>"])
        while len(pieces) > 1:
            rules.append((pieces[0], pieces[1]))
            pieces = _apply(rules, [*word[:-1], word[-1] + "</w>"])
    return rules


def _apply(rules: list[Pair], pieces: list[str]) -> list[str]:
    ranks = {pair: rank for rank, pair in enumerate(rules)}
    while True:
        found = [(ranks[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in ranks]
        if not found:
            return pieces
        at = min(found)[1]
        pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]


def tokens() -> list[str]:
    """Every token, in the order of the ids: bytes, bytes that end a word, what the rules make, start, end."""
    symbols = byte_symbols()
    made = dict.fromkeys(first + second for first, second in merges())
    return [*symbols, *(symbol + "</w>" for symbol in symbols), *made, START, END]


def build(folder: Path, *, pad: str = END) -> CLIPTokenizer:
    """Write the tokenizer's files into `folder` and return it. SDXL pads its second tokenizer with "!"."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(tokens())}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges()))
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=pad, model_max_length=WINDOW
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
