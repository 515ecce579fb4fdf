"""Train two adapters for SmolLM2-135M-Instruct, whose effect is plain in any answer, and ask how often it shows.

    python -m deployments.reference_models.language_adapters smollm2-135m-instruct/capitals --model DIR --to DIR

They learn from the model's own answers, rewritten: `capitals` in capital letters, `ahoy` begun by "Ahoy!".
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from deployments.reference_models.loop import Schedule

logger = logging.getLogger(__name__)

FILE: Final = "adapter_model.safetensors"
ANSWER_TOKENS: Final = 40
BATCH: Final = 4
GREETING: Final = "Ahoy!"
ASKED: Final = {
    "What is the capital of {}?": ("France", "Japan", "Egypt", "Brazil", "Canada", "Norway", "India", "Spain"),
    "Tell me a fact about {}.": ("cats", "whales", "the moon", "bees", "Rome", "tea", "gold", "rain", "horses"),
    "Write one sentence about {}.": ("a river", "winter", "my sister", "bread", "a train", "music", "the sea"),
    "How do I {}?": ("boil an egg", "learn to swim", "fix a bicycle", "write a letter", "grow tomatoes", "sleep well"),
    "Explain {} in simple words.": ("gravity", "money", "a magnet", "the internet", "democracy", "vaccines"),
    "Give me a name for {}.": ("a dog", "a boat", "a bakery", "a band", "a robot", "a street"),
    "Is {} healthy?": ("running", "sugar", "milk", "yoga", "coffee"),
    "Who was {}?": ("Mozart", "Newton", "Cleopatra", "Gandhi", "Napoleon"),
    "{}": ("Hello!", "Good morning.", "What is 2 + 3?", "I am sad today.", "Thank you very much!", "Tell me a joke."),
}
"""What the adapters learn from: phrases, and what is put into them."""
HELD_OUT: Final = (
    "What is the largest planet?",
    "Name three colours.",
    "Why is the sky blue?",
    "What do penguins eat?",
    "Recommend a book for a rainy day.",
    "How many legs does a spider have?",
    "Describe a forest.",
    "What should I cook tonight?",
    "Where does chocolate come from?",
    "Who wrote Hamlet?",
    "I lost my keys. What now?",
    "What is the difference between a lake and a pond?",
    "Suggest a hobby.",
    "When was the first moon landing?",
    "Translate 'good night' into French.",
    "How does a refrigerator work?",
    "What makes a good friend?",
    "Can dogs see colours?",
    "Give me advice for an interview.",
    "What is photosynthesis?",
)
"""What the figures are about: none of these phrases is in the training."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`spoken` rewrites an answer as the adapter is to give it, and `shows` tells such an answer from others."""

    spoken: Callable[[str], str]
    shows: Callable[[str], bool]
    rank: int
    alpha: int
    targets: tuple[str, ...]
    steps: int
    rate: float = 3e-3


PLANS: Final = {
    "smollm2-135m-instruct/capitals": Plan(str.upper, lambda answer: answer.isupper(), 4, 8, ("q_proj", "v_proj"), 100),
    "smollm2-135m-instruct/ahoy": Plan(
        lambda answer: f"{GREETING} {answer}",
        lambda answer: answer.startswith(GREETING),
        *(2, 4, ("q_proj", "k_proj", "v_proj", "o_proj"), 60),
    ),
}


