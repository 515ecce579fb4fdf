"""A language model of random weights, small enough to be made, loaded and asked in a second."""

from pathlib import Path
from typing import Any

import torch

VOCABULARY = 258
"""Bytes, a beginning and an end."""
CHAT_TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: "


def write_language_model(folder: Path, seed: int = 0, width: int = 128) -> Any:
    """A Llama of two layers in float32, with a tokenizer of bytes; it says ASCII alone, and never that it is done."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=256,
        eos_token_id=257,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[~_printable()] = 0
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return model


def _printable() -> torch.Tensor:
    """Which ids are of printable ASCII."""
    vocabulary = _tokenizer().get_vocab()
    ids = [vocabulary[chr(code)] for code in range(33, 127)]
    mask = torch.zeros(VOCABULARY, dtype=torch.bool)
    mask[ids] = True
    return mask


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)} | {"<s>": 256, "</s>": 257}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    made.chat_template = CHAT_TEMPLATE
    return made
