"""A sampler, with the checkpoint, the LoRAs, the prompts and the latent that lead to it, as one node of a model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serve.domain.images import MAX_STEPS
from serve.domain.task import Task
from serve.domain.workflow import DEFAULT_ITEMS, MAX_ITEMS, NodePrefix
from serve.workflow.comfyui.loading import Translator
from serve.workflow.comfyui.model_names import model_for, stem_of
from serve.workflow.comfyui.naming import adapter_name
from serve.workflow.comfyui.samplers import sampler_for
from serve.workflow.comfyui.translation import Call
from serve.workflow.comfyui.values import Autoencoder, Flow, Latent, Lora, NoEquivalent, Value, Weights, Words, written
from serve.workflow.values import MAX_EXACT, is_number

_NUM_SEEDS = MAX_EXACT
"""Ours are numbers that every JSON reader keeps exactly."""
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class _Sampling:
    """What both samplers say: how many steps, and what share of the way they go."""

    steps: Flow
    share: Flow
    seed_name: str


def _sample(call: Call) -> tuple[Value, ...]:
    share = call.flow("denoise", 1.0)
    latent = call.part("latent_image", Latent)
    steps = call.flow("steps", 20)
    if latent.image is not None:
        steps, share = _shared(call, steps, share)
    elif share.literal != 1:
        call.warn("a denoise below 1 of an empty latent has no equivalent: all of the way is gone")
        share = written(1.0, "FLOAT")
    return _folded(call, latent, _Sampling(steps, share, "seed"))


def _shared(call: Call, steps: Flow, share: Flow) -> tuple[Flow, Flow]:
    """ComfyUI runs `steps` over the last part of a longer way; here they are those of the whole way."""
    plain, part = steps.literal, share.literal
    if not (is_number(plain) and is_number(part)) or plain < 1 or not 0 < part <= 1:
        if part != 1:
            call.warn("steps are those of the whole way here, of which denoise is a part: fewer of them run")
        return steps, share
    whole = int(plain / part)
    if part == 1 or whole == plain:
        return steps, share
    if whole > MAX_STEPS:
        call.warn(f"{plain} steps of denoise {part:g} are the end of {whole}; at most {MAX_STEPS} are made here")
        return _instead(steps, MAX_STEPS), share
    exact = part if int(whole * part) == plain else math.ceil(plain / whole * 10_000) / 10_000
    return _instead(steps, whole), _instead(share, exact)


def _instead(flow: Flow, value: float) -> Flow:
    """Another value, of the same origin."""
    return replace(flow, written=value, literal=value)


def _sample_in_part(call: Call) -> tuple[Value, ...]:
    """The advanced sampler, where it runs to the end and begins with noise."""
    first, last = call.number("start_at_step", 0), call.number("end_at_step", 10_000)
    steps, latent = call.flow("steps", 20), call.part("latent_image", Latent)
    if call.text("add_noise", "enable") != "enable" or call.text("return_with_leftover_noise", "disable") != "disable":
        raise NoEquivalent("it begins or ends between two samplers; models here go all of the way")
    if not is_number(steps.literal):
        if first > 0 or last < 10_000:
            raise NoEquivalent("it runs a part of steps that are computed")
    elif last < steps.literal:
        raise NoEquivalent("it stops before the end; models here go all of the way")
    elif first >= steps.literal:
        raise NoEquivalent("it begins behind its last step")
    share = 1.0
    if first > 0:
        share = math.ceil((steps.literal - first) / steps.literal * 10_000) / 10_000
        if latent.image is None:
            raise NoEquivalent("it begins in the middle of an empty latent")
    return _folded(call, latent, _Sampling(steps, written(share, "FLOAT"), "noise_seed"))


def _folded(call: Call, latent: Latent, sampling: _Sampling) -> tuple[Value, ...]:
    weights = call.part("model", Weights)
    positive, negative = call.part("positive", Words), call.part("negative", Words)
    _check_words(call, weights, positive, negative)
    task = Task.TEXT_TO_IMAGE if latent.image is None else Task.IMAGE_TO_IMAGE
    inputs = _words(positive, negative) | _settings(call, sampling) | _canvas(call, latent, sampling)
    node: dict[str, Any] = {}
    name = call.translation.add(call.node, node)
    node |= _typed(call, weights, task)
    node["inputs"] = node.pop("model", {}) | {port: call.translation.use(flow, name) for port, flow in inputs.items()}
    adapters = [_adapter(call, lora, weights, positive) for lora in weights.loras]
    node["inputs"] |= {"adapters": adapters} if adapters else {}
    made = _result(call, node, name, latent)
    for source in weights.sources | positive.sources | negative.sources | latent.sources | {call.node.id}:
        call.translation.credit(source, name)
    return (Latent(image=made, is_sampled=True, vae=_own_vae(weights), sources=frozenset({call.node.id})),)


def _own_vae(weights: Weights) -> Autoencoder:
    return Autoencoder(weights.loader)


def _check_words(call: Call, weights: Weights, positive: Words, negative: Words) -> None:
    """Whether the model's own text encoder does what the graph's does."""
    if positive.is_zeroed:
        raise NoEquivalent("its prompt has its meaning taken out")
    if negative.is_zeroed:
        call.warn("a zeroed negative prompt is an empty one here")
    for words in (positive, negative):
        if words.encoder.is_apart:
            call.warn("its text encoders are loaded from files of their own; here the model's own read the prompts")
        elif words.encoder.loader != weights.loader:
            raise NoEquivalent("its prompts are read by another checkpoint's text encoder")
    if negative.encoder.loras != positive.encoder.loras:
        call.warn("its two prompts are read with different LoRAs; here both are read with all of them")
    ours = {lora.node for lora in weights.loras}
    for lora in positive.encoder.loras:
        if lora.node not in ours:
            call.warn(f"the LoRA {_told(lora)} changes the text encoder alone, which is not done here: it is left out")


def _told(lora: Lora) -> str:
    return str(lora.name.literal if lora.name.is_known else lora.name.default)[:80]


def _settings(call: Call, sampling: _Sampling) -> dict[str, Flow]:
    choice = sampler_for(call.text("sampler_name", "euler"), call.text("scheduler", "normal"))
    if choice.differs:
        call.warn(choice.differs)
    return {
        "steps": sampling.steps,
        "guidance_scale": call.flow("cfg", 8.0),
        "sampler": written(choice.name, "COMBO"),
        "seed": _seed(call, sampling.seed_name),
    }


def _seed(call: Call, name: str) -> Flow:
    seed = call.flow(name, 0)
    value = seed.literal if seed.is_known else seed.default
    if call.node.has_moving_seed:
        call.warn(f"its seed was another one for each run; here it stays {value}: leave it out to have one drawn")
    if isinstance(value, int) and not isinstance(value, bool) and value >= _NUM_SEEDS:
        call.warn(f"the seed {value} is larger than seeds are here: it becomes {value % _NUM_SEEDS}")
        if seed.is_known:
            return _instead(seed, value % _NUM_SEEDS)
        call.translation.interface.set_default(seed, value % _NUM_SEEDS)
    return seed


def _words(positive: Words, negative: Words) -> dict[str, Flow]:
    has_negative = negative.text.literal != ""
    return {"prompt": positive.text} | ({"negative_prompt": negative.text} if has_negative else {})


def _canvas(call: Call, latent: Latent, sampling: _Sampling) -> dict[str, Flow]:
    """What the model begins with."""
    given: dict[str, Flow | None]
    if latent.image is None:
        given = {"width": latent.width, "height": latent.height}
    else:
        given = {"image": latent.image, "mask": latent.mask, "strength": sampling.share}
        if latent.is_sampled:
            call.warn("between the two samplers the picture is decoded and encoded again")
    count = latent.num_images
    if count is not None and count.literal != 1:
        given["num_images"] = count
        call.warn("image i of a batch is made from seed + i here, and from other noise than in ComfyUI")
    return {name: flow for name, flow in given.items() if flow is not None}


def _typed(call: Call, weights: Weights, task: Task) -> dict[str, Any]:
    """The type of the node: the model that the checkpoint is, or the one that callers choose."""
    interface, name = call.translation.interface, weights.name
    checkpoint = str(name.literal if name.is_known else name.default or "")
    choice = model_for(checkpoint, task, call.translation.models, call.translation.chosen) if checkpoint else None
    if choice is not None and choice.is_guess:
        call.warn(f"the checkpoint {checkpoint[:80]} is taken for the served model {choice.name}")
    if name.is_known or not (isinstance(name.written, Mapping) and "$input" in name.written):
        if choice is not None and choice.name is None:
            call.warn(f"the checkpoint {checkpoint[:80]}: {choice.reason}")
        served = choice.name if choice is not None else None
        return {"type": f"{NodePrefix.MODEL}:{served or _plain_name(checkpoint)}", "task": task}
    if choice is not None and choice.name is not None:
        interface.set_default(name, choice.name)
    return {"type": f"{NodePrefix.TASK}:{task}", "model": {"model": name.written}}


def _plain_name(checkpoint: str) -> str:
    """What the type of a node can hold of a checkpoint's name: what is missing has to be told with its own name."""
    return " ".join(checkpoint.split())[:_LONGEST_NAME].strip() or "unnamed"


