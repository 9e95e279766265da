"""Settings: a wrong name or value is an error that says what would be right; the reference page lists them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaifv.core.errors import InvalidInput
from rlaifv.rpc.entry import load_settings
from rlaifv.rpc.settings import ServiceSettings
from services.labeler.settings import LabelerSettings
from services.policy.settings import PolicySettings
from services.settings_page import SERVICES, page

PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()


def test_a_misspelt_name_is_refused_with_the_nearest_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_LABELER_MAX_QUEU", "5")
    with pytest.raises(
        InvalidInput, match=r"RLAIFV_LABELER_MAX_QUEU is no setting: did you mean RLAIFV_LABELER_MAX_QUEUE\?"
    ):
        load_settings(LabelerSettings)


def test_a_kubernetes_service_link_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_LABELER_PORT_50051_TCP", "tcp://10.0.0.1:50051")
    with pytest.raises(InvalidInput, match="enableServiceLinks: false"):
        load_settings(LabelerSettings)


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_POLICY_PORT", "70000")
    monkeypatch.setenv("RLAIFV_POLICY_BACKEND", "magic")
    with pytest.raises(InvalidInput) as caught:
        load_settings(PolicySettings)
    assert "RLAIFV_POLICY_PORT = '70000'" in caught.value.message
    assert "RLAIFV_POLICY_BACKEND = 'magic'" in caught.value.message
    assert "'huggingface'" in caught.value.message


def test_values_are_typed_and_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_POLICY_IMAGE_ROOTS", "/a:/b c")
    monkeypatch.setenv("rlaifv_policy_max_rows", "7")
    settings = load_settings(PolicySettings)
    assert settings.image_sources.roots == (Path("/a"), Path("/b c"))
    assert settings.max_rows == 7
    with pytest.raises(ValueError, match="frozen"):
        settings.max_rows = 8  # type: ignore[misc]


def test_a_remote_decomposer_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAIFV_LABELER_DECOMPOSER", "remote")
    with pytest.raises(InvalidInput, match="RLAIFV_LABELER_DECOMPOSER_TARGET"):
        load_settings(LabelerSettings)


@pytest.mark.parametrize("settings", SERVICES, ids=lambda settings: settings.__name__)
def test_every_setting_says_what_it_means(settings: type[ServiceSettings]) -> None:
    for name, field in settings.model_fields.items():
        assert field.description, f"{name} has no docstring"


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE, "run: python -m services.settings_page > docs/settings.md"
