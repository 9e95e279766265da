"""The labeler as Triton runs it: requests that came together are answered together, each picture read once.

Triton's queue puts the requests of many clients into one batch. Here those about one picture become one set of distinct
questions that branch from one prefix, so that a claim which ten answers make costs one row. A request that cannot be answered
fails alone, and a verdict has the bits that it would have alone (huggingface/attention.py says how).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rlaifv.adapters.huggingface.decoder import Decoder
from rlaifv.adapters.huggingface.loading import LoadedModel, load_model
from rlaifv.adapters.huggingface.questions import Answers, Asked, QuestionBranches
from rlaifv.adapters.huggingface.reading import ImageReader, SeenImage
from rlaifv.adapters.huggingface.vision import FeatureCache
from rlaifv.adapters.images import ImageSources, decode
from rlaifv.adapters.triton.settings import TritonSettings
from rlaifv.core.errors import BackendFailed, RlaifvError
from rlaifv.core.images import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureQuestions:
    """One request: an encoded picture and the questions about it; without questions it is a probe."""

    image: bytes
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAnswers:
    """One for each question of the request, in their order."""

    p_yes: tuple[float, ...]
    p_no: tuple[float, ...]


class BatchLabeler:
    """A loaded model that answers batches of requests. Not safe between threads: one Triton instance owns one."""

    def __init__(self, loaded: LoadedModel, settings: TritonSettings) -> None:
        """Raises InvalidInput if the model has no single token for yes or for no."""
        self.version = loaded.digest
        self._chat = loaded.chat
        self._limits = settings.image_limits
        decoder = Decoder(loaded.model)
        features: FeatureCache[SeenImage] = FeatureCache(settings.feature_cache_bytes)
        reader = ImageReader(loaded, decoder, features, ImageSources(limits=self._limits))
        self._branches = QuestionBranches(loaded, decoder, reader, settings.branch_bytes)

    @classmethod
    def open(cls, settings: TritonSettings) -> BatchLabeler:
        """Load the model that the settings name; blocking. Errors as `loading.load_model`, and as the constructor."""
        if settings.torch_threads:
            torch.set_num_threads(settings.torch_threads)
        return cls(load_model(settings.checkpoint, settings.number_format, settings.device), settings)

    @property
    def forward_passes(self) -> int:
        """Since the start."""
        return self._branches.forward_passes

    def answer(self, requests: Sequence[PictureQuestions]) -> list[PictureAnswers | RlaifvError]:
        """What became of each request, in their order."""
        pictures: dict[bytes, list[int]] = {}
        for at, request in enumerate(requests):
            pictures.setdefault(request.image, []).append(at)
        groups = list(pictures.values())
        found: dict[int, PictureAnswers | RlaifvError] = {}
        with torch.inference_mode():
            for group, known in zip(groups, self._ask(requests, groups), strict=True):
                # Where requests fail together, each is asked alone, so that only the culprit fails.
                each = [known] * len(group) if isinstance(known, dict) or len(group) == 1 else None
                answers = each or self._ask(requests, [[at] for at in group])
                found |= {at: _picked(requests[at], answer) for at, answer in zip(group, answers, strict=True)}
        return [found[at] for at in range(len(requests))]

    def pixels_sha256(self, image: bytes) -> str:
        """Digest of the tensors that the vision tower gets for a picture. Errors as `images.decode`."""
        return tensors_sha256(self._chat.prepare(decode(image, self._limits)).inputs)

    def _ask(self, requests: Sequence[PictureQuestions], groups: Sequence[list[int]]) -> list[Answers | RlaifvError]:
        """What is known after asking, for each group of requests about one picture, all their questions."""
        found: dict[int, Answers | RlaifvError] = {}
        asked = []
        for number, group in enumerate(groups):
            questions = tuple(dict.fromkeys(question for at in group for question in requests[at].questions))
            found[number] = {}
            try:
                if questions:
                    asked.append((number, Asked(image=Image.of(requests[group[0]].image), questions=questions)))
            except RlaifvError as error:
                found[number] = error
        for place, answers in self._branches.ask(one for _, one in asked):
            found[asked[place][0]] = answers
        return [found[number] for number in range(len(groups))]


def _picked(request: PictureQuestions, known: Answers | RlaifvError) -> PictureAnswers | RlaifvError:
    """The request's own part; BackendFailed where the model gave no number."""
    if isinstance(known, RlaifvError):
        return known
    pairs = [known[question] for question in request.questions]
    if not all(math.isfinite(p) for pair in pairs for p in pair):
        return BackendFailed("the model gave a probability that is no number")
    return PictureAnswers(p_yes=tuple(p for p, _ in pairs), p_no=tuple(p for _, p in pairs))


def tensors_sha256(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, number formats, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
