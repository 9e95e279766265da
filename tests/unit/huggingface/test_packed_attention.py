"""The attention implementation for packs: its two kernels and its mask against each other and against a dense mask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention

from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.adapters.huggingface.packed_attention import PackLayout, mask_mod, packed_attention
from rlaifv.adapters.huggingface.training_model import TrainingModel
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.learning.packing import Pack
from rlaifv.learning.tree_attention import dense_mask
from tests.families.test_training import FULL, PAIRS, pair_data
from tests.unit.learning.test_tree_attention import SCALE, compare_gradients, dense, pack, states

CPU = torch.device("cpu")


@pytest.fixture(params=[((200, (50, 0, 20)), (30, (10,))), ((3, (1, 2)),), ((128, (128,)), (256, (1, 300)))])
def made(request: pytest.FixtureRequest) -> Pack:
    return pack(*request.param)


def test_the_block_mask_is_the_dense_one(made: Pack) -> None:
    tokens = made.tokens
    found = create_mask(mask_mod(*made.lineage), None, None, tokens, tokens, device="cpu")
    assert torch.equal(found[0, 0], dense_mask(*made.lineage))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_what_tree_attention_gives(made: Pack) -> None:
    """Uncompiled, on CPU: the same mathematics as the kernel that a GPU runs."""
    query, key, value, _ = states(made.tokens, 4, 2)
    tokens = made.tokens
    blocks = create_block_mask(mask_mod(*made.lineage), None, None, tokens, tokens, device="cpu")
    found = flex_attention(query, key, value, block_mask=blocks, scale=SCALE, enable_gqa=True)
    torch.testing.assert_close(found, attended(query, key, value, made), rtol=1e-5, atol=1e-5)


def test_layers_that_drop_weights_attend_to_the_same_tokens(made: Pack) -> None:
    *inputs, gradient = states(made.tokens, 4, 2)
    compare_gradients(
        lambda q, k, v: attended(q, k, v, made, dropout=1e-12), lambda q, k, v: dense(q, k, v, made), inputs, gradient
    )


def test_dropout_drops(made: Pack) -> None:
    query, key, value, _ = states(made.tokens, 4, 2)
    whole, dropped = attended(query, key, value, made), attended(query, key, value, made, dropout=0.5)
    assert float((whole - dropped).abs().max()) > 0.1


def test_autocast_attends_in_the_format_of_the_queries(made: Pack) -> None:
    """Where rotary positions have left them in fp32, values are in bf16."""
    query, key, value, _ = states(made.tokens, 4, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = attended(query, key, value.bfloat16(), made)
    assert torch.equal(found, attended(query, key, value.bfloat16().float(), made))


def test_without_a_layout_the_mask_counts() -> None:
    query, key, value, _ = states(12, 4, 4)
    mask = torch.ones(1, 1, 12, 12, dtype=torch.bool).tril(-3) | torch.eye(12, dtype=torch.bool)
    found, _ = packed_attention(nn.Module(), query, key, value, mask, scaling=SCALE)
    weights = (query @ key.transpose(-1, -2) * SCALE).masked_fill(~mask, float("-inf")).softmax(-1)
    torch.testing.assert_close(found.transpose(1, 2), weights @ value)


def attended(query: Tensor, key: Tensor, value: Tensor, made: Pack, dropout: float = 0.0) -> Tensor:
    layout = PackLayout.of(made, CPU)
    found, _ = packed_attention(nn.Module(), query, key, value, None, SCALE, dropout, packing=layout)
    return found.transpose(1, 2)


@pytest.fixture
def cuda() -> Iterator[torch.device]:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    yield torch.device("cuda")
    torch.cuda.empty_cache()


@pytest.mark.gpu
def test_the_compiled_kernel_gives_the_same_results_and_gradients(made: Pack, cuda: torch.device) -> None:
    """Only a GPU shows: FlexAttention's compiled kernel, forward and backward, over blocks that are left out."""
    layout = PackLayout.of(made, cuda)
    assert layout.blocks is not None
    *inputs, gradient = (torch.cat([state, state], dim=-1).to(cuda) for state in states(made.tokens, 4, 2))

    def flex(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return packed_attention(nn.Module(), query, key, value, None, SCALE, packing=layout)[0].transpose(1, 2)

    def stated(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return dense(query.cpu(), key.cpu(), value.cpu(), made).to(cuda)

    compare_gradients(flex, stated, inputs, gradient, within=2e-3)


@pytest.mark.gpu
def test_a_gpu_scores_as_the_cpu_does(checkpoint: Checkpoint, cuda: torch.device) -> None:
    scored = []
    for device in ("cpu", str(cuda)):
        loaded = load_model(checkpoint, device=device)
        model = TrainingModel(loaded, pair_data(loaded), FULL)
        assert model.padding_reason == ""
        scored.append(model.score(range(len(PAIRS))).chosen.detach().cpu())
    torch.testing.assert_close(scored[1], scored[0], rtol=1e-3, atol=1e-2)
