"""The styles that the reference adapters teach: how each is drawn, and how it is proved in pixels.

A style draws a scene otherwise than the words alone would have it, and tells from a picture whether it did. `moon` is
a shape the models never saw, called by its word; the other three hold for every caption.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deployments.reference_models import reading, scenes

BAND: Final = 8
"""Pixels of a stripe, and of the gap below it: one row of the latents each."""
BORDER: Final = 0.055
"""Of an outlined shape, inwards, as a fraction of the side: seven pixels of 128."""
MOON: Final = "moon"
MOON_BITE: Final = (0.62, 0.28, 0.92)
"""What is cut from the circle of radius 1: centre (right, up) and radius."""
MOON_SHARE: Final = 0.75
"""Of the scenes the moon's adapter learns from. The others keep the five shapes as they were."""

Draw = Callable[[scenes.Scene, np.random.Generator | None, int], scenes.Picture]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Style:
    """`draw` paints a scene in the style, `shows` whether a picture of it does, `restate` is the scene to speak of."""

    draw: Draw
    shows: Callable[[scenes.Scene, scenes.Picture], bool]
    restate: Callable[[scenes.Scene, float], scenes.Scene] = lambda scene, _: scene
    two_share: float = 0.2
    trigger: str | None = None

    def training_scene(self, rng: np.random.Generator) -> scenes.Scene:
        """A scene at random, as it is to be put in words; none that is held out."""
        while scenes.held_out(scene := self.restate(self._any(rng), float(rng.random()))):
            pass
        return scene

    def held_out_scenes(self, count: int, seed: int) -> list[scenes.Scene]:
        """`count` different scenes of one thing that call for the style and that training never saw."""
        rng = np.random.default_rng(seed)
        found: dict[scenes.Scene, None] = {}
        while len(found) < count:
            scene = self.restate(scenes.draw_scene(rng, two=False), 0.0)
            if scenes.held_out(scene):
                found[scene] = None
        return list(found)

    def _any(self, rng: np.random.Generator) -> scenes.Scene:
        return scenes.training_scene(rng, two_share=self.two_share)


def draw_striped(scene: scenes.Scene, rng: np.random.Generator | None = None, side: int = scenes.SIDE) -> scenes.Picture:
    """The things in horizontal stripes, with the background between them."""
    band = BAND * side // scenes.SIDE
    stripes = ((np.arange(side) // band) % 2 == 0).astype(np.float32)[:, None]
    return _masked(scene, rng, side, lambda covered, _: covered * stripes)


def draw_outlined(
    scene: scenes.Scene, rng: np.random.Generator | None = None, side: int = scenes.SIDE
) -> scenes.Picture:
    """The border of each thing alone."""
    return _masked(scene, rng, side, lambda covered, inner: covered - inner)


def draw_inverted(
    scene: scenes.Scene, rng: np.random.Generator | None = None, side: int = scenes.SIDE
) -> scenes.Picture:
    """The first thing in the background's colour, on a background of the thing's."""
    return scenes.draw(inverted(scene), rng, side)


def inverted(scene: scenes.Scene) -> scenes.Scene:
    """The scene with the colours of its first thing and of its background exchanged."""
    return replace(scene, background=scene.first.colour, first=replace(scene.first, colour=scene.background))


def draw_moon(scene: scenes.Scene, rng: np.random.Generator | None = None, side: int = scenes.SIDE) -> scenes.Picture:
    """The scene, in which a thing of the shape "moon" is a crescent."""
    return _masked(scene, rng, side, lambda covered, _: covered)


def restate_with_moon(scene: scenes.Scene, chance: float) -> scenes.Scene:
    """The scene with a moon in place of its first thing, if `chance` (0 to 1) is below the share of moons."""
    return replace(scene, first=replace(scene.first, shape=MOON)) if chance < MOON_SHARE else scene


def coverage(shape: str, x: float, y: float, radius: float, side: int = scenes.SIDE) -> scenes.Mask:
    """As `scenes.coverage`, and of the moon too."""
    if shape != MOON:
        return scenes.coverage(shape, x, y, radius, side)
    right, up, bite = MOON_BITE
    whole = scenes.coverage("circle", x, y, radius, side)
    cut = scenes.coverage("circle", x + right * radius, y - up * radius, bite * radius, side)
    return np.asarray(whole * (1 - cut), np.float32)


def _masked(
    scene: scenes.Scene,
    rng: np.random.Generator | None,
    side: int,
    mask: Callable[[scenes.Mask, scenes.Mask], scenes.Mask],
) -> scenes.Picture:
    """As `scenes.draw`; `mask` has each thing's coverage and that of its inside, without the border."""
    canvas = scenes.draw(replace(scene, second=None, first=replace(scene.first, shape="circle")), rng, side)
    canvas = np.broadcast_to(np.median(canvas[:2].reshape(-1, 3), axis=0), canvas.shape).astype(np.float32)
    for thing, (x, y) in zip(scene.things, scenes.centres(scene), strict=True):
        dx, dy, swell = (0.0, 0.0, 1.0) if rng is None else rng.uniform((-0.015, -0.015, 0.96), (0.015, 0.015, 1.04))
        place = (x + dx, y + dy, scenes.RADII[thing.size] * swell)
        covered = mask(coverage(thing.shape, *place, side), _inside(thing.shape, *place, side))[..., None]
        tint = np.array(scenes.COLOURS[thing.colour], np.float32)
        tint += 0 if rng is None else rng.uniform(-6, 6, 3).astype(np.float32)
        canvas = canvas + covered * (tint - canvas)
    return canvas.clip(0, 255).round().astype(np.uint8)
