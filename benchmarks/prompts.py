"""Prompts that no cache has seen: made from a seed, another for every request of a run."""

import random

_WORDS = (
    "river mountain window paper garden winter silver morning letter bridge engine coffee market island yellow "
    "shadow travel doctor summer forest castle orange planet number writer corner flower basket button candle "
    "dinner eleven farmer guitar hunter insect jacket kitten ladder magnet needle office pencil quartz rabbit "
    "saddle temple useful valley walnut zipper anchor beacon copper desert effort fabric gentle harbor invent "
    "jungle kernel lumber mirror "
)


def prompt(seed: str, num_words: int) -> str:
    """`num_words` words. Prompts of two seeds differ from their first words on, so that they share no prefix."""
    chosen = random.Random(seed)
    words = _WORDS.split()
    return " ".join(chosen.choice(words) for _ in range(num_words)) + ". Tell a long story with all of these words."
