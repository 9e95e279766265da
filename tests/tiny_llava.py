"""A LLaVA of a few thousand random weights, built in process: a real model folder for tests, without a download.

The tokenizer is a byte-level BPE trained here on a handful of sentences, so that "yes" and "no" are single tokens in several
spellings; the chat template puts the image before the text; the image processor needs no torchvision.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from PIL import Image as PilImage
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<image>", "<|user|>", "<|assistant|>"]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

CORPUS = [
    "yes Yes YES no No NO yes. no. Yes, it is. No, it is not.",
    "There is a red car on the left of the picture. There are two dogs and a cup.",
    "Is there a red car in the picture? Answer with yes or no.",
    "Are there two dogs? Is the cup blue? Is the cat on the table? Answer with yes or no.",
    "Describe the picture. What do you see in this image? The picture shows a green apple and a blue bus.",
] * 4


def tiny_tokenizer(vocab_size: int = 400) -> PreTrainedTokenizerFast:
    """A byte-level BPE over `CORPUS`: any text encodes, nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={
            "image_token": "<image>",
            "user_token": "<|user|>",
            "assistant_token": "<|assistant|>",
        },
        chat_template=CHAT_TEMPLATE,
    )


def tiny_processor(image_size: int = 28, patch_size: int = 14) -> LlavaProcessor:
    """The processor that goes with `tiny_model`."""
    images = CLIPImageProcessorPil(
        size={"height": image_size, "width": image_size},
        crop_size={"height": image_size, "width": image_size},
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tiny_tokenizer(),
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def tiny_model(
    processor: LlavaProcessor,
    *,
    seed: int = 0,
    hidden: int = 32,
    layers: int = 2,
    image_size: int = 28,
    patch_size: int = 14,
    max_positions: int = 256,
) -> LlavaForConditionalGeneration:
    """Random weights, wide enough that different prompts give clearly different answers."""
    heads = max(2, hidden // 32)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=hidden,
            intermediate_size=hidden * 2,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=image_size,
            patch_size=patch_size,
            projection_dim=hidden,
        ),
        text_config=LlamaConfig(
            vocab_size=len(processor.tokenizer),
            hidden_size=hidden,
            intermediate_size=hidden * 3,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=max_positions,
            initializer_range=0.25,
            bos_token_id=processor.tokenizer.bos_token_id,
            eos_token_id=processor.tokenizer.eos_token_id,
            pad_token_id=processor.tokenizer.pad_token_id,
            tie_word_embeddings=False,
        ),
        image_token_id=processor.tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(image_size // patch_size) ** 2,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config).eval()


def save_tiny_llava(folder: Path, *, seed: int = 0, hidden: int = 32, layers: int = 2, image_size: int = 28) -> Path:
    """A model folder as `save_pretrained` writes it; returns the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processor = tiny_processor(image_size)
        model = tiny_model(processor, seed=seed, hidden=hidden, layers=layers, image_size=image_size)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def picture(colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (40, 30), fmt: str = "PNG") -> bytes:
    """An encoded picture with a gradient, so that pictures of different colours differ in every patch."""
    image = PilImage.linear_gradient("L").resize(size).convert("RGB")
    image = PilImage.blend(image, PilImage.new("RGB", size, colour), 0.6)
    buffer = io.BytesIO()
    image.save(buffer, format=fmt)
    return buffer.getvalue()
