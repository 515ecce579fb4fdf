"""Reading a picture: what colour is behind, and the colour, shape, size and place of each thing on it.

Works on pixels alone. The background is the colour most common along the border, a thing is a patch of pixels of
another colour, and its shape is the one that, drawn with the patch's area and centre, overlaps it best. A patch that
overlaps none of them well has no shape, so that a blob does not count as whatever is nearest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deployments.reference_models import scenes

LEAST_OVERLAP: Final = 0.75
"""Intersection over union below which a patch has no shape."""
LEAST_AREA: Final = 0.008
"""Of a thing, as a fraction of the picture. The smallest that is drawn, a small cross, covers 0.02."""
FARTHEST: Final = 60.0
"""Distance in RGB beyond which a colour has no name. The two nearest names, red and orange, are 95 apart."""
OFF_CENTRE: Final = 0.085
"""From here on a thing is left or right, top or bottom. A large one is moved by 0.17."""
UNNAMED: Final = "unnamed"

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """One thing: names as in `scenes` (or "unnamed"), centre (x, y) as fractions, and how well the shape overlaps."""

    colour: str
    shape: str
    size: str
    position: str
    centre: tuple[float, float]
    overlap: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A picture's background and its things, the largest first."""

    background: str
    things: tuple[Found, ...]


def read(picture: scenes.Picture) -> Reading:
    """Read a square RGB picture of any size, height x width x 3."""
    background, foreground = apart_from_background(picture)
    patches = [patch for patch in _patches(foreground) if patch.mean() >= LEAST_AREA]
    patches.sort(key=lambda patch: -int(patch.sum()))
    return Reading(background, tuple(_describe(patch, picture) for patch in patches))


def apart_from_background(picture: scenes.Picture) -> tuple[str, Flags]:
    """The background's colour, and which pixels are of another."""
    names, flat = list(scenes.COLOURS), picture.astype(np.float32)
    border = np.concatenate([flat[:3].reshape(-1, 3), flat[-3:].reshape(-1, 3), flat[:, 0], flat[:, -1]])
    backdrop = np.median(border, axis=0)
    apart = np.linalg.norm(flat - backdrop, axis=-1)
    nearest = _distances(flat).argmin(axis=-1)
    ground = _distances(backdrop[None])[0]
    background = names[int(ground.argmin())] if ground.min() < FARTHEST else UNNAMED
    return background, (apart > 45) & (nearest != ground.argmin())


def colour_of(picture: scenes.Picture, patch: Flags) -> str:
    """The name of the colour that most of the patch has, away from its edges if it is thick enough."""
    core = _eroded(patch)
    tint = np.median(picture[core if core.any() else patch].astype(np.float32), axis=0)
    distances = _distances(tint[None])[0]
    return list(scenes.COLOURS)[int(distances.argmin())] if distances.min() < FARTHEST else UNNAMED


def holes(flags: Flags) -> Flags:
    """The pixels not set that no way over pixels not set joins to the picture's edge."""
    edge = np.ones_like(flags)
    edge[1:-1, 1:-1] = False
    outside = [patch for patch in _patches(~flags) if (patch & edge).any()]
    return ~flags & ~np.any(outside, axis=0) if outside else ~flags


def agrees(scene: scenes.Scene, reading: Reading) -> bool:
    """Whether the picture shows the scene's background, and exactly its things by colour and shape.

    Of two things their places must fit the relation as well.
    """
    if reading.background != scene.background or len(reading.things) != len(scene.things):
        return False
    if scene.second is None:
        return _same(scene.first, reading.things[0])
    return any(
        _same(scene.first, one) and _same(scene.second, other) and _relates(scene.relation, one, other)
        for one, other in (reading.things, reading.things[::-1])
    )


