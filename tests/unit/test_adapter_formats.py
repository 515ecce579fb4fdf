"""How each format names its tensors, and what is made of them."""

import pytest

from serve.catalog.adapters import keys_diffusers, keys_kohya, keys_peft
from serve.catalog.adapters.assembly import assemble
from serve.catalog.adapters.modules import AdapterModule
from serve.domain.adapters import ModuleKind
from serve.domain.errors import InvalidRequest

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
FLAT = BLOCK.replace(".", "_")
LAYER = "text_model.encoder.layers.3"

DIFFUSERS = {
    f"unet.{BLOCK}.attn1.to_q.lora_A.weight": ("unet", f"{BLOCK}.attn1.to_q", "down"),
    f"unet.{BLOCK}.attn1.to_out.0.lora_B.weight": ("unet", f"{BLOCK}.attn1.to_out.0", "up"),
    f"unet.{BLOCK}.attn1.to_q.lora_magnitude_vector": ("unet", f"{BLOCK}.attn1.to_q", "magnitude"),
    f"unet.{BLOCK}.attn2.to_k.lora.down.weight": ("unet", f"{BLOCK}.attn2.to_k", "down"),
    f"unet.{BLOCK}.attn2.processor.to_out_lora.up.weight": ("unet", f"{BLOCK}.attn2.to_out.0", "up"),
    f"{BLOCK}.attn2.processor.to_q_lora.down.weight": ("unet", f"{BLOCK}.attn2.to_q", "down"),
    "unet.mid_block.resnets.0.conv1.lora_A.weight": ("unet", "mid_block.resnets.0.conv1", "down"),
    "unet.conv_in.alpha": ("unet", "conv_in", "alpha"),
    "unet.add_embedding.linear_1.lora_A.weight": ("unet", "add_embedding.linear_1", "down"),
    f"text_encoder.{LAYER}.self_attn.q_proj.lora_A.weight": ("text_encoder", f"{LAYER}.self_attn.q_proj", "down"),
    "text_encoder.encoder.layers.3.mlp.fc1.lora_B.weight": ("text_encoder", f"{LAYER}.mlp.fc1", "up"),
    f"text_encoder.{LAYER}.self_attn.to_out_lora.up.weight": ("text_encoder", f"{LAYER}.self_attn.out_proj", "up"),
    f"text_encoder_2.{LAYER}.self_attn.q_proj.lora_linear_layer.down.weight": (
        "text_encoder_2",
        f"{LAYER}.self_attn.q_proj",
        "down",
    ),
    "text_encoder_2.text_projection.lora_A.weight": ("text_encoder_2", "text_projection", "down"),
    "unet.something.lora_A.weight": None,
    f"unet.{BLOCK}.attn1.to_q.weight": None,
    "transformer.blocks.0.attn.to_q.lora_A.weight": None,
    "model.layers.0.self_attn.q_proj.lora_A.weight": None,
    "unet.lora_A.weight": None,
    "lora_A.weight": None,
}
PEFT = {
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": (
        "language_model",
        "model.layers.0.self_attn.q_proj",
        "down",
    ),
    "base_model.model.lm_head.lora_B.weight": ("language_model", "lm_head", "up"),
    f"base_model.model.{BLOCK}.attn1.to_q.lora_A.default.weight": ("unet", f"{BLOCK}.attn1.to_q", "down"),
    f"base_model.model.unet.{BLOCK}.attn1.to_q.lora_A.weight": ("unet", f"{BLOCK}.attn1.to_q", "down"),
    f"base_model.model.{BLOCK}.ff.net.2.lokr_w2_a": ("unet", f"{BLOCK}.ff.net.2", "lokr_w2_a"),
    "base_model.model.text_model.encoder.layers.3.self_attn.q_proj.hada_w1_a": (
        "text_encoder",
        f"{LAYER}.self_attn.q_proj",
        "hada_w1_a",
    ),
    "base_model.model.model.embed_tokens.lora_embedding_A": None,
    "base_model.model.score.weight": None,
    "base_model.model.model layers.lora_A.weight": None,
    f"lora_unet_{FLAT}_attn1_to_q.lora_down.weight": None,
}
KOHYA = {
    f"lora_unet_{FLAT}_attn1_to_q.lora_down.weight": ("unet", f"{BLOCK}.attn1.to_q", "down"),
    f"lora_unet_{FLAT}_attn1_to_out_0.alpha": ("unet", f"{BLOCK}.attn1.to_out.0", "alpha"),
    f"lora_unet_{FLAT}_ff_net_0_proj.lora_up.weight": ("unet", f"{BLOCK}.ff.net.0.proj", "up"),
    "lora_unet_down_blocks_0_downsamplers_0_conv.lora_mid.weight": ("unet", "down_blocks.0.downsamplers.0.conv", "mid"),
    "lora_unet_mid_block_resnets_1_time_emb_proj.dora_scale": (
        "unet",
        "mid_block.resnets.1.time_emb_proj",
        "magnitude",
    ),
    "lora_unet_time_embedding_linear_2.diff": ("unet", "time_embedding.linear_2", "weight_diff"),
    "lora_unet_mid_block_attentions_0_norm.w_norm": ("unet", "mid_block.attentions.0.norm", "weight_diff"),
    "lora_unet_mid_block_attentions_0_norm.b_norm": ("unet", "mid_block.attentions.0.norm", "bias_diff"),
    "lora_te_text_model_encoder_layers_3_self_attn_out_proj.lora_up.weight": (
        "text_encoder",
        f"{LAYER}.self_attn.out_proj",
        "up",
    ),
    "lora_te1_text_model_encoder_layers_3_mlp_fc2.hada_w2_b": ("text_encoder", f"{LAYER}.mlp.fc2", "hada_w2_b"),
    "lora_te2_text_projection.lora_down.weight": ("text_encoder_2", "text_projection", "down"),
    "lora_te2_text_model_encoder_layers_3_layer_norm1.diff_b": ("text_encoder_2", f"{LAYER}.layer_norm1", "bias_diff"),
    # The original code's blocks.
    "lora_unet_input_blocks_0_0.lora_down.weight": ("unet", "conv_in", "down"),
    "lora_unet_input_blocks_3_0_op.lora_down.weight": ("unet", "down_blocks.0.downsamplers.0.conv", "down"),
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lokr_w1": ("unet", f"{BLOCK}.attn1.to_q", "lokr_w1"),
    "lora_unet_input_blocks_5_0_in_layers_2.lora_down.weight": ("unet", "down_blocks.1.resnets.1.conv1", "down"),
    "lora_unet_input_blocks_4_0_skip_connection.alpha": ("unet", "down_blocks.1.resnets.0.conv_shortcut", "alpha"),
    "lora_unet_middle_block_1_proj_in.alpha": ("unet", "mid_block.attentions.0.proj_in", "alpha"),
    "lora_unet_middle_block_2_emb_layers_1.alpha": ("unet", "mid_block.resnets.1.time_emb_proj", "alpha"),
    "lora_unet_output_blocks_2_2_conv.alpha": ("unet", "up_blocks.0.upsamplers.0.conv", "alpha"),
    "lora_unet_output_blocks_8_0_out_layers_3.alpha": ("unet", "up_blocks.2.resnets.2.conv2", "alpha"),
    "lora_unet_time_embed_2.alpha": ("unet", "time_embedding.linear_2", "alpha"),
    "lora_unet_label_emb_0_0.alpha": ("unet", "add_embedding.linear_1", "alpha"),
    "lora_unet_out_2.alpha": ("unet", "conv_out", "alpha"),
    # What is neither.
    "lora_unet_input_blocks_0_1.alpha": None,
    "lora_unet_middle_block_7_proj_in.alpha": None,
    "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": None,
    "lora_unet_.alpha": None,
    "lora_te3_encoder_block_0.alpha": None,
    "bundle_emb.token.string_to_param": None,
}
CASES = [
    *((keys_diffusers.parse, key, expected) for key, expected in DIFFUSERS.items()),
    *((keys_peft.parse, key, expected) for key, expected in PEFT.items()),
    *((keys_kohya.parse, key, expected) for key, expected in KOHYA.items()),
]


