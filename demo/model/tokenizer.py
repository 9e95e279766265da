"""The demo model's tokenizer: byte-level BPE, so that any text has tokens, with the world's words whole."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from demo.world.captions import PROMPTS, STYLES
from demo.world.questions import SUFFIX
from demo.world.vocabulary import COLOURS, KINDS, NUMBER_WORDS, POSITION_PHRASES

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<image>", "<user>", "<assistant>")
VERDICT_WORDS = ("Yes", "No", "yes", "no", "YES", "NO")
"""A labeler reads its verdict off one token, so each of these is one, with and without a space before it."""
_MAX_VOCABULARY = 1000
_ORDINALS = "first second third fourth"
_PHRASES = (
    "Yes No yes no YES NO Is Are There The A An I Two Three It This",
    "there is are a an the can see picture image photo shows background also of with and has not it",
    "Can you see Does the picture show Please answer yes or no Yes or no? in the picture.",
    "upper lower center centre side corner, . ? ! : ;",
)


def words() -> list[str]:
    """Texts whose every word gets a token of its own."""
    nouns = [form for kind in KINDS for form in (kind.name, kind.plural)]
    openings = [text for style in STYLES.values() for text in (*style.openings, *style.plural_openings)]
    named = [*nouns, *COLOURS, *NUMBER_WORDS.values(), *POSITION_PHRASES.values(), _ORDINALS]
    texts = [*(f" {text}" for text in named), *PROMPTS, SUFFIX, *openings, *_PHRASES]
    return [*texts, *(f" {text}" for text in texts), *VERDICT_WORDS]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Trained in memory on the world's words; the same every time."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_MAX_VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(words(), trainer)
    # What every question ends with is one token: it halves the length of a question, in training and in labeling.
    backend.add_tokens([AddedToken(SUFFIX, lstrip=True, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        additional_special_tokens=["<user>", "<assistant>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def word_id(tokenizer: PreTrainedTokenizerFast, word: str) -> int:
    """The one token of ` word`, as it stands within a sentence; ValueError if it is not one token."""
    ids = tokenizer.encode(f" {word}", add_special_tokens=False)
    if len(ids) != 1:
        raise ValueError(f"word = {word!r}: has {len(ids)} tokens; add it to the tokenizer's words")
    return int(ids[0])
