"""Whether an adapter's modules are those of a base, by name and size."""

from collections.abc import Iterable
from math import prod

from serve.catalog.adapters.modules import AdapterModule
from serve.catalog.layouts import Layout
from serve.domain.adapters import ModuleKind

_AS_ONE_MATRIX = frozenset({ModuleKind.LOHA, ModuleKind.LOKR})


def misfit(modules: Iterable[AdapterModule], layout: Layout) -> str | None:
    """One sentence on the first module that does not fit, with found and expected; None where all do."""
    for module in modules:
        shape = _expected(module, layout)
        if shape is None:
            return f"it changes {module.name}, which this model does not have"
        if not _fits(module, shape):
            return f"it was made for a model whose {module.name} {_sizes(module)}, and this model's {_told(shape)}"
    return None


def _expected(module: AdapterModule, layout: Layout) -> tuple[int, ...] | None:
    """Some language models' checkpoints leave out the name of the model around the layers (`model.`)."""
    shape = layout.get(module.name)
    if shape is None and module.component == "language_model":
        return layout.get(f"language_model.{module.module.partition('.')[2]}")
    return shape


def _fits(module: AdapterModule, shape: tuple[int, ...]) -> bool:
    if module.out_features != shape[0]:
        return False
    if module.in_features == 0:
        return len(shape) == 1 or "weight_diff" not in module.shapes
    if len(shape) < 2:
        return False
    kernel = tuple(shape[2:])
    if module.kernel is None and prod(kernel) > 1:
        return module.kind in _AS_ONE_MATRIX and module.in_features == prod(shape[1:])
    return module.in_features == shape[1] and prod(module.kernel or (1,)) == prod(kernel) and _same(module, kernel)


def _same(module: AdapterModule, kernel: tuple[int, ...]) -> bool:
    return module.kernel is None or module.kernel == kernel


def _sizes(module: AdapterModule) -> str:
    if module.in_features == 0:
        return f"has {module.out_features} numbers"
    return _through(module.in_features, module.out_features, module.kernel)


def _told(shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return f"has {shape[0]} numbers"
    return _through(shape[1], shape[0], tuple(shape[2:]) if prod(shape[2:]) > 1 else None)


def _through(num_in: int, num_out: int, kernel: tuple[int, ...] | None) -> str:
    through = f" through a kernel of {' x '.join(map(str, kernel))}" if kernel else ""
    return f"reads {num_in} numbers and gives {num_out}{through}"
