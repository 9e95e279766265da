"""A LLaVA of about nine million random weights with as many picture tokens as LLaVA-1.5 has, made here from a seed.

Its proportions are those of real models: a vision tower of a tenth of the decoder's work per token, a head of a fifth. The rows
of the head for yes and no are larger than the others, so that verdicts spread over (0, 1) and a wrong one shows.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image as PilImage
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from bench.scenes import asked_pictures, corpus
from rlaifv.adapters.huggingface.quiet import quiet
from rlaifv.core.verdicts import question_prompt

SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<image>"]
PATCH = 14
_LIKELY = 8.0
"""Mean logit of yes and of no; those of the other tokens lie about 0, with a deviation near 1."""

_DECIDED = 3.0
"""Standard deviation of half the difference of the two logits over the claims about a picture."""
_PICTURES = 3
_TEMPLATE = (
    "<s>{% for message in messages %}{{ message['role'].upper() }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`grid` x `grid` picture tokens: 16 as a CLIP tower at 224 pixels, 24 as LLaVA-1.5's at 336."""

    grid: int = 16
    layers: int = 8
    width: int = 256
    vocabulary: int = 4096
    vision_layers: int = 4
    vision_width: int = 128

    @property
    def image_tokens(self) -> int:
        return self.grid**2


def make_checkpoint(folder: Path, size: Size, seed: int = 0) -> Path:
    """A model folder that transformers, vLLM and our services load; returns it."""
    tokenizer = _tokenizer()
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        processor = _processor(tokenizer, size)
        model = _model(tokenizer, size, seed)
        _spread_verdicts(model, processor, seed)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        chat_template=_TEMPLATE,
    )


def _processor(tokenizer: PreTrainedTokenizerFast, size: Size) -> LlavaProcessor:
    square = {"height": size.grid * PATCH, "width": size.grid * PATCH}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=square, crop_size=square),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE,
    )


def _model(tokenizer: PreTrainedTokenizerFast, size: Size, seed: int) -> LlavaForConditionalGeneration:
    vision = CLIPVisionConfig(
        hidden_size=size.vision_width,
        intermediate_size=4 * size.vision_width,
        num_hidden_layers=size.vision_layers,
        num_attention_heads=size.vision_width // 64,
        image_size=size.grid * PATCH,
        patch_size=PATCH,
        projection_dim=size.vision_width,
    )
    text = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=8 * size.width // 3 // 8 * 8,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // 64,
        num_key_value_heads=size.width // 64,
        max_position_embeddings=2048,
        initializer_range=0.08,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=size.image_tokens,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config).eval()


@torch.no_grad()
def _spread_verdicts(model: LlavaForConditionalGeneration, processor: LlavaProcessor, seed: int) -> None:
    """Turn the rows of " yes" and " no" so that random weights take sides: some claims hold, some do not, few are at chance."""
    states = []
    for asked in asked_pictures(_PICTURES, seed + 7_919, answers=1, claims=8):
        shown = PilImage.open(io.BytesIO(asked.image.data))
        for question in asked.questions:
            turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question_prompt(question)}]}
            text = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
            inputs = processor(images=[shown], text=text, return_tensors="pt", add_special_tokens=False)
            states.append(model.base_model(**inputs).last_hidden_state[0, -1])
    hidden = torch.stack(states).view(_PICTURES, -1, states[0].numel())
    of_picture = hidden.mean(1)
    common = torch.linalg.qr(of_picture.T).Q  # what tells pictures apart, and would decide all claims of one alike
    claims = (hidden - of_picture[:, None]).flatten(0, 1)
    claims = claims - claims @ common @ common.T
    _, spread, directions = torch.linalg.svd(claims)
    towards = directions[0] * (len(states) ** 0.5 / spread[0])
    mean = hidden.mean((0, 1))
    head = model.get_output_embeddings().weight
    for word, sign in ((" yes", 1.0), (" no", -1.0)):
        (token,) = processor.tokenizer(word, add_special_tokens=False).input_ids
        head[token] = _LIKELY * mean / (mean @ mean) + sign * _DECIDED * towards
