"""What decides the numbers of a pre-training beside its images: labels of the k-NN check, and a teacher's code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backbones.card import BackboneCard
from backbones.weights import locate_weights
from engine.task import RunRequest
from engine.teacher import TeacherWeights
from pretraining import task as pretraining_task
from pretraining.data.readers import read_digits
from pretraining.task import PretrainTask
from tests.wrong_numbers.test_models import forget_modules, site

__all__ = ["site"]


def plan_digits() -> dict[str, object]:
    from backbones.registry import get_card

    card = get_card("vit_nano")
    request = RunRequest(card, locate_weights(card, "random"), "mae", "smoke", 0, (), Path("data"), "cpu")
    task = PretrainTask("mae", "digits")
    return dict(task.plan(request, task.check_data(Path("data"))).config)


def test_labels_of_the_check_are_in_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_digits()
    pool = read_digits(Path("data"))
    assert pool.labels is not None
    swapped = replace(pool, labels=[*pool.labels[1:], pool.labels[0]])
    monkeypatch.setattr(pretraining_task, "_read_pool", lambda data, root: swapped)
    after = plan_digits()
    assert after.pop("knn_content") != before.pop("knn_content")
    assert after == before


@pytest.mark.filterwarnings("ignore:Overwriting their_vit")
def test_the_code_of_a_teacher_that_is_a_plugin_is_in_the_id(site: Path) -> None:
    card = BackboneCard("theirs", "their_vit", "", input_size=(3, 32, 32), module="their_package.vit")
    teacher = TeacherWeights(card, locate_weights(card, "random"), "0" * 64)
    before = teacher.identity_dict()
    assert "model" in before and teacher.identity_dict() == before
    path = site / "their_package" / "vit.py"
    path.write_text(path.read_text().replace('"num_heads": 2', '"num_heads": 4'))
    forget_modules()
    assert teacher.identity_dict() != before
    own = replace(card, name="vit_nano", architecture="vit_nano_patch8_32", module="")
    assert set(teacher._replace(card=own).identity_dict()) == {"card", "sha256"}
