"""Claims and decompositions."""

from __future__ import annotations

from rlaifv.api.v1 import decomposer_pb2, records_pb2
from rlaifv.core.claims import Claim, ClaimType
from rlaifv.core.decomposition import Decomposition, LeftOutClaims, LeftOutReason, SkippedText, SkipReason
from rlaifv.core.errors import InvalidInput, TooLarge
from rlaifv.ports.services import Answer
from rlaifv.rpc.convert.values import enum_from_proto, enum_to_proto, text_to_proto


def checked_answer(text: str, max_bytes: int) -> str:
    """`text`; raises InvalidInput if there is nothing in it and TooLarge if it has more than `max_bytes` of UTF-8."""
    if not text:
        raise InvalidInput.field("answer", text, "is empty: send the answer to judge")
    size = len(text.encode())
    if size > max_bytes:
        raise TooLarge(f"answer has {size} bytes, over the limit of {max_bytes}: send it in parts")
    return text


def answer_to_proto(answer: Answer) -> decomposer_pb2.DecomposeRequest:
    return decomposer_pb2.DecomposeRequest(
        item_id=text_to_proto("answer.id", answer.id),
        prompt=text_to_proto("prompt", answer.prompt),
        answer=text_to_proto("answer", answer.text),
    )


def answer_from_proto(request: decomposer_pb2.DecomposeRequest, max_bytes: int) -> Answer:
    return Answer(id=request.item_id, text=checked_answer(request.answer, max_bytes), prompt=request.prompt)


def claim_to_proto(claim: Claim) -> records_pb2.Claim:
    return records_pb2.Claim(
        text=claim.text,
        type=enum_to_proto(records_pb2.ClaimType, "CLAIM_TYPE", claim.type),
        question=claim.question,
        start=claim.start,
        end=claim.end,
    )


def claim_from_proto(claim: records_pb2.Claim) -> Claim:
    return Claim(
        text=claim.text,
        type=enum_from_proto(records_pb2.ClaimType, "CLAIM_TYPE", claim.type, ClaimType, ClaimType.OTHER),
        question=claim.question,
        start=claim.start,
        end=claim.end,
    )


def decomposition_to_response(item_id: str, decomposition: Decomposition) -> decomposer_pb2.DecomposeResponse:
    return decomposer_pb2.DecomposeResponse(
        item_id=item_id,
        status=records_pb2.ItemStatus(),
        claims=[claim_to_proto(claim) for claim in decomposition.claims],
        skipped=[
            decomposer_pb2.SkippedText(
                start=skipped.start,
                end=skipped.end,
                reason=enum_to_proto(decomposer_pb2.SkipReason, "SKIP_REASON", skipped.reason),
            )
            for skipped in decomposition.skipped
        ],
        duplicates=decomposition.duplicates,
        decomposer_version=decomposition.version,
        left_out=[
            decomposer_pb2.LeftOutClaims(
                reason=enum_to_proto(decomposer_pb2.LeftOutReason, "LEFT_OUT_REASON", left_out.reason),
                count=left_out.count,
            )
            for left_out in decomposition.left_out
        ],
    )


def decomposition_from_response(response: decomposer_pb2.DecomposeResponse) -> Decomposition:
    return Decomposition(
        claims=tuple(claim_from_proto(claim) for claim in response.claims),
        skipped=tuple(
            SkippedText(
                start=skipped.start,
                end=skipped.end,
                reason=enum_from_proto(decomposer_pb2.SkipReason, "SKIP_REASON", skipped.reason, SkipReason),
            )
            for skipped in response.skipped
        ),
        duplicates=response.duplicates,
        version=response.decomposer_version,
        left_out=tuple(
            LeftOutClaims(
                reason=enum_from_proto(decomposer_pb2.LeftOutReason, "LEFT_OUT_REASON", left_out.reason, LeftOutReason),
                count=left_out.count,
            )
            for left_out in response.left_out
        ),
    )
