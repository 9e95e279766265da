"""The FLOP that the trainer's bench says are needed, against torch's own count and against masks written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.trainer_flop import Pass, costs, once, shared
from bench.trainer_job import Job
from bench.trainer_plain import start_model
from bench.trainer_texts import Encoded, encoded_pairs
from tests.unit.bench.trainer_job import small_job


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return small_job(tmp_path_factory.mktemp("flop"))


def pair(asked: int, prompt: int, chosen: int, rejected: int) -> Encoded:
    return Encoded(asked=asked, prompt=[1] * prompt, chosen=[2] * chosen, rejected=[3] * rejected, picture={})


def counted(job: Job, backward: bool) -> tuple[int, Pass]:
    """torch's count for one whole sequence whose last five tokens are predicted, and the same as a pass.

    Dense kernels multiply the whole square of attention, so that is what this pass says is attended.
    """
    model, one = start_model(job), encoded_pairs(job.model, job.pairs)[0]
    ids = torch.tensor([one.prompt + one.chosen])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        hidden = model.base_model(input_ids=ids, use_cache=False, **one.picture).last_hidden_state
        logits = model.get_output_embeddings()(hidden[0, -5:])
        if backward:
            torch.autograd.backward(logits.sum())
    length = ids.shape[1]
    return counter.get_total_flops(), Pass(tokens=length, attended=length**2, predicted=5, pictures=1)


def test_a_forward_costs_what_torch_counts(job: Job) -> None:
    found = costs(start_model(job), encoded_pairs(job.model, job.pairs)[0])
    flop, one = counted(job, backward=False)
    assert found.forward(one) + found.tower == flop


def test_a_step_costs_what_torch_counts_but_for_gradients_within_the_projector(job: Job) -> None:
    model = start_model(job)
    found = costs(model, encoded_pairs(job.model, job.pairs)[0])
    flop, one = counted(job, backward=True)
    width = model.config.text_config.hidden_size
    between = 2 * width * width * 4  # the gradient of the projector's second layer by its input, four picture tokens
    assert found.step(one) + found.tower + between == flop


def test_every_prompt_and_every_distinct_answer_is_counted_once() -> None:
    pairs = [pair(0, 7, 3, 4), pair(0, 7, 3, 5), pair(1, 6, 2, 3)]
    answers = {0: [3, 4, 5], 1: [2, 3]}
    attended = 0
    for prompt, lengths in zip((7, 6), answers.values(), strict=True):
        attended += int(torch.ones(prompt, prompt).tril().sum())
        for length in lengths:
            read = prompt + length - 1
            attended += int(torch.ones(read, read).tril()[prompt:].sum())
    unread = int(torch.ones(6, 6).tril().sum()) + int(torch.ones(5, 5).tril().sum())
    assert shared(pairs) == Pass(
        tokens=7 + 2 + 3 + 4 + 6 + 1 + 2,
        attended=attended,
        predicted=17,
        pictures=2,
        unread=6 + 5,
        unread_attended=unread,
    )


def test_what_nobody_reads_costs_keys_and_values_of_the_last_layer_alone(job: Job) -> None:
    model = start_model(job)
    found, text = costs(model, encoded_pairs(job.model, job.pairs)[0]), model.config.text_config
    width, inner = text.hidden_size, text.intermediate_size
    assert found.last_token == 2 * (2 * width * width + 3 * width * inner)
    assert found.last_attended == 4 * width
    read = Pass(tokens=10, attended=55, predicted=2, pictures=0)
    unread = Pass(tokens=10, attended=55, predicted=2, pictures=0, unread=3, unread_attended=6)
    assert found.forward(read) - found.forward(unread) == 3 * found.last_token + 6 * found.last_attended


def test_the_reference_pass_has_the_tower_once_a_picture(job: Job) -> None:
    pairs = encoded_pairs(job.model, job.pairs)
    found = costs(start_model(job), pairs[0])
    assert once(found, pairs) == found.forward(shared(pairs)) + 3 * found.tower
