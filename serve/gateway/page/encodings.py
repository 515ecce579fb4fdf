"""Which of several encodings a client gets, by its Accept-Encoding (RFC 9110, 12.5.3)."""

from collections.abc import Collection

IDENTITY = "identity"
SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""What a build leaves beside a file, the smaller first: of two that a client likes as much, it gets the first."""
_MAX_CHARS = 500


def chosen(accept: str, available: Collection[str]) -> str:
    """The encoding among `available` that the client likes best; `identity` where it likes none.

    `accept` is the header, empty where there is none: then nothing is encoded, as old clients expect.
    """
    liked = _qualities(accept[:_MAX_CHARS])
    ranked = [name for name in SUFFIXES if name in available and _quality(liked, name) > 0]
    if not ranked:
        return IDENTITY
    best = max(ranked, key=lambda name: _quality(liked, name))
    # Plain bytes win only where a client says that it wants them more.
    return IDENTITY if liked.get(IDENTITY, 0.0) > _quality(liked, best) else best


def _quality(liked: dict[str, float], name: str) -> float:
    return liked.get(name, liked.get("*", 0.0))


def _qualities(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name:
            found["gzip" if name == "x-gzip" else name] = _q(parameters)
    return found


def _q(parameters: list[str]) -> float:
    """1 where nothing is said, 0 for what is no number between 0 and 1: it is refused rather than guessed."""
    said = next((text.removeprefix("q=") for text in parameters if text.startswith("q=")), "1")
    try:
        value = float(said)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0
