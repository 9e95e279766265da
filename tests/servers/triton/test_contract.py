"""The labeler service in front of a real Triton keeps the promises of every labeler."""

import pytest

from tests.contract.test_labeler import (  # noqa: F401 - run here over this folder's `labeler`
    test_a_bad_item_fails_alone,
    test_a_verdict_does_not_depend_on_what_else_is_asked,
    test_verdicts_come_in_the_order_of_the_questions,
)

pytestmark = pytest.mark.servers
