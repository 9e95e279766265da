"""LLaVA-1.5 and LLaVA-NeXT: a CLIP tower, two linear layers, a Llama (Vicuna) or a Mistral."""

from __future__ import annotations

from pathlib import Path

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    MistralConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.llava_next.image_processing_llava_next import LlavaNextImageProcessor

from tests.families.tokenizers import sentence_piece
from tests.families.weights import randomise, save

_SIDE, _PATCH = 28, 14
_TILES = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]

VICUNA_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] if content['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] if content['type'] == 'text' %}"
    "{% if message['role'] != 'assistant' %}{{ content['text'] + ' ' }}"
    "{% else %}{{ content['text'] + ' ' + eos_token }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

MISTRAL_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}[INST] "
    "{% for content in message['content'] if content['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] if content['type'] == 'text' %}{{ content['text'] }}{% endfor %}"
    " [/INST]"
    "{% else %}{% for content in message['content'] if content['type'] == 'text' %}"
    "{{ ' ' + content['text'] + eos_token }}{% endfor %}{% endif %}{% endfor %}"
)


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    return sentence_piece(
        ["<unk>", "<s>", "</s>", "<image>", "<pad>"],
        unknown="<unk>",
        first="<s>",
        spaced=True,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=template,
    )


def _tower(layers: int = 3) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=1,
        image_size=_SIDE,
        patch_size=_PATCH,
        projection_dim=32,
    )


def save_llava(folder: Path, seed: int = 0) -> Path:
    """llava-1.5-7b-hf in small: 4 tokens a picture, the picture cut to a square in its middle."""
    tokenizer = _tokenizer(VICUNA_TEMPLATE)
    images = CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE})
    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA_TEMPLATE,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=_tower(),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(_SIDE // _PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    model = randomise(LlavaForConditionalGeneration(config), seed)
    return save(folder, model, processor, tokenizer.eos_token_id)


def save_llava_next(folder: Path, seed: int = 0) -> Path:
    """llava-v1.6-mistral-7b-hf in small: the picture as a whole and in up to four tiles, a newline token after each row."""
    tokenizer = _tokenizer(MISTRAL_TEMPLATE)
    images = LlavaNextImageProcessor(
        size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}, image_grid_pinpoints=_TILES
    )
    processor = LlavaNextProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=MISTRAL_TEMPLATE,
    )
    text = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=1024,
        sliding_window=None,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaNextConfig(
        vision_config=_tower(),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=_TILES,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    model = randomise(LlavaNextForConditionalGeneration(config), seed)
    return save(folder, model, processor, tokenizer.eos_token_id)
