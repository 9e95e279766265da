"""Bytes of all messages about one prompt, service by service, as the orchestrator exchanges them (without HTTP/2's own)."""

from __future__ import annotations

from typing import Any

from bench.scripted import Clock, Script, ScriptedDecomposer, ScriptedLabeler, ScriptedPolicy
from rlaifv.core.candidates import Prompt
from rlaifv.core.images import Image
from rlaifv.core.seeds import candidate_seed
from rlaifv.ports.services import Answer, Generation, Questions
from rlaifv.rpc.convert.candidates import candidates_to_response, generation_to_proto
from rlaifv.rpc.convert.claims import answer_to_proto, decomposition_to_response
from rlaifv.rpc.convert.verdicts import questions_to_proto, verdicts_to_response


async def message_bytes(candidates: int, claims: int, image_bytes: int) -> dict[str, int]:
    """Request and response of each service for a prompt, the claims of all candidates asked in one request."""
    script, clock = Script(claims), Clock()
    prompt = Prompt(id="train-0000000", image=Image.of(bytes(image_bytes)), text="Describe the picture in detail.")
    seeds = tuple(candidate_seed(0, prompt.id, 1, index) for index in range(candidates))
    item = Generation(prompt=prompt, seeds=seeds)
    (generated,) = [outcome.unwrap() async for outcome in ScriptedPolicy(script, clock).generate([item])]
    answers = [Answer(id=one.id, text=one.text, prompt=prompt.text) for one in generated]
    divided = [outcome.unwrap() async for outcome in ScriptedDecomposer(script, clock).decompose(answers)]
    questions = tuple(dict.fromkeys(claim.question for one in divided for claim in one.claims))
    asked = Questions(id=prompt.id, image=prompt.image, questions=questions)
    (verdicts,) = [outcome.unwrap() async for outcome in ScriptedLabeler(clock).ask([asked])]
    messages: dict[str, list[Any]] = {
        "policy, request": [generation_to_proto(item)],
        "policy, response": [candidates_to_response(prompt.id, generated)],
        "decomposer, requests": [answer_to_proto(answer) for answer in answers],
        "decomposer, responses": [
            decomposition_to_response(answer.id, one) for answer, one in zip(answers, divided, strict=True)
        ],
        "labeler, request": [questions_to_proto(asked)],
        "labeler, response": [verdicts_to_response(prompt.id, verdicts)],
    }
    return {name: sum(one.ByteSize() for one in several) for name, several in messages.items()}
