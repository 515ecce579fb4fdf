"""What the operator makes, object by object: make what is missing, set right what is not as it should be, remove what
is no longer wanted. Never touched is what has another owner."""

from collections.abc import Iterator, Mapping, Sequence

from operators.planning.comparing import applied_hash, differs, with_hash, without_additions
from operators.planning.outcome import Event
from operators.state import FIELD_MANAGER, Action, Manifest, ObjectKey, Verb

_MOST_PATHS = 3


def apply_actions(wanted: Sequence[Manifest], live: Mapping[ObjectKey, Manifest], owner_uid: str) -> list[Action]:
    """What makes every wanted object be there, in the order of `wanted`."""
    return [
        action
        for manifest in wanted
        for action in _apply(with_hash(manifest), live.get(ObjectKey.of(manifest)), owner_uid)
    ]


def delete_actions(wanted: Sequence[Manifest], live: Mapping[ObjectKey, Manifest], owner_uid: str) -> list[Action]:
    """What removes the owner's objects that are not wanted. The RayService is not among them: without it everything
    would be gone, and it goes with its Platform alone."""
    keys = {ObjectKey.of(manifest) for manifest in wanted}
    gone = [(key, live[key]) for key in live if key not in keys and key.kind != "RayService"]
    return [
        Action(
            Verb.DELETE,
            key,
            f"{key.kind} {key.name} is no longer wanted.",
            event="Deleted",
            uid=manifest["metadata"]["uid"],
        )
        for key, manifest in sorted(gone, key=lambda pair: (pair[0].kind, pair[0].name))
        if _owner(manifest) == owner_uid and not _is_ending(manifest)
    ]


def taken_names(
    wanted: Sequence[Manifest], live: Mapping[ObjectKey, Manifest], owner_uid: str, about: ObjectKey
) -> Iterator[Event]:
    """Warnings of names that something else has."""
    for key in (ObjectKey.of(manifest) for manifest in wanted):
        if key in live and _is_another_ones(live[key], owner_uid):
            message = f"{key.kind} {key.name} has another owner, and stays as it is. Rename it, or this Platform."
            yield Event(about, "NameTaken", message, is_warning=True)


def _apply(manifest: Manifest, live: Manifest | None, owner_uid: str) -> Iterator[Action]:
    key = ObjectKey.of(manifest)
    if live is None:
        yield Action(Verb.APPLY, key, f"{key.kind} {key.name} is made.", manifest, event="Created")
        return
    if _is_ending(live) or _is_another_ones(live, owner_uid):
        return
    if added := without_additions(manifest, live):
        patch, authors = added
        yield Action(Verb.PATCH, key, f"What {', '.join(authors)} added to {key.kind} {key.name} is taken over.", patch)
        yield Action(Verb.APPLY, key, _reverted(key, authors, ()), manifest, event="HandEditReverted")
        return
    paths = differs(manifest, live)
    if not paths:
        return
    if applied_hash(live) == applied_hash(manifest):
        yield Action(Verb.APPLY, key, _reverted(key, _authors(live), paths), manifest, event="HandEditReverted")
        return
    yield Action(Verb.APPLY, key, f"{key.kind} {key.name} follows the documents: {_listed(paths)}.", manifest)


def _reverted(key: ObjectKey, authors: Sequence[str], paths: Sequence[str]) -> str:
    where = f" ({_listed(paths)})" if paths else ""
    who = f" by {', '.join(authors)}" if authors else ""
    return f"{key.kind} {key.name} was changed{who}{where}, and is set back: change the Platform's document instead."


def _listed(paths: Sequence[str]) -> str:
    shown = [path for path in paths if not path.startswith("metadata.annotations.slipway")] or list(paths)
    more = f" and {len(shown) - _MOST_PATHS} more" if len(shown) > _MOST_PATHS else ""
    return ", ".join(shown[:_MOST_PATHS]) + more


def _authors(live: Manifest) -> tuple[str, ...]:
    """Who else has written to it, but for its status."""
    entries = live["metadata"].get("managedFields") or []
    names = (str(entry.get("manager", "")) for entry in entries if not entry.get("subresource"))
    return tuple(dict.fromkeys(name for name in names if name and name != FIELD_MANAGER))


def _is_ending(manifest: Manifest) -> bool:
    return "deletionTimestamp" in manifest["metadata"]


def _owner(manifest: Manifest) -> str:
    references = manifest["metadata"].get("ownerReferences") or []
    return next((str(each["uid"]) for each in references if each.get("controller")), "")


def _is_another_ones(manifest: Manifest, owner_uid: str) -> bool:
    """A Platform of the same name that was there before is not another: what it left is taken over."""
    references = manifest["metadata"].get("ownerReferences") or []
    return any(
        each.get("controller") and each["uid"] != owner_uid and each["kind"] != "Platform" for each in references
    )