@pytest.mark.parametrize(("parse", "key", "expected"), CASES, ids=[key for _, key, _ in CASES])
def test_a_key_says_which_part_of_which_module_it_is(parse, key: str, expected: tuple[str, str, str] | None) -> None:
    found = parse(key)
    assert (found and (found.component, found.module, found.part)) == expected


def made(**shapes: tuple[int, ...]) -> AdapterModule:
    return assemble("unet", "conv_in", {part: part for part in shapes}, shapes, None)


KINDS = {
    "linear": ({"down": (4, 64), "up": (32, 4)}, ModuleKind.LORA, 4, 64, 32, None),
    "a 1 x 1 convolution": ({"down": (4, 64, 1, 1), "up": (32, 4, 1, 1)}, ModuleKind.LORA, 4, 64, 32, None),
    "a convolution": ({"down": (4, 64, 3, 3), "up": (32, 4, 1, 1)}, ModuleKind.CONV, 4, 64, 32, (3, 3)),
    "a convolution in three": (
        {"down": (4, 64, 1, 1), "mid": (4, 4, 3, 3), "up": (32, 4, 1, 1)},
        *(ModuleKind.CONV, 4, 64, 32, (3, 3)),
    ),
    "dora": ({"down": (4, 64), "up": (32, 4), "magnitude": (32,)}, ModuleKind.DORA, 4, 64, 32, None),
    "dora of LyCORIS": (
        {"down": (4, 64), "up": (32, 4), "magnitude": (1, 64), "alpha": ()},
        *(ModuleKind.DORA, 4, 64, 32, None),
    ),
    "loha": (
        {"hada_w1_a": (32, 4), "hada_w1_b": (4, 64), "hada_w2_a": (32, 4), "hada_w2_b": (4, 64)},
        *(ModuleKind.LOHA, 4, 64, 32, None),
    ),
    "loha with a core": (
        {
            **{"hada_w1_a": (4, 32), "hada_w1_b": (4, 64), "hada_t1": (4, 4, 3, 3)},
            **{"hada_w2_a": (4, 32), "hada_w2_b": (4, 64), "hada_t2": (4, 4, 3, 3)},
        },
        *(ModuleKind.LOHA, 4, 64, 32, (3, 3)),
    ),
    "lokr": (
        {"lokr_w1": (4, 8), "lokr_w2_a": (8, 2), "lokr_w2_b": (2, 8)},
        *(ModuleKind.LOKR, 2, 64, 32, None),
    ),
    "lokr, whole": ({"lokr_w1": (4, 8), "lokr_w2": (8, 8, 3, 3)}, ModuleKind.LOKR, 1, 64, 32, (3, 3)),
    "lokr with a core": (
        {"lokr_w1_a": (4, 2), "lokr_w1_b": (2, 8), "lokr_t2": (2, 2, 3, 3), "lokr_w2_a": (2, 8), "lokr_w2_b": (2, 8)},
        *(ModuleKind.LOKR, 2, 64, 32, (3, 3)),
    ),
    "a norm": ({"weight_diff": (32,), "bias_diff": (32,)}, ModuleKind.FULL, 1, 0, 32, None),
    "a bias": ({"bias_diff": (32,)}, ModuleKind.FULL, 1, 0, 32, None),
    "a whole weight": ({"weight_diff": (32, 64, 3, 3)}, ModuleKind.FULL, 1, 64, 32, (3, 3)),
}


