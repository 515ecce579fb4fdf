"""Scenes of one or two flat shapes on a flat background: their captions, and how they are drawn.

A scene is a few words' worth of facts. The caption states them in one of several phrasings, the drawing shows them
with a slight jitter, and `reading` finds them again in pixels. What a caption leaves unsaid has one meaning: no size
is medium, no position is the centre, no background is white (black behind a white shape).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 128
"""Pixels along each side of a picture."""
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (214, 40, 40),
    "green": (40, 160, 70),
    "blue": (40, 90, 220),
    "yellow": (250, 215, 40),
    "orange": (245, 130, 30),
    "purple": (140, 60, 170),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}
SHAPES: Final = ("circle", "square", "triangle", "star", "cross")
RADII: Final[dict[str, float]] = {"small": 0.15, "medium": 0.2, "large": 0.26}
"""A shape's radius as a fraction of the picture's side."""
POSITIONS: Final[dict[str, tuple[float, float]]] = {
    "centre": (0.5, 0.5),
    "top": (0.5, 0.24),
    "bottom": (0.5, 0.76),
    "left": (0.24, 0.5),
    "right": (0.76, 0.5),
    "top left": (0.24, 0.24),
    "top right": (0.76, 0.24),
    "bottom left": (0.24, 0.76),
    "bottom right": (0.76, 0.76),
}
"""Centres as fractions (x, y) from the top left; a large shape is moved inwards until it fits."""
RELATIONS: Final = ("left", "right", "above", "below")
REACH: Final = 1.15
"""No shape reaches further from its centre than this many radii, save the square's and cross's corners."""
HELD_OUT_SHARE: Final = 0.09

Picture = NDArray[np.uint8]
"""Height x width x 3, RGB."""
Mask = NDArray[np.float32]
"""Height x width, coverage between 0 and 1."""
Plane = NDArray[np.floating]
"""Height x width, of whatever is measured at each pixel."""
Stencil = Callable[[str, float, float, float, int], Mask]
"""What a shape covers, as `coverage` tells: of a name, a centre, a radius and the pixels of a side."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape: its colour's and its size's name."""

    colour: str
    shape: str
    size: str = "medium"


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing at a position, or two of which the first is `relation` of the second."""

    background: str
    first: Thing
    position: str = "centre"
    second: Thing | None = None
    relation: str = "left"

    @property
    def things(self) -> tuple[Thing, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)


def held_out(scene: Scene) -> bool:
    """Whether training must never see this scene: some colour, shape and background are reserved for evaluation.

    Decided by a hash of each thing's triple, so that it is the same on every machine and in every release.
    """
    return any(_reserved(thing.colour, thing.shape, scene.background) for thing in scene.things)


def _reserved(colour: str, shape: str, background: str) -> bool:
    digest = hashlib.sha256(f"{colour} {shape} on {background}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_SHARE


def draw_scene(rng: np.random.Generator, *, two: bool) -> Scene:
    """A scene at random, uniformly over the named facts (medium and centred somewhat more often)."""
    background, *colours = (str(name) for name in rng.choice(list(COLOURS), 3, replace=False))
    things = [Thing(colour, str(rng.choice(SHAPES))) for colour in colours]
    if not two:
        size = str(rng.choice(list(RADII)))
        weights = np.array([4.0] + [1.0] * 8)
        position = str(rng.choice(list(POSITIONS), p=weights / weights.sum()))
        return Scene(background, Thing(things[0].colour, things[0].shape, size), position)
    if rng.random() < 0.3:
        colours[1] = colours[0]
    pairs = (("medium", "medium"), ("small", "small"), ("large", "small"), ("small", "large"), ("medium", "small"))
    sizes = pairs[int(rng.integers(len(pairs)))]
    first, second = (
        Thing(colour, thing.shape, size) for colour, thing, size in zip(colours, things, sizes, strict=True)
    )
    return Scene(background, first, second=second, relation=str(rng.choice(RELATIONS)))


def training_scene(rng: np.random.Generator, *, two_share: float) -> Scene:
    """A scene at random that is not held out."""
    while held_out(scene := draw_scene(rng, two=bool(rng.random() < two_share))):
        pass
    return scene


def held_out_scenes(count: int, seed: int, *, two: bool = False) -> list[Scene]:
    """`count` different held-out scenes, the same for the same seed."""
    rng = np.random.default_rng(seed)
    found: dict[Scene, None] = {}
    while len(found) < count:
        scene = draw_scene(rng, two=two)
        if held_out(scene):
            found[scene] = None
    return list(found)


def caption(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """The scene in words: in the plainest phrasing without `rng`, in one of several with it."""
    if rng is not None and rng.random() < 0.1:
        return _terse(scene)
    lead = "" if rng is None else str(rng.choice(["", "", "", "", "a picture of ", "a drawing of ", "a photo of "]))
    say_medium = rng is not None and rng.random() < 0.25
    words = lead + _phrase(scene.first, say_medium)
    if scene.second is None:
        words += _place(scene.position, rng)
    else:
        words += _relation(scene, rng) + _phrase(scene.second, say_medium)
    return words + _ground(scene, rng)


def _terse(scene: Scene) -> str:
    words = _bare(scene.first)
    if scene.second is None:
        words += "" if scene.position == "centre" else f", {scene.position}"
    else:
        joint = {"left": "left of", "right": "right of"}.get(scene.relation, scene.relation)
        words += f" {joint} {_bare(scene.second)}"
    return f"{words}, {scene.background} background"


def _bare(thing: Thing) -> str:
    return f"{thing.colour} {thing.shape}" if thing.size == "medium" else f"{thing.size} {thing.colour} {thing.shape}"


def _phrase(thing: Thing, say_medium: bool) -> str:
    words = f"{thing.size} {thing.colour} {thing.shape}" if say_medium else _bare(thing)
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _place(position: str, rng: np.random.Generator | None) -> str:
    if position == "centre":
        return " in the centre" if rng is not None and rng.random() < 0.2 else ""
    if rng is None or rng.random() < 0.6:
        return f" at the {position}"
    return f" in the {position} corner" if " " in position else f" on the {position}"


def _relation(scene: Scene, rng: np.random.Generator | None) -> str:
    if scene.relation == "left" and rng is not None and rng.random() < 0.5:
        return " and "
    if scene.relation in ("left", "right"):
        return f" to the {scene.relation} of "
    return f" {scene.relation} "


def _ground(scene: Scene, rng: np.random.Generator | None) -> str:
    colours = {thing.colour for thing in scene.things}
    unsaid = "black" if "white" in colours else "white"
    if rng is not None:
        if scene.background == unsaid and "black" not in colours - {unsaid} and rng.random() < 0.3:
            return ""
        if rng.random() < 0.1:
            return f" on {scene.background}"
    return f" on {'an' if scene.background == 'orange' else 'a'} {scene.background} background"


def draw(
    scene: Scene, rng: np.random.Generator | None = None, side: int = SIDE, stencil: Stencil | None = None
) -> Picture:
    """The scene as a picture, antialiased; with `rng`, colours, places and sizes are off by a little.

    A `stencil` covers other pixels than the whole of each shape.
    """
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = _tint(scene.background, rng)
    for thing, (x, y) in zip(scene.things, centres(scene), strict=True):
        dx, dy, swell = (0.0, 0.0, 1.0) if rng is None else rng.uniform((-0.015, -0.015, 0.96), (0.015, 0.015, 1.04))
        mask = (stencil or coverage)(thing.shape, x + dx, y + dy, RADII[thing.size] * swell, side)[..., None]
        canvas += mask * (_tint(thing.colour, rng) - canvas)
    return canvas.clip(0, 255).round().astype(np.uint8)


def _tint(colour: str, rng: np.random.Generator | None) -> NDArray[np.float32]:
    exact = np.array(COLOURS[colour], np.float32)
    return exact if rng is None else exact + rng.uniform(-6, 6, 3).astype(np.float32)


def centres(scene: Scene) -> list[tuple[float, float]]:
    """Where the things are, as fractions (x, y) of the side from the top left."""
    if scene.second is None:
        margin = RADII[scene.first.size] * REACH + 0.02
        x, y = POSITIONS[scene.position]
        return [(min(max(x, margin), 1 - margin), min(max(y, margin), 1 - margin))]
    reaches = [RADII[thing.size] * REACH for thing in scene.things]
    if scene.relation in ("right", "below"):
        reaches.reverse()
    gap = (1 - 2 * sum(reaches)) / 3
    along = [gap + reaches[0], 1 - gap - reaches[1]]
    if scene.relation in ("right", "below"):
        along.reverse()
    return [(at, 0.5) if scene.relation in ("left", "right") else (0.5, at) for at in along]


def coverage(shape: str, x: float, y: float, radius: float, side: int = SIDE, inset: float = 0.0) -> Mask:
    """How much of each pixel the shape covers, less a border of `inset`; all lengths are fractions of the side."""
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    right, down = np.broadcast_to(steps - np.float32(x), (side, side)), (steps - np.float32(y))[:, None]
    right, up = right / np.float32(radius), np.broadcast_to(-down, (side, side)) / np.float32(radius)
    outside = _distance(shape, right, up) * np.float32(radius * side)
    return np.clip(np.float32(0.5 - inset * side) - outside, 0, 1).astype(np.float32)


def _distance(shape: str, x: Plane, y: Plane) -> Plane:
    """Signed distance to the outline of the shape of radius 1, negative inside. Raises KeyError for other names."""
    return {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross}[shape](x, y)


def _circle(x: Plane, y: Plane) -> Plane:
    return np.asarray(np.hypot(x, y) - np.float32(1), np.float32)


def _square(x: Plane, y: Plane) -> Plane:
    return np.asarray(np.maximum(abs(x), abs(y)) - np.float32(0.9), np.float32)


def _triangle(x: Plane, y: Plane) -> Plane:
    slope = np.float32(np.sqrt(3) / 2) * abs(x) + np.float32(0.5) * y
    return np.asarray(np.maximum(slope, -y) - np.float32(REACH / 2), np.float32)


def _cross(x: Plane, y: Plane) -> Plane:
    far, near = np.maximum(abs(x), abs(y)), np.minimum(abs(x), abs(y))
    return np.asarray(np.maximum(far - np.float32(1.05), near - np.float32(0.34)), np.float32)


def _star(x: Plane, y: Plane, inner: float = 0.4) -> Plane:
    """Five points, by folding the plane onto one of its edges (Inigo Quilez, "2D distance functions")."""
    cos, sin = np.float32(np.cos(np.pi / 5)), np.float32(np.sin(np.pi / 5))
    x = abs(x)
    for side in (1, -1):
        fold = 2 * np.maximum(side * cos * x - sin * y, 0)
        x, y = x - fold * side * cos, y + fold * sin
    x, y = abs(x), y - np.float32(REACH)
    edge_x, edge_y = np.float32(inner) * sin, np.float32(inner) * cos - 1
    along = np.clip((x * edge_x + y * edge_y) / (edge_x**2 + edge_y**2), 0, np.float32(REACH))
    away = np.hypot(x - edge_x * along, y - edge_y * along)
    return np.asarray(away * np.sign(y * edge_x - x * edge_y), np.float32)