def wrong_parts(scene: scenes.Scene, reading: Reading) -> list[str]:
    """Which facts of a scene of one thing the picture gets wrong: background, count, colour, shape, size, position."""
    wrong = ["background"] if reading.background != scene.background else []
    if not reading.things:
        return [*wrong, "count"]
    wrong += ["count"] if len(reading.things) != 1 else []
    thing = reading.things[0]
    pairs = {
        "colour": (scene.first.colour, thing.colour),
        "shape": (scene.first.shape, thing.shape),
        "size": (scene.first.size, thing.size),
        "position": (scene.position, thing.position),
    }
    return wrong + [part for part, (said, seen) in pairs.items() if said != seen]


def _same(thing: scenes.Thing, found: Found) -> bool:
    return (thing.colour, thing.shape) == (found.colour, found.shape)


def _relates(relation: str, one: Found, other: Found) -> bool:
    (x, y), (other_x, other_y) = one.centre, other.centre
    return {"left": x < other_x, "right": x > other_x, "above": y < other_y, "below": y > other_y}[relation]


def _distances(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """... x 3 to ... x 8: how far each is from each named colour."""
    palette = np.array(list(scenes.COLOURS.values()), np.float32)
    distances: NDArray[np.float32] = np.linalg.norm(colours[..., None, :] - palette, axis=-1)
    return distances


def _describe(patch: Flags, picture: scenes.Picture) -> Found:
    x, y = centre_of(patch)
    colour = colour_of(picture, patch)
    shape, radius, overlap = best_shape(patch)
    size = min(scenes.RADII, key=lambda name: abs(np.log(scenes.RADII[name] / radius)))
    named = shape if overlap >= LEAST_OVERLAP else UNNAMED
    return Found(colour, named, size, _position(x, y), (x, y), overlap)


def _position(x: float, y: float) -> str:
    vertical = "top" if y < 0.5 - OFF_CENTRE else "bottom" if y > 0.5 + OFF_CENTRE else ""
    horizontal = "left" if x < 0.5 - OFF_CENTRE else "right" if x > 0.5 + OFF_CENTRE else ""
    return f"{vertical} {horizontal}".strip() or "centre"


def centre_of(patch: Flags) -> tuple[float, float]:
    """The patch's centre of mass (x, y), as fractions of the side from the top left."""
    rows, columns = np.nonzero(patch)
    return float((columns.mean() + 0.5) / len(patch)), float((rows.mean() + 0.5) / len(patch))


def best_shape(patch: Flags) -> tuple[str, float, float]:
    """The shape, its radius and its overlap with the patch."""
    found = []
    x, y = centre_of(patch)
    for shape, unit in _unit_areas().items():
        radius = float(np.sqrt(patch.mean() / unit))
        drawn = scenes.coverage(shape, x, y, radius, len(patch)) > 0.5
        found.append((float((drawn & patch).sum() / max(1, (drawn | patch).sum())), shape, radius))
    overlap, shape, radius = max(found)
    return shape, radius, overlap


@cache
def _unit_areas() -> dict[str, float]:
    return {shape: float(scenes.coverage(shape, 0.5, 0.5, 0.4).mean()) / 0.4**2 for shape in scenes.SHAPES}


def _eroded(patch: Flags) -> Flags:
    inner = patch.copy()
    for axis in (0, 1):
        inner &= np.roll(patch, 1, axis) & np.roll(patch, -1, axis)
    return inner


def _patches(flags: Flags) -> Sequence[Flags]:
    """The connected patches of set pixels (by edges), in no order."""
    labels = np.where(flags, np.arange(1, flags.size + 1).reshape(flags.shape), 0)
    while True:
        spread = labels.copy()
        for axis in (0, 1):
            for step in (1, -1):
                shifted = np.roll(labels, step, axis)
                edge = [slice(None)] * 2
                edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
                shifted[tuple(edge)] = 0
                spread = np.maximum(spread, shifted)
        spread = np.where(flags, spread, 0)
        # Follow each label to the label its own pixel now has: doubles the reach of every round.
        flat = np.concatenate([[0], spread.ravel()])
        spread = flat[spread]
        if (spread == labels).all():
            return [labels == label for label in np.unique(labels) if label]
        labels = spread
