from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from tests.engine.make import recipe


def test_length_is_epochs_or_iterations_not_both() -> None:
    assert recipe().by_epoch
    assert not recipe(epochs=None, iterations=100).by_epoch
    for wrong in ({"iterations": 5}, {"epochs": None}):
        with pytest.raises(ValidationError, match="exactly one of epochs and iterations"):
            recipe(**wrong)


def test_warmup_must_end_before_the_training() -> None:
    with pytest.raises(ValidationError, match=re.escape("schedule.warmup 2 must be below the length 2")):
        recipe(epochs=2)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        recipe(epochs=-1, batch_size=0, colour=3)
    assert {fault["loc"][0] for fault in caught.value.errors()} == {"epochs", "batch_size", "colour"}


def test_workers_and_trackers_do_not_change_identity_and_the_rest_does() -> None:
    same = recipe(workers=4, trackers=[])
    assert same.identity() == recipe().identity()
    assert same.neutral() == {"workers": 4, "trackers": [], "accumulate": 1}
    for change in ({"batch_size": 16}, {"clip_grad": 1.0}, {"precision": "bf16"}, {"val_interval": 2}):
        assert recipe(**change).identity() != recipe().identity()
