"""What is known of a stored document without reading it: whether it is the one that somebody has."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AppliedDocument:
    """A document that was applied. `digest` is that of the document, as whoever applied it reckons it."""

    name: str
    digest: str
    managed_by: str
    version: str
    """Of an adapter its files' digest, of a workflow the number that was published last."""
    base: str | None = None
    """The served model that an adapter was found to fit."""
