"""An adapter's files read by their headers: PEFT directories, diffusers' and kohya's single files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from serve.catalog.adapters import keys_diffusers, keys_kohya, keys_peft
from serve.catalog.adapters.architectures import architecture_of
from serve.catalog.adapters.assembly import assemble
from serve.catalog.adapters.modules import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterContents,
    AdapterModule,
    Component,
    TensorName,
    refused,
)
from serve.catalog.adapters.origins import trained_on, trigger_words
from serve.catalog.adapters.peft_config import PeftConfig, metadata_configs, read_config
from serve.catalog.safetensors import Header, read_header
from serve.domain.adapters import AdapterArchitecture, AdapterFacts, AdapterFormat

_FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
_ALPHAS = _FLOATS | {"I32", "I64"}
_MAX_KEY_LENGTH = 256
_MAX_TENSORS = 50_000
"""Every module of SDXL's three networks, adapted in the largest number of parts, makes a third of it."""
_PARSERS = {
    AdapterFormat.PEFT: keys_peft.parse,
    AdapterFormat.DIFFUSERS: keys_diffusers.parse,
    AdapterFormat.KOHYA: keys_kohya.parse,
}


@dataclass(slots=True)
class _Group:
    """The tensors of one module, as they are found."""

    component: Component
    module: str
    written: str
    tensors: dict[str, str] = field(default_factory=dict)


def read_adapter(folder: Path, base: AdapterArchitecture | None = None) -> AdapterContents:
    """What is in `folder`, which holds `adapter_model.safetensors` and, for PEFT, `adapter_config.json`.

    `base` is what the caller says it was made for; it decides only where nothing in the file does.

    Raises:
        InvalidRequest: adapter_unrecognised, adapter_incomplete, adapter_rank, adapter_dtype, adapter_config_invalid,
            adapter_unsupported, or a code of `check_safetensors`.
    """
    return contents_of(read_header(folder / WEIGHTS_FILE, WEIGHTS_FILE), read_config(folder), base)


def contents_of(header: Header, config: PeftConfig | None, base: AdapterArchitecture | None = None) -> AdapterContents:
    """The same, of a header and a configuration that were read already. Raises what `read_adapter` does."""
    form = _format(header.tensors, config)
    configs = {} if form is AdapterFormat.PEFT else metadata_configs(header.metadata)
    groups = _groups(header, form)
    modules = tuple(_module(group, header, config or configs.get(group.component)) for group in groups)
    told = trained_on(header.metadata, config.base_model if config else "")
    return AdapterContents(_facts(form, modules, header.metadata, told, base), modules, header.metadata)


def _format(keys: Iterable[str], config: PeftConfig | None) -> AdapterFormat:
    if config is not None:
        return AdapterFormat.PEFT
    if any(key.startswith(tuple(keys_kohya.PREFIXES)) for key in keys):
        return AdapterFormat.KOHYA
    return AdapterFormat.DIFFUSERS


def _groups(header: Header, form: AdapterFormat) -> list[_Group]:
    if not 0 < len(header.tensors) <= _MAX_TENSORS:
        why = f"{WEIGHTS_FILE} has {len(header.tensors)} tensors; adapters have 1 to {_MAX_TENSORS}"
        raise refused("adapter_unrecognised", why)
    groups: dict[str, _Group] = {}
    for key, tensor in header.tensors.items():
        name = _named(key, form)
        allowed = _ALPHAS if name.part == "alpha" else _FLOATS
        if tensor.dtype not in allowed:
            raise refused(
                "adapter_dtype", f"{key[:120]!r} is {tensor.dtype}; adapters are {', '.join(sorted(_FLOATS))}"
            )
        group = groups.setdefault(f"{name.component}.{name.module}", _Group(name.component, name.module, name.written))
        if name.part in group.tensors:
            raise refused(
                "adapter_incomplete", f"{key[:120]!r} and {group.tensors[name.part][:120]!r} are the same part"
            )
        group.tensors[name.part] = key
    return list(groups.values())


def _named(key: str, form: AdapterFormat) -> TensorName:
    name = _PARSERS[form](key) if len(key) <= _MAX_KEY_LENGTH else None
    if name is not None:
        return name
    if form is not AdapterFormat.PEFT and key.startswith(keys_peft.PREFIX):
        why = f"{key[:120]!r} is named as PEFT does, whose {CONFIG_FILE} belongs beside it and is missing"
        raise refused("adapter_incomplete", why)
    raise refused(
        "adapter_unrecognised",
        f"{key[:120]!r} is not a name that PEFT, diffusers, kohya's scripts or LyCORIS give a part of an adapter for "
        "Stable Diffusion 1.5, XL or a language model",
    )


def _module(group: _Group, header: Header, config: PeftConfig | None) -> AdapterModule:
    shapes = {part: header.tensors[key].shape for part, key in group.tensors.items()}
    has_factors = shapes.keys() - {"alpha", "weight_diff", "bias_diff"}
    scale = config.scale_of(group.written) if config is not None and has_factors else None
    module = assemble(group.component, group.module, group.tensors, shapes, scale)
    if config is not None and "down" in shapes and module.rank != config.rank_of(group.written):
        raise refused(
            "adapter_incomplete",
            f"{module.name} has rank {module.rank}, and its configuration says {config.rank_of(group.written)}",
        )
    return module


def _facts(
    form: AdapterFormat,
    modules: tuple[AdapterModule, ...],
    metadata: Mapping[str, str],
    told: str | None,
    base: AdapterArchitecture | None,
) -> AdapterFacts:
    components = dict.fromkeys(module.component for module in modules)
    return AdapterFacts(
        format=form,
        architecture=architecture_of(modules, metadata, base),
        kinds=tuple(sorted({module.kind for module in modules})),
        components=tuple(sorted(components)),
        rank=max(module.rank for module in modules),
        num_modules=len(modules),
        num_parameters=sum(
            prod(shape) for module in modules for part, shape in module.shapes.items() if part != "alpha"
        ),
        trained_on=told,
        trigger_words=trigger_words(metadata),
    )
