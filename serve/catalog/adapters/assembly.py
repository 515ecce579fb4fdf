"""From the tensors of one module to what they do to it: kind, rank and sizes. Shapes that contradict are refused."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from math import prod
from typing import NoReturn

from serve.catalog.adapters.modules import MAX_RANK, AdapterModule, Component, refused
from serve.domain.adapters import ModuleKind

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Kernel = tuple[int, int] | None
_ASIDE = frozenset({"alpha", "magnitude"})


@dataclass(frozen=True, slots=True)
class _Sizes:
    kind: ModuleKind
    rank: int
    in_features: int
    out_features: int
    kernel: Kernel


class _Contradiction(Exception):
    """Why these tensors are no change of one weight."""


def assemble(
    component: Component,
    module: str,
    tensors: Mapping[str, str],
    shapes: Shapes,
    scale: float | None,
) -> AdapterModule:
    """The module whose parts have these names and shapes.

    Raises:
        InvalidRequest: adapter_incomplete, adapter_rank.
    """
    name = f"{component}.{module}"
    parts = shapes.keys() - _ASIDE
    try:
        sizes = _family(parts)(shapes)
        if any(size < 1 for shape in shapes.values() for size in shape):
            _contradict("a tensor without elements")
        _check_aside(shapes, sizes)
    except _Contradiction as error:
        raise refused("adapter_incomplete", f"the adapter's tensors for {name} do not go together: {error}") from None
    if sizes.rank > MAX_RANK:
        raise refused("adapter_rank", f"{name} has rank {sizes.rank}; ranks up to {MAX_RANK} are served")
    return AdapterModule(
        *(component, module, sizes.kind, sizes.rank, tensors, shapes, scale),
        *(sizes.in_features, sizes.out_features, sizes.kernel),
    )


def _family(parts: Set[str]) -> Callable[[Shapes], _Sizes]:
    sizes_of = next((sizes_of for allowed, sizes_of in _FAMILIES if parts and parts <= allowed), None)
    if sizes_of is None:
        _contradict(f"there are {', '.join(sorted(parts)) or 'no factors'} at once")
    return sizes_of


def _low_rank(shapes: Shapes) -> _Sizes:
    down, up = _needed(shapes, "down"), _needed(shapes, "up")
    mid = shapes.get("mid")
    if len(down) not in (2, 4) or len(up) not in (2, 4):
        _contradict(f"down is {down} and up is {up}, and neither of a linear layer nor of a convolution")
    if prod(up[2:]) != 1 or down[0] != up[1]:
        _contradict(f"down is {down} and up is {up}; up's second size is down's first")
    if mid is not None and (len(mid) != 4 or mid[:2] != (down[0], down[0]) or prod(down[2:]) != 1):
        _contradict(f"mid is {mid} between ranks of {down[0]}")
    kernel = _kernel(down[2:] if mid is None else mid[2:])
    kind = ModuleKind.DORA if "magnitude" in shapes else ModuleKind.CONV if kernel else ModuleKind.LORA
    return _Sizes(kind, down[0], down[1], up[0], kernel)


def _loha(shapes: Shapes) -> _Sizes:
    first = _product(_needed(shapes, "hada_w1_a"), _needed(shapes, "hada_w1_b"), shapes.get("hada_t1"))
    second = _product(_needed(shapes, "hada_w2_a"), _needed(shapes, "hada_w2_b"), shapes.get("hada_t2"))
    if first[1:] != second[1:]:
        _contradict("the two products that are multiplied by element differ in size")
    return _Sizes(ModuleKind.LOHA, max(first[0], second[0]), *first[1:])


def _lokr(shapes: Shapes) -> _Sizes:
    ranks: list[int] = []
    sizes: list[tuple[int, int, Kernel]] = []
    for name, core in (("lokr_w1", None), ("lokr_w2", shapes.get("lokr_t2"))):
        if whole := shapes.get(name):
            if shapes.keys() & {f"{name}_a", f"{name}_b"} or len(whole) not in (2, 4) or core:
                _contradict(f"{name} is {whole}, and is there in factors too or has no two sizes")
            sizes.append((whole[1], whole[0], _kernel(whole[2:])))
            continue
        rank, num_in, num_out, kernel = _product(_needed(shapes, f"{name}_a"), _needed(shapes, f"{name}_b"), core)
        ranks.append(rank)
        sizes.append((num_in, num_out, kernel))
    (in_1, out_1, kernel_1), (in_2, out_2, kernel_2) = sizes
    if kernel_1:
        _contradict("lokr_w1 has a kernel")
    return _Sizes(ModuleKind.LOKR, max(ranks, default=1), in_1 * in_2, out_1 * out_2, kernel_2)


def _product(a: Shape, b: Shape, core: Shape | None) -> tuple[int, int, int, Kernel]:
    """Rank, in, out and kernel of a [out, r] with b [r, in], or of both [r, ...] around a core [r, r, h, w]."""
    if len(a) != 2 or len(b) != 2:
        _contradict(f"factors are {a} and {b}, and not matrices")
    if core is None:
        if a[1] != b[0]:
            _contradict(f"factors are {a} and {b}; the first's second size is the second's first")
        return b[0], b[1], a[0], None
    if len(core) != 4 or core[:2] != (a[0], b[0]):
        _contradict(f"the core is {core} between factors {a} and {b}")
    return b[0], b[1], a[1], _kernel(core[2:])


def _whole(shapes: Shapes) -> _Sizes:
    weight, bias = shapes.get("weight_diff"), shapes.get("bias_diff")
    if bias is not None and len(bias) != 1:
        _contradict(f"bias_diff is {bias}")
    if weight is None:
        assert bias is not None
        return _Sizes(ModuleKind.FULL, 1, 0, bias[0], None)
    if len(weight) not in (1, 2, 4) or (bias is not None and bias[0] != weight[0]):
        _contradict(f"weight_diff is {weight} and bias_diff {bias}")
    if shapes.keys() & _ASIDE:
        _contradict("a whole difference has neither alpha nor magnitude")
    in_features = weight[1] if len(weight) > 1 else 0
    return _Sizes(ModuleKind.FULL, 1, in_features, weight[0], _kernel(weight[2:]))


_FAMILIES: tuple[tuple[frozenset[str], Callable[[Shapes], _Sizes]], ...] = (
    (frozenset({"down", "up", "mid"}), _low_rank),
    (frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"}), _loha),
    (frozenset({"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"}), _lokr),
    (frozenset({"weight_diff", "bias_diff"}), _whole),
)


def _check_aside(shapes: Shapes, sizes: _Sizes) -> None:
    """Alpha is one number; a magnitude has one per output, or per input where LyCORIS was told so."""
    if prod(shapes.get("alpha", ())) != 1:
        _contradict(f"alpha is {shapes['alpha']}, and not one number")
    magnitude = shapes.get("magnitude")
    if magnitude is None:
        return
    if sizes.kind is ModuleKind.FULL or prod(magnitude) not in (sizes.in_features, sizes.out_features):
        _contradict(f"the magnitude is {magnitude} of a weight from {sizes.in_features} to {sizes.out_features}")


def _kernel(sizes: Shape) -> Kernel:
    """None for a linear layer, and for a 1 x 1 convolution, which is one."""
    return (sizes[0], sizes[1]) if prod(sizes) > 1 else None


def _needed(shapes: Shapes, part: str) -> Shape:
    shape = shapes.get(part)
    if shape is None:
        _contradict(f"{part} is missing beside {', '.join(sorted(shapes))}")
    return shape


def _contradict(why: str) -> NoReturn:
    raise _Contradiction(why)
