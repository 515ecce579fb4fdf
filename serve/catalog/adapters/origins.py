"""What an adapter's metadata tells of its base and of the words that call it: shown to people, believed by nobody.

Keys: `modelspec.*` (https://github.com/Stability-AI/ModelSpec) and kohya's `ss_*`.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

MAX_TRIGGER_WORDS = 8
_MAX_LENGTH = 80
_MAX_TAGS_BYTES = 4 * 2**20
_BASES = ("ss_sd_model_name", "ss_base_model_version", "modelspec.architecture")
_NOTHING = frozenset({"", "none", "null"})


def trained_on(metadata: Mapping[str, str], configured: str = "") -> str | None:
    """The base that the metadata name, the most telling key first; or, before them, the configuration beside them."""
    said = (_line(text) for text in (configured, *(metadata.get(key, "") for key in _BASES)))
    return next((each for each in said if each.lower() not in _NOTHING), None)


def trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The named trigger; without one, the most frequent captions' tags."""
    phrase = _line(metadata.get("modelspec.trigger_phrase", ""))
    if phrase.lower() not in _NOTHING:
        return (phrase,)
    counts: Counter[str] = Counter()
    for tags in _tag_tables(metadata.get("ss_tag_frequency", "")):
        for tag, count in tags.items():
            if isinstance(count, int) and (word := _line(tag)):
                counts[word] += count
    return tuple(word for word, _ in counts.most_common(MAX_TRIGGER_WORDS))


def _tag_tables(text: str) -> list[dict[str, Any]]:
    """kohya counts tags per folder of the training set."""
    if len(text) > _MAX_TAGS_BYTES:
        return []
    try:
        folders = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [tags for tags in folders.values() if isinstance(tags, dict)] if isinstance(folders, dict) else []


def _line(text: str) -> str:
    """One line without control or direction characters, of bounded length."""
    plain = "".join(" " if c.isspace() else c for c in text[: 4 * _MAX_LENGTH] if c.isspace() or _is_shown(c))
    return " ".join(plain.split())[:_MAX_LENGTH]


def _is_shown(character: str) -> bool:
    return unicodedata.category(character)[0] != "C"
