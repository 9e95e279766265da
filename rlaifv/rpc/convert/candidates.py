"""Images, prompts, candidates and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable

from rlaifv.api.v1 import policy_pb2, records_pb2
from rlaifv.core.candidates import Candidate, FinishReason, Prompt, Sampling
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import InvalidInput, TooLarge
from rlaifv.core.images import Image
from rlaifv.ports.services import Generation
from rlaifv.rpc.convert.values import enum_from_proto, enum_to_proto, text_to_proto

MAX_CANDIDATES = 256
MAX_PROMPT_CHARACTERS = 100_000


def image_to_proto(image: Image) -> records_pb2.Image:
    if image.data:
        return records_pb2.Image(data=image.data, sha256=image.sha256)
    return records_pb2.Image(uri=text_to_proto("image.uri", image.uri), sha256=image.sha256)


def image_from_proto(image: records_pb2.Image, max_bytes: int) -> Image:
    """The image; its bytes are named by their digest where the sender did not (a wrong digest is found when it is read).

    Raises TooLarge at once, so that bytes that nobody will read do not wait in a queue.
    """
    data = image.data  # once: every look at it copies the picture
    if len(data) > max_bytes:
        raise TooLarge(f"image has {len(data)} bytes, over the limit of {max_bytes}: send a smaller file")
    if image.WhichOneof("source") == "uri" and image.uri:
        return Image(uri=image.uri, sha256=image.sha256)
    if image.sha256 and data:
        return Image(data=data, sha256=image.sha256)
    return Image.of(data)


def sampling_to_proto(sampling: Sampling) -> records_pb2.Sampling:
    return records_pb2.Sampling(
        temperature=sampling.temperature, top_p=sampling.top_p, max_new_tokens=sampling.max_new_tokens
    )


def sampling_from_proto(sampling: records_pb2.Sampling) -> Sampling:
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p if sampling.HasField("top_p") else 1.0,
        max_new_tokens=sampling.max_new_tokens,
    )


def generation_to_proto(item: Generation) -> policy_pb2.GenerateRequest:
    return policy_pb2.GenerateRequest(
        item_id=text_to_proto("prompt.id", item.prompt.id),
        image=image_to_proto(item.prompt.image),
        prompt=text_to_proto("prompt.text", item.prompt.text),
        seeds=_seeds(item.seeds),
        sampling=sampling_to_proto(item.sampling),
    )


def generation_from_proto(request: policy_pb2.GenerateRequest, max_image_bytes: int) -> Generation:
    if not request.HasField("sampling"):
        raise InvalidInput("sampling is missing: give temperature and max_new_tokens")
    if not 1 <= len(request.seeds) <= MAX_CANDIDATES:
        raise InvalidInput.field("seeds", f"{len(request.seeds)} seeds", f"give 1 to {MAX_CANDIDATES} of them")
    if len(request.prompt) > MAX_PROMPT_CHARACTERS:
        raise TooLarge(
            f"prompt has {len(request.prompt)} characters, over the limit of {MAX_PROMPT_CHARACTERS}: shorten it"
        )
    return Generation(
        prompt=Prompt(id=request.item_id, image=image_from_proto(request.image, max_image_bytes), text=request.prompt),
        seeds=_seeds(tuple(request.seeds)),
        sampling=sampling_from_proto(request.sampling),
    )


def _seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    for seed in seeds:
        if not 0 <= seed < 2**63:
            raise InvalidInput.field("seeds", seed, "each must be 0 to 2^63 - 1")
    return seeds


def candidate_to_proto(candidate: Candidate) -> records_pb2.Candidate:
    return records_pb2.Candidate(
        index=candidate.index,
        seed=candidate.seed,
        text=candidate.text,
        finish_reason=enum_to_proto(records_pb2.FinishReason, "FINISH_REASON", candidate.finish_reason),
        policy_version=candidate.policy_version,
        token_ids=candidate.token_ids,
        token_logprobs=candidate.token_logprobs,
    )


def candidate_from_proto(candidate: records_pb2.Candidate, prompt_id: str) -> Candidate:
    """The candidate; the wire leaves out the prompt's id, which is the item's."""
    return Candidate(
        prompt_id=prompt_id,
        index=candidate.index,
        seed=candidate.seed,
        text=candidate.text,
        finish_reason=enum_from_proto(records_pb2.FinishReason, "FINISH_REASON", candidate.finish_reason, FinishReason),
        policy_version=candidate.policy_version,
        token_ids=tuple(candidate.token_ids),
        token_logprobs=tuple(candidate.token_logprobs),
    )


def candidates_to_response(item_id: str, candidates: Iterable[Candidate]) -> policy_pb2.GenerateResponse:
    return policy_pb2.GenerateResponse(
        item_id=item_id, status=records_pb2.ItemStatus(), candidates=[candidate_to_proto(c) for c in candidates]
    )


def candidates_from_response(response: policy_pb2.GenerateResponse) -> tuple[Candidate, ...]:
    return tuple(candidate_from_proto(candidate, response.item_id) for candidate in response.candidates)


def checkpoint_to_proto(checkpoint: Checkpoint) -> records_pb2.Checkpoint:
    return records_pb2.Checkpoint(uri=text_to_proto("checkpoint.uri", checkpoint.uri), digest=checkpoint.digest)


def checkpoint_from_proto(checkpoint: records_pb2.Checkpoint) -> Checkpoint:
    return Checkpoint(uri=checkpoint.uri, digest=checkpoint.digest)
