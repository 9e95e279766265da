"""Ground truth from a scene's annotation. Only evaluation may use it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rlaifv.core.claims import Claim
from rlaifv.core.errors import InvalidInput
from rlaifv.core.scene import Scene, coverage, judge


class SceneTruth:
    """What is really in one picture, from the JSON of its scene."""

    def __init__(self, annotation: str) -> None:
        """Raises InvalidInput if the text is no annotation."""
        try:
            data = json.loads(annotation)
        except (TypeError, ValueError) as exc:
            raise InvalidInput.field("truth", annotation, f"must be the JSON of a scene ({exc})") from exc
        self._scene = Scene.from_dict(data)

    def judge(self, claim: Claim) -> bool | None:
        return judge(claim.text, self._scene)

    def coverage(self, answer: str) -> float:
        return coverage(answer, self._scene)

    def questions(self) -> Sequence[tuple[str, bool]]:
        return self._scene.questions
