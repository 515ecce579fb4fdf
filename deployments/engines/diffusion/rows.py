"""What goes into a forward pass of the UNet."""

from dataclasses import dataclass

from torch import Tensor

Bound = tuple[int, bool, int, int]
"""How adapters are bound to the layers: rank, whether all rows have the same, depth of the layers, and number of the
buffer. Passes of the same Bound read the same memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """R rows. Pooled embeddings and time ids are SDXL's."""

    sample: Tensor
    """[R, C, h, w]"""
    timesteps: Tensor
    """[R]"""
    context: Tensor
    """[R, L, D]"""
    pooled: Tensor | None = None
    """[R, P]"""
    time_ids: Tensor | None = None
    """[R, 6]"""
    bound: Bound | None = None
    """None when no row has an adapter that the layers apply."""
    is_merged: bool = False
    """Whether the UNet has changed weights in the place of its own: what was recorded reads its own."""

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """What two sets of rows have in common that a recorded pass can serve both."""
        return tuple(self.sample.shape), tuple(self.context.shape)

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """All of them, in the order in which they are declared."""
        return self.sample, self.timesteps, self.context, self.pooled, self.time_ids

    def clone(self) -> "Rows":
        """The same in memory of its own."""
        pooled = None if self.pooled is None else self.pooled.clone()
        time_ids = None if self.time_ids is None else self.time_ids.clone()
        return Rows(
            self.sample.clone(),
            self.timesteps.clone(),
            self.context.clone(),
            pooled,
            time_ids,
            self.bound,
            self.is_merged,
        )

    def copy_(self, others: "Rows") -> None:
        """Overwrite all with what `others`, of the same shape, hold."""
        for mine, theirs in zip(self.tensors, others.tensors, strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs)