def _adapter(call: Call, lora: Lora, weights: Weights, positive: Words) -> Any:
    """A LoRA as our adapters are named and scaled."""
    others = [one.strength for one in positive.encoder.loras if one.node == lora.node]
    strength = others[0] if others else None
    if lora.is_for_model_alone or strength is None:
        call.warn(f"the LoRA {_told(lora)} changes the model alone there; here also the text encoder, if it can")
    elif strength.written != lora.strength.written:
        told = f"the LoRA {_told(lora)} has strength {_shown(strength)} for the text encoder"
        call.warn(f"{told}; here {_shown(lora.strength)}, that for the model, is for both")
    scale = lora.strength.literal if lora.strength.is_known else lora.strength.written
    return _named(call, lora, scale)


def _named(call: Call, lora: Lora, scale: Any) -> Any:
    file = _told(lora)
    name = (
        call.translation.chosen.get(file) or call.translation.chosen.get(stem_of(file)) or adapter_name(stem_of(file))
    )
    if lora.name.is_known:
        if file not in call.translation.chosen and stem_of(file) not in call.translation.chosen:
            call.warn(f"the LoRA {file} is the adapter {name} here: upload it under this name, or choose another")
        return {"name": name, "scale": scale}
    if isinstance(lora.name.written, Mapping) and "$input" in lora.name.written:
        call.warn("the LoRA is an input: with its name callers give its scale, too")
        default = {"name": name, "scale": scale} if is_number(scale) and lora.name.default else None
        if default is not None:
            call.translation.interface.set_default(lora.name, default)
        return lora.name.written
    raise NoEquivalent("the name of its LoRA is computed")


