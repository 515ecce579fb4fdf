"""What flows between the nodes of a graph while it is translated: values that workflows have, too, and the parts that
come together in one model call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NoEquivalent(Exception):
    """Why a node stays as it is, in words that go on from its name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Nothing:
    """No value is known."""


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Flow:
    """A value of a workflow. `written` is how a document writes it; `type` is ComfyUI's word. `literal` is there where
    the value itself is known; `default` is what the graph has, of an input that callers give. An IMAGE or MASK is one
    picture, or with `is_list` a list of them."""

    written: Any
    type: str
    literal: Any = NOTHING
    default: Any = None
    is_list: bool = False
    num_items: int | None = None
    sources: frozenset[str] = frozenset()
    """Nodes whose work is done in `written`: they are named by whoever uses it."""

    @property
    def is_known(self) -> bool:
        """Whether it is written down."""
        return self.literal is not NOTHING


def written(value: Any, type: str) -> Flow:
    """A value that stands in the graph."""
    is_marked = isinstance(value, Mapping) and not {"$ref", "$input", "$literal"}.isdisjoint(value)
    return Flow({"$literal": value} if is_marked else value, type, value)


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA on its way to a model, or to a text encoder; `node` tells one use from another."""

    node: str
    name: Flow
    strength: Flow
    is_for_model_alone: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """MODEL: what denoises. `loader` is the node that it comes from."""

    loader: str
    name: Flow
    loras: tuple[Lora, ...] = ()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Encoder:
    """CLIP: what reads prompts. `is_apart`: it was loaded from files of its own."""

    loader: str
    is_apart: bool = False
    loras: tuple[Lora, ...] = ()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """VAE: from pictures to latents and back. `file` is its own, where it was loaded from one."""

    loader: str
    file: str | None = None
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Words:
    """CONDITIONING: a prompt, read by an encoder. `is_zeroed`: its meaning was taken out."""

    text: Flow
    encoder: Encoder
    is_zeroed: bool = False
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Latent:
    """LATENT: empty, of a size; or a picture's, maybe with a mask of what is painted anew. `is_sampled`: a model made
    `image` of it, so that decoding it does nothing any more."""

    width: Flow | None = None
    height: Flow | None = None
    num_images: Flow | None = None
    image: Flow | None = None
    mask: Flow | None = None
    is_sampled: bool = False
    vae: Autoencoder | None = None
    sources: frozenset[str] = frozenset()


Part = Weights | Encoder | Autoencoder | Words | Latent
Value = Flow | Part
PART_TYPES: dict[str, type[Part]] = {
    "MODEL": Weights,
    "CLIP": Encoder,
    "VAE": Autoencoder,
    "CONDITIONING": Words,
    "LATENT": Latent,
}
