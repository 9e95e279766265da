"""What every Policy does, vLLM does too: the same tests, over the real process."""

from __future__ import annotations

import pytest

from tests.contract.test_policy import (
    test_a_bad_item_fails_alone,
    test_a_checkpoint_that_cannot_be_loaded_leaves_the_old_one,
    test_a_seed_decides_the_answer_whatever_else_is_asked,
    test_another_checkpoint_is_taken_over,
    test_candidates_come_in_the_order_of_the_seeds_and_say_where_they_are_from,
    test_greedy_does_not_depend_on_the_seed,
    test_nothing_asked_nothing_answered,
    test_special_tokens_in_a_prompt_do_no_harm,
)

__all__ = [
    "test_a_bad_item_fails_alone",
    "test_a_checkpoint_that_cannot_be_loaded_leaves_the_old_one",
    "test_a_seed_decides_the_answer_whatever_else_is_asked",
    "test_another_checkpoint_is_taken_over",
    "test_candidates_come_in_the_order_of_the_seeds_and_say_where_they_are_from",
    "test_greedy_does_not_depend_on_the_seed",
    "test_nothing_asked_nothing_answered",
    "test_special_tokens_in_a_prompt_do_no_harm",
]

pytestmark = pytest.mark.servers
