"""What transformers says about the same answers: the plain forward of the model over its own processor's output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.images import decode
from rlaifv.core.candidates import Candidate, Prompt
from rlaifv.core.checkpoints import Checkpoint

PER_TOKEN = ("token_type_ids", "mm_token_type_ids")


def loaded(folder: Path) -> LoadedModel:
    """A model or an adapter in fp32."""
    return load_model(Checkpoint(uri=str(folder), digest=""))


def logprobs(model: LoadedModel, prompt: Prompt, ids: Sequence[int]) -> list[float]:
    """Log-probability of each token of an answer, in one forward over prompt and answer."""
    batch = dict(model.chat.process(decode(prompt.image.data), model.chat.render(prompt.text)))
    batch.pop("text_replacement_offsets", None)
    before, answer = batch["input_ids"], torch.tensor([list(ids)])
    batch["input_ids"] = torch.cat([before, answer], dim=1)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    for name in PER_TOKEN:
        if name in batch:
            batch[name] = torch.cat([batch[name], torch.zeros_like(answer)], dim=1)
    with torch.inference_mode():
        logits = model.model(**batch).logits[0, before.shape[1] - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, answer[0][:, None])[:, 0].tolist()


def largest_difference(model: LoadedModel, prompt: Prompt, candidates: Sequence[Candidate]) -> float:
    """Between the log-probabilities that came with answers and transformers'."""
    return max(
        abs(stated - found)
        for candidate in candidates
        for stated, found in zip(candidate.token_logprobs, logprobs(model, prompt, candidate.token_ids), strict=True)
    )
