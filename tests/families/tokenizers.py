"""Tokenizers trained in process on a handful of sentences, in the two forms that the hub's checkpoints have."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.tiny_llava import CORPUS

_ROLES = ["USER: What is it? ASSISTANT: It is a cat.", "User: What is it? Assistant: It is a dog. user model system"]
_WORDS = [*CORPUS, *_ROLES * 4, "(yes) (Yes) (no) (No)\n\nyes\nno\n" * 4, "yes\n\n\n\nno\n\n\n" * 8]
_BYTES = [f"<0x{value:02X}>" for value in range(256)]


def byte_level(special: Sequence[str], **names: object) -> PreTrainedTokenizerFast:
    """As GPT-2's, Llama 3's and Qwen's: text becomes bytes, words keep the space before them. `names` go to transformers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_WORDS, trainer)
    return _fast(tokenizer, special, names)


def sentence_piece(
    special: Sequence[str], *, unknown: str, first: str, spaced: bool, **names: object
) -> PreTrainedTokenizerFast:
    """As Llama's and Gemma's: spaces become ▁, rare characters bytes, and `first` begins every text.

    `spaced`: a ▁ is put before the text, and taken away again in decoding (Llama, not Gemma).
    """
    trained = Tokenizer(models.BPE(unk_token=unknown))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    alphabet = [*string.ascii_letters, *string.digits, *string.punctuation, "▁", "\n"]
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator([f" {line}" for line in _WORDS], trainer)
    learned = json.loads(trained.to_str())["model"]
    pieces = sorted(learned["vocab"], key=lambda piece: learned["vocab"][piece])
    vocabulary = {piece: number for number, piece in enumerate([*special, *_BYTES, *pieces])}
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    steps = [normalizers.Prepend("▁")] if spaced else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    ends = [decoders.Strip(" ", 1, 0)] if spaced else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *ends])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, vocabulary[first])]
    )
    return _fast(tokenizer, special, names)


def _fast(tokenizer: Tokenizer, special: Sequence[str], names: dict[str, object]) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names)
