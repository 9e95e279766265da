"""Idefics3 and SmolVLM: a picture as rows and columns of tiles, then as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMProcessor,
)
from transformers.models.idefics3.image_processing_idefics3 import Idefics3ImageProcessor
from transformers.models.smolvlm.image_processing_smolvlm import SmolVLMImageProcessor
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

from tests.families.tokenizers import byte_level
from tests.families.weights import randomise, save

_SIDE, _PATCH = 56, 14

SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<fake_token_around_image>",
    "<image>",
    "<end_of_utterance>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
]

TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}"
    "{% if line['type'] == 'text' %}{{ line['text'] }}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def save_idefics3(folder: Path, seed: int = 0) -> Path:
    """Idefics3-8B-Llama3 in small: up to 2 x 2 tiles and the whole, 4 tokens each."""
    tokenizer = byte_level(
        SPECIAL,
        bos_token="<|im_start|>",
        eos_token="<|endoftext|>",
        pad_token="<|im_end|>",
        chat_template=TEMPLATE,
    )
    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessor(
            size={"longest_edge": 2 * _SIDE}, max_image_size={"longest_edge": _SIDE}, do_image_splitting=True
        ),
        tokenizer=tokenizer,
        image_seq_len=(_SIDE // _PATCH // 2) ** 2,
        chat_template=TEMPLATE,
    )
    end = tokenizer.convert_tokens_to_ids("<end_of_utterance>")
    config = Idefics3Config(**_sizes(tokenizer))
    model = randomise(Idefics3ForConditionalGeneration(config), seed)
    return save(folder, model, processor, end)


def save_smolvlm(folder: Path, seed: int = 0) -> Path:
    """SmolVLM2-2.2B-Instruct in small; its processor wants the package num2words."""
    tokenizer = byte_level(
        SPECIAL,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        extra_special_tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        chat_template=TEMPLATE,
    )
    sizes = {"size": {"longest_edge": 2 * _SIDE}, "max_image_size": {"longest_edge": _SIDE}}
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(**sizes, do_image_splitting=True),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(**sizes, fps=1, num_frames=4),
        image_seq_len=(_SIDE // _PATCH // 2) ** 2,
        chat_template=TEMPLATE,
    )
    model = randomise(SmolVLMForConditionalGeneration(SmolVLMConfig(**_sizes(tokenizer))), seed)
    return save(folder, model, processor, tokenizer.eos_token_id)


def _sizes(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": _SIDE,
            "patch_size": _PATCH,
        },
        "text_config": {
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 1024,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        "pad_token_id": tokenizer.pad_token_id,
        "scale_factor": 2,
        "tie_word_embeddings": False,
    }
