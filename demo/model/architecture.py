"""Sizes of the demo model, and its parts put together from a tokenizer."""

from __future__ import annotations

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

INPUT_SIZE = 96
PATCH_SIZE = 16
GRID = INPUT_SIZE // PATCH_SIZE
IMAGE_TOKENS = GRID * GRID
WIDTH = 192
VISION_LAYERS = 5
TEXT_LAYERS = 5
HEADS = 6
PIXEL_MEAN = PIXEL_STD = 0.5
MAX_NEW_TOKENS = 96

CHAT_TEMPLATE = (
    "<s>{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<assistant>{% else %}<user>{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The model's own pre-processing: the whole picture squeezed to a square, the image before the text."""
    square = {"height": INPUT_SIZE, "width": INPUT_SIZE}
    image_processor = CLIPImageProcessorPil(
        do_resize=True,
        size=square,
        resample=3,
        do_center_crop=False,
        crop_size=square,
        do_rescale=True,
        do_normalize=True,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
        do_convert_rgb=True,
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlavaForConditionalGeneration:
    """A freshly initialised model in fp32; the language model's embeddings are also its output weights."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=HEADS,
        image_size=INPUT_SIZE,
        patch_size=PATCH_SIZE,
        projection_dim=WIDTH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    _look_for_the_same(model)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
    )
    return model


@torch.no_grad()
def _look_for_the_same(model: LlavaForConditionalGeneration) -> None:
    """Start every attention with equal queries and keys: a word looks at what resembles it, the object it names.

    From independent ones, yes/no answers stay at chance for most of a short training.
    """
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.05)
    for layer in model.model.language_model.layers:
        torch.nn.init.normal_(layer.self_attn.k_proj.weight, std=0.06)
        layer.self_attn.q_proj.weight.copy_(layer.self_attn.k_proj.weight)
