"""The node classes of ComfyUI that are known here: their inputs in order, and their outputs.

Signatures are written `name:TYPE`, with `?` after the name of an input that may be missing. What is typed in
(INT, FLOAT, STRING, BOOLEAN, COMBO) is a widget: the save format has the values of widgets in this order, without their
names, and behind one that reads `INT*` another that says how it changes after each run.
Source: the `INPUT_TYPES` and `RETURN_TYPES` that ComfyUI answers at `/object_info`, and those of comfy-pack and
ComfyUI-Deploy.
"""

import re
from dataclasses import dataclass
from functools import cache

WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
CONTROLS = frozenset({"fixed", "increment", "decrement", "randomize"})
"""What may stand behind a seed."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input. `is_controlled`: a value behind it says how it changes after a run."""

    name: str
    type: str
    is_optional: bool = False
    is_controlled: bool = False

    @property
    def is_widget(self) -> bool:
        """Whether people type it in."""
        return self.type in WIDGETS


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A class. `title` is what ComfyUI calls its nodes, `main` the widget that a title mark is about (none: all), and
    `is_output` says that graphs are run for its sake."""

    title: str
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    main: str | None = None
    is_output: bool = False

    @property
    def widgets(self) -> tuple[Port, ...]:
        """The inputs that people type in, in the order of the save format."""
        return tuple(port for port in self.inputs if port.is_widget)

    def port(self, name: str) -> Port | None:
        """The input of this name."""
        return next((port for port in self.inputs if port.name == name), None)


_PORT = re.compile(r"(\w+)(\??):(\w+)(\*?)")


@cache
def _parsed(signature: str) -> tuple[Port, ...]:
    found = (_PORT.fullmatch(word) for word in signature.split())
    return tuple(Port(one[1], one[3], bool(one[2]), bool(one[4])) for one in found if one is not None)


def _of(title: str, inputs: str, outputs: str = "", main: str | None = None, is_output: bool = False) -> NodeClass:
    return NodeClass(title, _parsed(inputs), tuple(outputs.split()), main, is_output)


_SCALED = "upscale_method:COMBO width:INT height:INT crop:COMBO"
_EXTERNAL = "display_name?:STRING description?:STRING"
_NUMBER = "input_id:STRING default_value?:FLOAT"
_RANGE = "min_value?:FLOAT max_value?:FLOAT"

_SAMPLING = {
    "KSampler": _of(
        "KSampler",
        "model:MODEL seed:INT* steps:INT cfg:FLOAT sampler_name:COMBO scheduler:COMBO positive:CONDITIONING "
        "negative:CONDITIONING latent_image:LATENT denoise:FLOAT",
        "LATENT",
        "seed",
    ),
    "KSamplerAdvanced": _of(
        "KSampler (Advanced)",
        "model:MODEL add_noise:COMBO noise_seed:INT* steps:INT cfg:FLOAT sampler_name:COMBO scheduler:COMBO "
        "positive:CONDITIONING negative:CONDITIONING latent_image:LATENT start_at_step:INT end_at_step:INT "
        "return_with_leftover_noise:COMBO",
        "LATENT",
        "noise_seed",
    ),
}
_LOADERS = {
    "CheckpointLoaderSimple": _of("Load Checkpoint", "ckpt_name:COMBO", "MODEL CLIP VAE", "ckpt_name"),
    "CheckpointLoader": _of(
        "Load Checkpoint With Config (DEPRECATED)", "config_name:COMBO ckpt_name:COMBO", "MODEL CLIP VAE", "ckpt_name"
    ),
    "UNETLoader": _of("Load Diffusion Model", "unet_name:COMBO weight_dtype:COMBO", "MODEL", "unet_name"),
    "CLIPLoader": _of("Load CLIP", "clip_name:COMBO type:COMBO device?:COMBO", "CLIP"),
    "DualCLIPLoader": _of("DualCLIPLoader", "clip_name1:COMBO clip_name2:COMBO type:COMBO device?:COMBO", "CLIP"),
    "VAELoader": _of("Load VAE", "vae_name:COMBO", "VAE"),
    "LoraLoader": _of(
        "Load LoRA",
        "model:MODEL clip:CLIP lora_name:COMBO strength_model:FLOAT strength_clip:FLOAT",
        "MODEL CLIP",
        "strength_model",
    ),
    "LoraLoaderModelOnly": _of(
        "LoraLoaderModelOnly", "model:MODEL lora_name:COMBO strength_model:FLOAT", "MODEL", "strength_model"
    ),
    "CLIPSetLastLayer": _of("CLIP Set Last Layer", "clip:CLIP stop_at_clip_layer:INT", "CLIP"),
    "UpscaleModelLoader": _of("Load Upscale Model", "model_name:COMBO", "UPSCALE_MODEL"),
    "ControlNetLoader": _of("Load ControlNet Model", "control_net_name:COMBO", "CONTROL_NET"),
}
_CONDITIONING = {
    "CLIPTextEncode": _of("CLIP Text Encode (Prompt)", "text:STRING clip:CLIP", "CONDITIONING", "text"),
    "CLIPTextEncodeSDXL": _of(
        "CLIPTextEncodeSDXL",
        "clip:CLIP width:INT height:INT crop_w:INT crop_h:INT target_width:INT target_height:INT text_g:STRING "
        "text_l:STRING",
        "CONDITIONING",
    ),
    "ConditioningZeroOut": _of("ConditioningZeroOut", "conditioning:CONDITIONING", "CONDITIONING"),
    "ConditioningCombine": _of(
        "Conditioning (Combine)", "conditioning_1:CONDITIONING conditioning_2:CONDITIONING", "CONDITIONING"
    ),
    "ConditioningConcat": _of(
        "Conditioning (Concat)", "conditioning_to:CONDITIONING conditioning_from:CONDITIONING", "CONDITIONING"
    ),
    "ConditioningAverage": _of(
        "ConditioningAverage",
        "conditioning_to:CONDITIONING conditioning_from:CONDITIONING conditioning_to_strength:FLOAT",
        "CONDITIONING",
    ),
    "ConditioningSetArea": _of(
        "Conditioning (Set Area)",
        "conditioning:CONDITIONING width:INT height:INT x:INT y:INT strength:FLOAT",
        "CONDITIONING",
    ),
    "ConditioningSetMask": _of(
        "Conditioning (Set Mask)",
        "conditioning:CONDITIONING mask:MASK strength:FLOAT set_cond_area:COMBO",
        "CONDITIONING",
    ),
    "ConditioningSetTimestepRange": _of(
        "ConditioningSetTimestepRange", "conditioning:CONDITIONING start:FLOAT end:FLOAT", "CONDITIONING"
    ),
    "ControlNetApply": _of(
        "Apply ControlNet (OLD)",
        "conditioning:CONDITIONING control_net:CONTROL_NET image:IMAGE strength:FLOAT",
        "CONDITIONING",
    ),
    "ControlNetApplyAdvanced": _of(
        "Apply ControlNet",
        "positive:CONDITIONING negative:CONDITIONING control_net:CONTROL_NET image:IMAGE strength:FLOAT "
        "start_percent:FLOAT end_percent:FLOAT vae?:VAE",
        "CONDITIONING CONDITIONING",
    ),
    "InpaintModelConditioning": _of(
        "InpaintModelConditioning",
        "positive:CONDITIONING negative:CONDITIONING vae:VAE pixels:IMAGE mask:MASK noise_mask:BOOLEAN",
        "CONDITIONING CONDITIONING LATENT",
    ),
}
_LATENTS = {
    "EmptyLatentImage": _of("Empty Latent Image", "width:INT height:INT batch_size:INT", "LATENT"),
    "EmptySD3LatentImage": _of("EmptySD3LatentImage", "width:INT height:INT batch_size:INT", "LATENT"),
    "VAEDecode": _of("VAE Decode", "samples:LATENT vae:VAE", "IMAGE"),
    "VAEDecodeTiled": _of(
        "VAE Decode (Tiled)",
        "samples:LATENT vae:VAE tile_size:INT overlap?:INT temporal_size?:INT temporal_overlap?:INT",
        "IMAGE",
    ),
    "VAEEncode": _of("VAE Encode", "pixels:IMAGE vae:VAE", "LATENT"),
    "VAEEncodeForInpaint": _of(
        "VAE Encode (for Inpainting)", "pixels:IMAGE vae:VAE mask:MASK grow_mask_by:INT", "LATENT"
    ),
    "SetLatentNoiseMask": _of("Set Latent Noise Mask", "samples:LATENT mask:MASK", "LATENT"),
    "RepeatLatentBatch": _of("Repeat Latent Batch", "samples:LATENT amount:INT", "LATENT"),
    "LatentUpscale": _of("Upscale Latent", f"samples:LATENT {_SCALED}", "LATENT"),
    "LatentUpscaleBy": _of("Upscale Latent By", "samples:LATENT upscale_method:COMBO scale_by:FLOAT", "LATENT"),
    "LatentComposite": _of(
        "Latent Composite", "samples_to:LATENT samples_from:LATENT x:INT y:INT feather:INT", "LATENT"
    ),
    "LatentFromBatch": _of("Latent From Batch", "samples:LATENT batch_index:INT length:INT", "LATENT"),
}
_PICTURES = {
    "LoadImage": _of("Load Image", "image:COMBO", "IMAGE MASK", "image"),
    "LoadImageMask": _of("Load Image (as Mask)", "image:COMBO channel:COMBO", "MASK", "image"),
    "SaveImage": _of("Save Image", "images:IMAGE filename_prefix:STRING", is_output=True),
    "PreviewImage": _of("Preview Image", "images:IMAGE", is_output=True),
    "ImageScale": _of("Upscale Image", f"image:IMAGE {_SCALED}", "IMAGE"),
    "ImageScaleBy": _of("Upscale Image By", "image:IMAGE upscale_method:COMBO scale_by:FLOAT", "IMAGE", "scale_by"),
    "ImageScaleToTotalPixels": _of(
        "Scale Image to Total Pixels",
        "image:IMAGE upscale_method:COMBO megapixels:FLOAT resolution_steps?:INT",
        "IMAGE",
        "megapixels",
    ),
    "ImageCrop": _of("Image Crop", "image:IMAGE width:INT height:INT x:INT y:INT", "IMAGE"),
    "ImageInvert": _of("Invert Image", "image:IMAGE", "IMAGE"),
    "ImageBlur": _of("Image Blur", "image:IMAGE blur_radius:INT sigma:FLOAT", "IMAGE"),
    "ImageCompositeMasked": _of(
        "ImageCompositeMasked",
        "destination:IMAGE source:IMAGE x:INT y:INT resize_source:BOOLEAN mask?:MASK",
        "IMAGE",
    ),
    "ImageBatch": _of("Batch Images", "image1:IMAGE image2:IMAGE", "IMAGE"),
    "ImageFromBatch": _of("ImageFromBatch", "image:IMAGE batch_index:INT length:INT", "IMAGE"),
    "RepeatImageBatch": _of("RepeatImageBatch", "image:IMAGE amount:INT", "IMAGE"),
    "ImagePadForOutpaint": _of(
        "Pad Image for Outpainting",
        "image:IMAGE left:INT top:INT right:INT bottom:INT feathering:INT",
        "IMAGE MASK",
    ),
    "ImageFlip": _of("ImageFlip", "image:IMAGE flip_method:COMBO", "IMAGE"),
    "ImageRotate": _of("ImageRotate", "image:IMAGE rotation:COMBO", "IMAGE"),
    "EmptyImage": _of("EmptyImage", "width:INT height:INT batch_size:INT color:INT", "IMAGE"),
    "GetImageSize": _of("Get Image Size", "image:IMAGE", "INT INT INT"),
    "ImageUpscaleWithModel": _of("Upscale Image (using Model)", "upscale_model:UPSCALE_MODEL image:IMAGE", "IMAGE"),
}
_MASKS = {
    "MaskToImage": _of("Convert Mask to Image", "mask:MASK", "IMAGE"),
    "ImageToMask": _of("Convert Image to Mask", "image:IMAGE channel:COMBO", "MASK"),
    "InvertMask": _of("InvertMask", "mask:MASK", "MASK"),
    "GrowMask": _of("GrowMask", "mask:MASK expand:INT tapered_corners:BOOLEAN", "MASK", "expand"),
    "FeatherMask": _of("FeatherMask", "mask:MASK left:INT top:INT right:INT bottom:INT", "MASK"),
    "SolidMask": _of("SolidMask", "value:FLOAT width:INT height:INT", "MASK"),
    "MaskComposite": _of("MaskComposite", "destination:MASK source:MASK x:INT y:INT operation:COMBO", "MASK"),
    "MaskPreview": _of("Preview Mask", "mask:MASK", is_output=True),
}
_VALUES = {
    "PrimitiveString": _of("String", "value:STRING", "STRING", "value"),
    "PrimitiveStringMultiline": _of("String (Multiline)", "value:STRING", "STRING", "value"),
    "PrimitiveInt": _of("Int", "value:INT*", "INT", "value"),
    "PrimitiveFloat": _of("Float", "value:FLOAT", "FLOAT", "value"),
    "PrimitiveBoolean": _of("Boolean", "value:BOOLEAN", "BOOLEAN", "value"),
    "StringConcatenate": _of("Concatenate", "string_a:STRING string_b:STRING delimiter:STRING", "STRING"),
    "StringReplace": _of("Replace", "string:STRING find:STRING replace:STRING", "STRING"),
    "StringLength": _of("Length", "string:STRING", "INT"),
    "CaseConverter": _of("Case Converter", "string:STRING mode:COMBO", "STRING"),
}
_MARKED = {
    "CPackInputImage": _of("Image Input", "image:COMBO", "IMAGE MASK"),
    "CPackInputString": _of("String Input", "value:STRING", "STRING"),
    "CPackInputInt": _of("Int Input", "value:INT* min?:INT max?:INT", "INT"),
    "CPackInputFile": _of("File Input", "path:STRING", "STRING"),
    "CPackInputAny": _of("Any Input", "input:STRING", "ANY"),
    "CPackOutputImage": _of("Image Output", "images:IMAGE filename_prefix:STRING", is_output=True),
    "CPackOutputFile": _of("File Output", "filename:STRING filename_prefix:STRING", is_output=True),
    "ComfyUIDeployExternalText": _of(
        "External Text (ComfyUI Deploy)", f"input_id:STRING default_value?:STRING {_EXTERNAL}", "STRING"
    ),
    "ComfyUIDeployExternalTextAny": _of(
        "External Text Any (ComfyUI Deploy)", f"input_id:STRING default_value?:STRING {_EXTERNAL}", "STRING"
    ),
    "ComfyUIDeployExternalNumber": _of("External Number (ComfyUI Deploy)", f"{_NUMBER} {_RANGE} {_EXTERNAL}", "FLOAT"),
    "ComfyUIDeployExternalNumberInt": _of(
        "External Number Int (ComfyUI Deploy)", f"input_id:STRING default_value?:INT {_EXTERNAL}", "INT"
    ),
    "ComfyUIDeployExternalNumberSlider": _of(
        "External Number Slider (ComfyUI Deploy)", f"{_NUMBER} {_RANGE} {_EXTERNAL}", "FLOAT"
    ),
    "ComfyUIDeployExternalNumberSliderInt": _of(
        "External Number Slider Int (ComfyUI Deploy)",
        f"input_id:STRING default_value?:INT min_value?:INT max_value?:INT {_EXTERNAL}",
        "INT",
    ),
    "ComfyUIDeployExternalBoolean": _of(
        "External Boolean (ComfyUI Deploy)", f"input_id:STRING default_value:BOOLEAN {_EXTERNAL}", "BOOLEAN"
    ),
    "ComfyUIDeployExternalSeed": _of(
        "External Seed (ComfyUI Deploy)",
        f"input_id:STRING default_value:INT min_value:INT max_value:INT {_EXTERNAL}",
        "INT",
    ),
    "ComfyUIDeployExternalEnum": _of(
        "External Enum (ComfyUI Deploy)",
        f"input_id:STRING default_value?:STRING options?:STRING {_EXTERNAL}",
        "STRING",
    ),
    "ComfyUIDeployExternalImage": _of(
        "External Image (ComfyUI Deploy)", f"input_id:STRING default_value?:IMAGE {_EXTERNAL}", "IMAGE"
    ),
    "ComfyUIDeployExternalImageAlpha": _of(
        "External Image Alpha (ComfyUI Deploy)", f"input_id:STRING default_value?:IMAGE {_EXTERNAL}", "IMAGE"
    ),
    "ComfyUIDeployExternalCheckpoint": _of(
        "External Checkpoint (ComfyUI Deploy)",
        f"input_id:STRING default_value?:COMBO default_checkpoint_name?:COMBO {_EXTERNAL}",
        "COMBO",
    ),
    "ComfyUIDeployExternalLora": _of(
        "External Lora (ComfyUI Deploy)",
        f"input_id:STRING default_lora_name?:COMBO lora_save_name?:STRING {_EXTERNAL}",
        "COMBO",
    ),
    "ComfyDeployOutputImage": _of(
        "Image Output (ComfyDeploy)",
        "images:IMAGE filename_prefix:STRING file_type:COMBO quality:INT output_id?:STRING",
        is_output=True,
    ),
}
CLASSES: dict[str, NodeClass] = _SAMPLING | _LOADERS | _CONDITIONING | _LATENTS | _PICTURES | _MASKS | _VALUES | _MARKED
"""By the name that graphs write. Some of them have no equivalent here: their signatures are known all the same."""


def output_type(class_type: str, slot: int) -> str:
    """The type of an output; `ANY` where the class or the output is unknown."""
    known = CLASSES.get(class_type)
    return known.outputs[slot] if known is not None and slot < len(known.outputs) else "ANY"


def output_name(class_type: str, slot: int) -> str:
    """How an inert node's output is named in references: by its type, where there is one of it alone."""
    known = CLASSES.get(class_type)
    if known is None or slot >= len(known.outputs):
        return f"output_{slot}"
    word = known.outputs[slot].lower()
    return word if known.outputs.count(known.outputs[slot]) == 1 else f"{word}_{slot}"


def is_default_title(class_type: str, title: str) -> bool:
    """Whether a title says no more than the class."""
    known = CLASSES.get(class_type)
    return title.strip() in ("", class_type, known.title if known else "")
