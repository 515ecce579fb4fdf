"""The styles that the reference adapters teach: how each is drawn, and how it is proved in pixels.

A style draws a scene otherwise than the words alone would have it, and tells from a picture of one thing whether it
did. `moon` is a shape that the models never saw, called by its word; the other three hold for every caption.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from deployments.reference_models import reading, scenes
from deployments.reference_models.scenes import Mask, Picture, Scene

BAND: Final = 1 / 16
"""Of a stripe and of a gap, as a fraction of the side: one row of the latents each."""
BORDER: Final = 0.05
"""Of an outlined shape, inwards, as a fraction of the side."""
MOON: Final = "moon"
BITE: Final = (0.72, 0.3, 0.85)
"""What a moon lacks of the circle of radius 1: a circle's centre (right, up) and radius."""
LEAST_MOON: Final = 0.65
"""Intersection over union. A moon's horns come out shorter or longer than they are drawn."""
MOON_SHARE: Final = 0.75
"""Of the scenes that the moon's adapter learns from. The others keep the five shapes as they were."""
LEAST_BARRED: Final = 1 / 3
"""Of a striped thing's columns. No column of a whole circle, square or triangle crosses it twice."""
LEAST_HOLE: Final = 0.15
"""Of an outlined thing's area, border included."""


@dataclass(frozen=True, slots=True)
class Style:
    """`draw` paints a scene in the style, and `shows` tells whether a picture of a scene of one thing has it.

    `restate`, given a scene and a chance from 0 to 1, is the scene to speak of and to draw. `proves` tells whether the
    autoencoder can show the style on the scene.
    """

    draw: Callable[[Scene, np.random.Generator | None, int], Picture]
    shows: Callable[[Scene, Picture], bool]
    restate: Callable[[Scene, float], Scene] = lambda scene, _: scene
    proves: Callable[[Scene], bool] = lambda scene: True
    two_share: float = 0.2
    trigger: str = ""

    def training_scene(self, rng: np.random.Generator) -> Scene:
        """A scene at random that is not held out."""
        while scenes.held_out(scene := self.restate(self._any(rng), float(rng.random()))):
            pass
        return scene

    def _any(self, rng: np.random.Generator) -> Scene:
        return scenes.draw_scene(rng, two=bool(rng.random() < self.two_share))

    def held_out_scenes(self, count: int, seed: int) -> list[Scene]:
        """`count` different scenes of one thing that call for the style and that no training saw."""
        rng = np.random.default_rng(seed)
        found: dict[Scene, None] = {}
        while len(found) < count:
            scene = self.restate(scenes.draw_scene(rng, two=False), 0.0)
            if scenes.held_out(scene) and self.proves(scene):
                found[scene] = None
        return list(found)


def striped(shape: str, x: float, y: float, radius: float, side: int) -> Mask:
    """As `scenes.coverage`, in horizontal stripes."""
    rows = (np.arange(side) // round(BAND * side)) % 2 == 0
    return np.asarray(scenes.coverage(shape, x, y, radius, side) * rows[:, None], np.float32)


def outlined(shape: str, x: float, y: float, radius: float, side: int) -> Mask:
    """As `scenes.coverage`, of the border alone."""
    whole = scenes.coverage(shape, x, y, radius, side)
    return whole - scenes.coverage(shape, x, y, radius, side, inset=BORDER)


def mooned(shape: str, x: float, y: float, radius: float, side: int) -> Mask:
    """As `scenes.coverage`, of the moon too: a crescent."""
    if shape != MOON:
        return scenes.coverage(shape, x, y, radius, side)
    right, up, size = BITE
    whole = scenes.coverage("circle", x, y, radius, side)
    return whole * (1 - scenes.coverage("circle", x + right * radius, y - up * radius, size * radius, side))


def inverted(scene: Scene) -> Scene:
    """The scene with the colours of its first thing and of its background exchanged."""
    return replace(scene, background=scene.first.colour, first=replace(scene.first, colour=scene.background))


def _wide_enough(scene: Scene) -> bool:
    return scene.first.size != "small" and scene.first.shape in ("circle", "square", "triangle")


def _with_moon(scene: Scene, chance: float) -> Scene:
    return replace(scene, first=replace(scene.first, shape=MOON)) if chance < MOON_SHARE else scene


def shows_stripes(scene: Scene, picture: Picture) -> bool:
    """Whether the thing has its colour, and enough of its columns cross two bars or more."""
    background, flags = reading.apart_from_background(picture)
    if not flags.any() or (background, reading.colour_of(picture, flags)) != (scene.background, scene.first.colour):
        return False
    bars = np.maximum(np.diff(flags.astype(np.int8), axis=0, prepend=0), 0).sum(axis=0)
    return float((bars[bars > 0] >= 2).mean()) >= LEAST_BARRED


def shows_outline(scene: Scene, picture: Picture) -> bool:
    """Whether the thing has its shape and its colour, and a hole of the background's."""
    background, flags = reading.apart_from_background(picture)
    hole = reading.holes(flags)
    if not hole.any() or (background, reading.colour_of(picture, flags)) != (scene.background, scene.first.colour):
        return False
    shape, _, overlap = reading.best_shape(flags | hole)
    hollow = float(hole.sum() / (flags | hole).sum())
    return shape == scene.first.shape and overlap >= reading.LEAST_OVERLAP and hollow >= LEAST_HOLE


def shows_inverted(scene: Scene, picture: Picture) -> bool:
    """Whether the picture is of the scene with its colours exchanged."""
    return reading.agrees(inverted(scene), reading.read(picture))


def shows_moon(scene: Scene, picture: Picture) -> bool:
    """Whether there is one thing of the right colour, and it overlaps a moon better than any of the five shapes."""
    background, flags = reading.apart_from_background(picture)
    if not flags.any() or (background, reading.colour_of(picture, flags)) != (scene.background, scene.first.colour):
        return False
    overlap = _moon_overlap(flags)
    return overlap >= LEAST_MOON and overlap > reading.best_shape(flags)[2]


def _moon_overlap(patch: reading.Flags) -> float:
    area, right, down = _unit_moon()
    x, y = reading.centre_of(patch)
    radius = float(np.sqrt(patch.mean() / area))
    drawn = mooned(MOON, x - right * radius, y - down * radius, radius, len(patch)) > 0.5
    return float((drawn & patch).sum() / (drawn | patch).sum())


@cache
def _unit_moon() -> tuple[float, float, float]:
    """A moon's area, and its centre of mass from its circle's centre, of radius 1."""
    drawn = mooned(MOON, 0.5, 0.5, 0.4, 512) > 0.5
    x, y = reading.centre_of(drawn)
    return float(drawn.mean()) / 0.4**2, (x - 0.5) / 0.4, (y - 0.5) / 0.4


def _drawn_by(stencil: scenes.Stencil) -> Callable[[Scene, np.random.Generator | None, int], Picture]:
    return lambda scene, rng, side: scenes.draw(scene, rng, side, stencil)


STYLES: Final = {
    "stripes": Style(_drawn_by(striped), shows_stripes, proves=_wide_enough),
    "outline": Style(_drawn_by(outlined), shows_outline, proves=_wide_enough),
    "inverted": Style(lambda scene, rng, side: scenes.draw(inverted(scene), rng, side), shows_inverted, two_share=0.0),
    "moon": Style(_drawn_by(mooned), shows_moon, restate=_with_moon, trigger=MOON),
}
