from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from tests.engine.make import make_recipe


def test_length_is_epochs_or_iterations_not_both() -> None:
    assert make_recipe().by_epoch
    assert not make_recipe(epochs=None, iterations=100).by_epoch
    for wrong in ({"iterations": 5}, {"epochs": None}):
        with pytest.raises(ValidationError, match="exactly one of epochs and iterations"):
            make_recipe(**wrong)


def test_warmup_must_end_before_the_training() -> None:
    with pytest.raises(ValidationError, match=re.escape("schedule.warmup 2 must be below the length 2")):
        make_recipe(epochs=2)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        make_recipe(epochs=-1, batch_size=0, colour=3)
    assert {fault["loc"][0] for fault in caught.value.errors()} == {"epochs", "batch_size", "colour"}


def test_workers_and_loggers_do_not_change_identity_and_the_rest_does() -> None:
    same = make_recipe(workers=4, loggers=[])
    assert same.identity_settings() == make_recipe().identity_settings()
    assert same.non_identity_settings() == {"workers": 4, "loggers": [], "accumulate": 1}
    for change in ({"batch_size": 16}, {"clip_grad": 1.0}, {"precision": "bf16"}, {"val_interval": 2}):
        assert make_recipe(**change).identity_settings() != make_recipe().identity_settings()
