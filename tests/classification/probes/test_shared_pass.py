"""The end of a shared feature pass: the others are told, unless they would not listen."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from classification.probes.shared_pass import FeatureCrew, open_feature_crew
from foundation.errors import NonFiniteError


@pytest.mark.parametrize(
    ("error", "is_told"), [(NonFiniteError("the classifier diverged"), True), (ValueError("in a batch"), False)]
)
def test_after_an_unexpected_error_nothing_is_exchanged(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_told: bool
) -> None:
    """The others may be in the middle of an exchange of features, and each would wait for the other forever."""
    told: list[int] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(dist, "new_group", lambda **_: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda group: None)
    monkeypatch.setattr(FeatureCrew, "dismiss", lambda crew: told.append(crew.rank))
    with pytest.raises(type(error)), open_feature_crew():
        raise error
    assert told == [0] * is_told
    with open_feature_crew():
        pass
    assert len(told) == is_told + 1
