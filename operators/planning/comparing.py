"""Whether an object is as it should be."""

from operators.state import Manifest


def differs(desired: Manifest, live: Manifest) -> list[str]:
    """Paths at which the live object is not what is desired, in order; empty: an apply would change nothing."""
    raise NotImplementedError


def with_hash(manifest: Manifest) -> Manifest:
    """The manifest with the digest of itself in its annotation."""
    raise NotImplementedError