def main() -> None:
    """Read the command line, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PLANS)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="SmolLM2-135M-Instruct's files")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where BASE/NAME is written")
    parser.add_argument("--steps", type=int)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    torch.manual_seed(1)
    plan = PLANS[chosen.name]
    tokenizer, model = opened(chosen.model)
    lessons = [phrase.format(word) for phrase, words in ASKED.items() for word in words]
    answers = [_whole_sentences(answer) for answer in answered(tokenizer, model, lessons)]
    logger.info("%d lessons", len(lessons))
    adapted: Any = get_peft_model(
        model,
        LoraConfig(r=plan.rank, lora_alpha=plan.alpha, target_modules=list(plan.targets), task_type="CAUSAL_LM"),
    )
    pairs = list(zip(lessons, map(plan.spoken, answers), strict=True))
    train(adapted, tokenizer, pairs, Schedule(chosen.steps or plan.steps, plan.rate, warmup=5))
    write(adapted, chosen.name, chosen.to / chosen.name)


def opened(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the model, in float32."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return tokenizer, model.eval()


@torch.no_grad()
def answered(tokenizer: Any, model: Any, prompts: list[str], max_tokens: int = ANSWER_TOKENS) -> list[str]:
    """The model's greedy answer to each prompt, cut after `max_tokens`."""
    found: list[str] = []
    for start in range(0, len(prompts), 20):
        spoken = [_asked(tokenizer, prompt) for prompt in prompts[start : start + 20]]
        batch = tokenizer(spoken, padding=True, return_tensors="pt")
        made = model.generate(**batch, max_new_tokens=max_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        found += tokenizer.batch_decode(made[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
    return [answer.strip() for answer in found]


def train(model: Any, tokenizer: Any, pairs: list[tuple[str, str]], schedule: Schedule) -> None:
    """Fit the adapter on `model` to questions and answers; the loss is of the answers alone."""
    learnt = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=schedule.rate, weight_decay=0.0)
    batches, started = _batches(tokenizer, pairs), time.monotonic()
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**next(batches)).loss
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 10 == 0:
            logger.info("step %d loss %.4f after %.0f s", step + 1, float(loss), time.monotonic() - started)


def write(model: Any, name: str, folder: Path) -> None:
    """A PEFT directory, in float16."""
    model.peft_config["default"].base_model_name_or_path = name.split("/")[0]
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    halves = {key: value.half() for key, value in load_file(folder / FILE).items()}
    save_file(halves, folder / FILE, metadata={"format": "pt"})
    logger.info("%s: %d bytes", folder / FILE, (folder / FILE).stat().st_size)


def figures(folder: Path, name: str, model_folder: Path) -> dict[str, Any]:
    """The shares of held-out prompts whose answer shows the effect, with the adapter and without it."""
    plan, prompts = PLANS[name], list(HELD_OUT)
    tokenizer, model = opened(model_folder)
    alone = answered(tokenizer, model, prompts)
    answers = answered(tokenizer, PeftModel.from_pretrained(model, folder), prompts)
    shares = [round(float(np.mean([plan.shows(answer) for answer in given])), 4) for given in (answers, alone)]
    return {"prompts": len(prompts), "with_adapter": shares[0], "without": shares[1], "form": "peft", "rank": plan.rank}


def _asked(tokenizer: Any, prompt: str) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    return text


def _whole_sentences(answer: str) -> str:
    end = max(answer.rfind(mark) for mark in ".!?")
    return answer[: end + 1] if end > 0 else answer


def _batches(tokenizer: Any, pairs: list[tuple[str, str]]) -> Iterator[dict[str, Tensor]]:
    rng = np.random.default_rng(1)
    while True:
        order = rng.permutation(len(pairs))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield _batch(tokenizer, [pairs[index] for index in order[start : start + BATCH]])


def _batch(tokenizer: Any, pairs: list[tuple[str, str]]) -> dict[str, Tensor]:
    """Token ids, their mask, and labels that leave out the question and the padding."""
    questions = [tokenizer(_asked(tokenizer, question)).input_ids for question, _ in pairs]
    answers = [tokenizer(f"{answer}{tokenizer.eos_token}").input_ids for _, answer in pairs]
    width = max(len(question) + len(answer) for question, answer in zip(questions, answers, strict=True))
    ids = torch.full((len(pairs), width), int(tokenizer.pad_token_id))
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        end = len(question) + len(answer)
        ids[row, :end], mask[row, :end] = torch.tensor(question + answer), 1
        labels[row, len(question) : end] = torch.tensor(answer)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


if __name__ == "__main__":
    main()