@pytest.mark.parametrize(("shapes", "kind", "rank", "reads", "gives", "kernel"), KINDS.values(), ids=KINDS)
def test_shapes_tell_the_kind_and_the_sizes(shapes, kind, rank, reads, gives, kernel) -> None:
    module = made(**shapes)
    assert (module.kind, module.rank, module.in_features, module.out_features, module.kernel) == (
        *(kind, rank, reads, gives, kernel),
    )


CONTRADICTIONS = {
    "down without up": ({"down": (4, 64)}, "up is missing"),
    "up without down": ({"up": (4, 64), "alpha": ()}, "down is missing"),
    "two ranks": ({"down": (4, 64), "up": (32, 8)}, "up's second size"),
    "a vector": ({"down": (64,), "up": (32, 4)}, "neither of a linear layer"),
    "a kernel in up": ({"down": (4, 64, 1, 1), "up": (32, 4, 3, 3)}, "up's second size"),
    "two kernels": ({"down": (4, 64, 3, 3), "mid": (4, 4, 3, 3), "up": (32, 4, 1, 1)}, "mid is"),
    "alpha alone": ({"alpha": ()}, "no factors"),
    "several alphas": ({"down": (4, 64), "up": (32, 4), "alpha": (2,)}, "not one number"),
    "a magnitude of nothing": ({"down": (4, 64), "up": (32, 4), "magnitude": (7,)}, "the magnitude"),
    "two kinds at once": ({"down": (4, 64), "up": (32, 4), "bias_diff": (32,)}, "at once"),
    "half of loha": ({"hada_w1_a": (32, 4), "hada_w1_b": (4, 64)}, "hada_w2_a is missing"),
    "uneven loha": (
        {"hada_w1_a": (32, 4), "hada_w1_b": (4, 64), "hada_w2_a": (32, 4), "hada_w2_b": (4, 63)},
        "differ in size",
    ),
    "lokr twice": ({"lokr_w1": (4, 8), "lokr_w1_a": (4, 2), "lokr_w2": (8, 8)}, "in factors too"),
    "lokr without its second": ({"lokr_w1": (4, 8)}, "lokr_w2_a is missing"),
    "a core that does not fit": (
        {"lokr_w1": (4, 8), "lokr_t2": (3, 2, 3, 3), "lokr_w2_a": (2, 8), "lokr_w2_b": (2, 8)},
        "the core is",
    ),
    "a bias of another size": ({"weight_diff": (32, 64), "bias_diff": (31,)}, "bias_diff"),
    "no elements": ({"down": (0, 64), "up": (32, 0)}, "without elements"),
}


@pytest.mark.parametrize(("shapes", "why"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_tensors_that_do_not_go_together_are_refused(shapes: dict[str, tuple[int, ...]], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as caught:
        made(**shapes)
    assert caught.value.code == "adapter_incomplete"
    assert "unet.conv_in" in caught.value.message
