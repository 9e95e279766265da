"""PaliGemma, which is refused: its processor rewrites the prompt and its attention over the prompt goes in both directions.

The hub's checkpoints have no chat template; this one has, so that the refusal is for the rest.
"""

from __future__ import annotations

from pathlib import Path

from transformers import (
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    SiglipVisionConfig,
)
from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

from tests.families.tokenizers import sentence_piece
from tests.families.weights import randomise, save

_SIDE, _PATCH = 28, 14
_TEMPLATE = (
    "{% for message in messages %}{% for item in message['content'] %}"
    "{% if item['type'] == 'image' %}<image>{% else %}{{ item['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def save_paligemma(folder: Path, seed: int = 0) -> Path:
    """paligemma-3b-mix-224 in small."""
    tokenizer = sentence_piece(
        ["<pad>", "<eos>", "<bos>", "<unk>", "<image>"],
        unknown="<unk>",
        first="<bos>",
        spaced=False,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=_TEMPLATE,
    )
    images = SiglipImageProcessor(size={"height": _SIDE, "width": _SIDE})
    images.image_seq_length = (_SIDE // _PATCH) ** 2
    processor = PaliGemmaProcessor(image_processor=images, tokenizer=tokenizer, chat_template=_TEMPLATE)
    text = GemmaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=1024,
    )
    tower = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=_SIDE,
        patch_size=_PATCH,
        vision_use_head=False,
        projection_dim=64,
    )
    config = PaliGemmaConfig(
        text_config=text,
        vision_config=tower,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=64,
        hidden_size=64,
    )
    model = randomise(PaliGemmaForConditionalGeneration(config), seed)
    return save(folder, model, processor, tokenizer.eos_token_id)