def _shown(flow: Flow) -> str:
    return str(flow.literal) if flow.is_known else "what is computed"


def _result(call: Call, node: dict[str, Any], name: str, latent: Latent) -> Flow:
    """The picture, or pictures, of the node; it runs over a list of pictures that it begins with."""
    mapped = [
        port for port, flow in (("image", latent.image), ("mask", latent.mask)) if flow is not None and flow.is_list
    ]
    counted = latent.num_images
    if mapped and counted is not None and counted.literal != 1:
        raise NoEquivalent("it makes several pictures of each of a list")
    if mapped:
        flows = [flow for flow in (latent.image, latent.mask) if flow is not None and flow.num_items]
        num_items = flows[0].num_items if flows else None
        node["map"] = mapped
        node["max_items"] = min(max(num_items or 0, DEFAULT_ITEMS), MAX_ITEMS)
        return Flow({"$ref": [name, "image"]}, "IMAGE", is_list=True, num_items=num_items)
    if counted is not None and counted.literal != 1:
        number = counted.literal if isinstance(counted.literal, int) else None
        return Flow({"$ref": [name, "images"]}, "IMAGE", is_list=True, num_items=number)
    return Flow({"$ref": [name, "image"]}, "IMAGE")


FOLDING: Mapping[str, Translator] = {"KSampler": _sample, "KSamplerAdvanced": _sample_in_part}
