"""Fine-tuning with a teacher: the loss by its formula, who learns from whom, and which answers the teacher gives."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.build_model import build_model
from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.resolve_cell import CellRequest, resolve_cell
from benchmarks.run_cell import run_cell
from classification.as_is.finished_classifier import open_classifier
from classification.distillation import ClassTeacher, DistilledClassifier, compute_teacher_loss
from classification.model import Classifier
from classification.recipe import DistillConfig, DistillRecipe
from classification.teacher_settings import format_teacher_settings
from engine.evaluation.model_source import ModelSource
from engine.teacher import FrozenTeacher
from foundation.errors import UserError
from results.records.store import read_record
from tests.classification.as_is import make

SYNSETS = (make.TENCH, make.GOLDFISH, make.TEDDY)
SMALL = ("img_size=32", "batch_size=8", "workers=0", "loggers=[]", "epochs=2", "schedule.warmup=0")


class Rows(nn.Module):
    """Logits that are the first pixels of an image; with two heads, the second one has the next pixels."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.head = nn.Parameter(torch.tensor(scale))
        self.head_dist = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.head * images[:, 0, 0, :3]

    def forward_heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self(images), self.head_dist * images[:, 0, 1, :3]


class FixedTeacher(ClassTeacher):
    """Answers with given logits."""

    def __init__(self, answers: list[list[float]]) -> None:
        FrozenTeacher.__init__(self, nn.Linear(1, 1), *[(0.0,) * 3, (1.0,) * 3] * 2)
        self.answers = torch.tensor(answers)

    def compute_logits(self, images: Tensor) -> Tensor:
        return self.answers


def log_softmax(values: list[float]) -> list[float]:
    total = math.log(sum(math.exp(value) for value in values))
    return [value - total for value in values]


FIRST, SECOND = [[1.0, 2.0, 0.0], [0.5, -1.0, 0.25]], [[0.0, 1.0, 3.0], [2.0, 0.0, -1.0]]
ANSWERS = [[0.0, 5.0, 1.0], [3.0, 1.0, 4.0]]  # classes 1 and 2
TARGETS = [[0.7, 0.1, 0.2], [0.0, 0.5, 0.5]]  # as mixup makes them


def make_images() -> Tensor:
    images = torch.zeros(2, 3, 4, 4)
    images[:, 0, 0, :3], images[:, 0, 1, :3] = torch.tensor(FIRST), torch.tensor(SECOND)
    return images


def expect_labels_loss() -> float:
    rows = zip(TARGETS, FIRST, strict=True)
    return -sum(t * p for target, row in rows for t, p in zip(target, log_softmax(row), strict=True)) / 2


@pytest.mark.parametrize(("class_token", "taught"), [(True, SECOND), (False, FIRST)])
@pytest.mark.parametrize("alpha", [0.5, 0.2])
def test_hard_distillation_is_the_formula_of_deit(class_token: bool, taught: list[list[float]], alpha: float) -> None:
    """(1 - alpha) * CE(labels' logits, mixed labels) + alpha * CE(taught logits, argmax of the teacher)."""
    config = DistillConfig(alpha=alpha, class_token=class_token)
    model = DistilledClassifier(Rows(), Classifier(Rows()), config, lambda: FixedTeacher(ANSWERS))
    loss = model.compute_loss(make_images(), torch.tensor(TARGETS), 0.0)
    teacher_loss = -(log_softmax(taught[0])[1] + log_softmax(taught[1])[2]) / 2
    assert loss.item() == pytest.approx((1 - alpha) * expect_labels_loss() + alpha * teacher_loss, abs=1e-6)


def test_soft_distillation_is_the_formula_of_deit() -> None:
    """KL of the softened distributions, times tau squared, over the number of logits."""
    tau, total = 2.0, 0.0
    for student, teacher in zip(SECOND, ANSWERS, strict=True):
        own, theirs = (log_softmax([value / tau for value in row]) for row in (student, teacher))
        total += sum(math.exp(t) * (t - o) for o, t in zip(own, theirs, strict=True))
    loss = compute_teacher_loss(torch.tensor(SECOND), torch.tensor(ANSWERS), "soft", tau)
    assert loss.item() == pytest.approx(total * tau**2 / 6, abs=1e-6)


def test_without_mixup_labels_are_smoothed_and_answers_are_not() -> None:
    config = DistillConfig()
    model = DistilledClassifier(Rows(), Classifier(Rows(), 0.1), config, lambda: FixedTeacher(ANSWERS))
    labels = torch.tensor([0, 1])
    loss = model(make_images(), labels, labels, mode="loss")["loss"]
    smooth = [[0.1 / 3 + 0.9 * (k == label) for k in range(3)] for label in (0, 1)]
    rows = zip(smooth, FIRST, strict=True)
    of_labels = -sum(t * p for target, row in rows for t, p in zip(target, log_softmax(row), strict=True)) / 2
    of_teacher = -(log_softmax(SECOND[0])[1] + log_softmax(SECOND[1])[2]) / 2
    assert loss.item() == pytest.approx((of_labels + of_teacher) / 2, abs=1e-6)


def make_student(**arguments: Any) -> Any:
    torch.manual_seed(0)
    kinds = {"num_classes": 5, "global_pool": "avg", "distillation_head": True, **arguments}
    return build_model(get_card("vit_pico"), (32, 32), kinds)


def test_each_head_learns_from_its_own_part_and_the_teacher_from_none() -> None:
    norm = nn.Sequential(nn.Flatten(), nn.LazyBatchNorm1d(), nn.LazyLinear(5))
    images = torch.randn(4, 3, 32, 32)
    norm(images)
    before = copy.deepcopy(norm.state_dict())

    class Teacher(ClassTeacher):
        def __init__(self) -> None:
            FrozenTeacher.__init__(self, norm, *[(0.5,) * 3] * 4)
            self._columns = None

    student = make_student()
    model = DistilledClassifier(student, Classifier(student), DistillConfig(), Teacher).train()
    model.compute_loss(images, torch.arange(4), 0.0).backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert not norm.training and all(parameter.grad is None for parameter in norm.parameters())
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert {name.partition(".")[0] for name in model.state_dict()} == {"backbone"}, "no teacher in a checkpoint"
    first, second = student.forward_heads(images)
    student.zero_grad()
    first.sum().backward(retain_graph=True)
    assert student.head_dist.weight.grad is None and student.head.weight.grad is not None
    student.zero_grad()
    second.sum().backward()
    assert student.head.weight.grad is None and student.head_dist.weight.grad is not None


def test_a_finished_student_answers_with_the_mean_of_patches_and_class_token() -> None:
    """By hand: head(fc_norm(mean of patches)) and head_dist(dist_norm(class token)), as MAE-Lite's network."""
    model, images = make_student().eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        model.dist_norm.weight.mul_(1.7)
        tokens = model.forward_features(images)
        of_mean = model.head(model.fc_norm(tokens[:, 1:].mean(1)))
        of_token = model.head_dist(model.dist_norm(tokens[:, 0]))
        assert torch.allclose(model(images), (of_mean + of_token) / 2, atol=1e-6)
        twin = copy.deepcopy(model)
        twin.head_dist.bias.add_(1)
        assert torch.allclose(twin(images), model(images) + 0.5, atol=1e-6), "a copy computes with its own weights"
    assert model.head_dist.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert not model.head_dist.bias.any()


def test_a_file_of_a_finished_student_is_opened_with_both_classifiers(tmp_path: Path) -> None:
    """Without ``head_dist`` half of the model would be scored; the file alone has to say that it has two."""
    student = make_student(global_pool="avg", num_classes=5)
    torch.save(student.state_dict(), tmp_path / "student.pth")
    found = open_classifier(ModelSource(backbone="vit_pico", checkpoint=tmp_path / "student.pth"))
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found.model.eval()(pictures), student.eval()(pictures), rtol=0, atol=1e-6)
    assert found.arguments["distillation_head"] is True


def test_a_teacher_sees_pixels_of_its_own_normalization() -> None:
    mean, std, own_mean, own_std = ((0.1, 0.2, 0.3), (0.5, 0.4, 0.2), (0.5, 0.4, 0.6), (0.25, 0.5, 0.3))
    pixels = torch.rand(2, 3, 4, 4)

    def normalize(center: tuple[float, ...], scale: tuple[float, ...]) -> Tensor:
        return (pixels - torch.tensor(center).view(3, 1, 1)) / torch.tensor(scale).view(3, 1, 1)

    teacher = FrozenTeacher(nn.Linear(1, 1), mean, std, own_mean, own_std)
    assert torch.allclose(teacher.renormalize_images(normalize(mean, std)), normalize(own_mean, own_std), atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "arguments"), [("mae_hiera", {}), ("vit_pico", {"global_pool": "token"})], ids=["hiera", "token"]
)
def test_no_free_class_token_is_a_sentence(backbone: str, arguments: dict[str, Any]) -> None:
    card = get_card(backbone)
    with pytest.raises(UserError, match=r"cannot learn from a teacher by its class token.*class_token=false"):
        build_model(card, (card.input_size[1], card.input_size[2]), {"distillation_head": True, **arguments})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alpha": 0.0}, "greater than 0"),
        ({"alpha": 1.5}, "less than or equal to 1"),
        ({"alpha": 1.0}, "set alpha below 1, or class_token=false"),
        ({"tau": 2.0}, "leave it at 1"),
        ({"kind": "soft", "tau": 0.0}, "greater than or equal to 0.01"),
        ({"kind": "soft", "tau": 1000.0}, "less than or equal to 100"),
        ({"kind": "warm"}, "'hard' or 'soft'"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DistillConfig.model_validate(changes)


def test_a_class_token_cannot_serve_both_classifiers() -> None:
    content = {
        "epochs": 1,
        "batch_size": 2,
        "img_size": 32,
        "pool": "token",
        "optimizer": {"name": "SGD", "lr": 0.1},
        "schedule": {"name": "cosine"},
    }
    with pytest.raises(ValueError, match=r"set pool=avg, or distill.class_token=false"):
        DistillRecipe.model_validate(content)
    assert DistillRecipe.model_validate({**content, "distill": {"class_token": False}}).pool == "token"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of ImageNet in its layout."""
    root = tmp_path_factory.mktemp("imagenet")
    for split in ("train", "val"):
        make.write_class_folders(root / "imagenet" / split, SYNSETS, each=6, first=500 * (split == "val"))
    return root


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """Makes the weights of a teacher by the number of its classes and its seed."""
    folder = tmp_path_factory.mktemp("teachers")

    def write(num_classes: int, seed: int) -> Path:
        model = make.make_model(num_classes, seed, global_pool="avg")
        return make.save_model(folder / f"{num_classes}_{seed}.pth", model)

    return write


def ask(root: Path, out: Path, checkpoint: Path | None, *overrides: str, **fields: Any) -> CellRequest:
    named = format_teacher_settings("finetune_distill", "vit_pico", checkpoint)
    same = {"task": "imagenet", "backbone": "vit_pico", "protocol": "finetune_distill", "allow_subset": True}
    settings: dict[str, Any] = {**same, **fields}
    return CellRequest(data_root=root, out=out, device="cpu", overrides=(*SMALL, *overrides, *named), **settings)


def test_the_teachers_bytes_are_in_the_id(images: Path, teachers: Callable[[int, int], Path], tmp_path: Path) -> None:
    first, other = teachers(3, 0), teachers(3, 1)
    moved = tmp_path / "elsewhere.pth"
    moved.write_bytes(first.read_bytes())
    ids = [resolve_cell(ask(images, tmp_path, path)).identity.run_id for path in (first, other, moved)]
    assert ids[0] == ids[2] != ids[1]
    resolved = resolve_cell(ask(images, tmp_path, first))
    assert resolved.plan.config["teacher"]["card"]["name"] == "vit_pico"
    assert "teacher_checkpoint" not in resolved.plan.config["recipe"]
    assert resolve_cell(ask(images, tmp_path, first, "distill.alpha=0.4")).identity.run_id not in ids


def test_a_teacher_of_imagenet_answers_with_the_classes_that_the_data_have(
    images: Path, teachers: Callable[[int, int], Path]
) -> None:
    from classification.distillation import open_teacher

    opened = open_teacher("vit_pico", str(teachers(1000, 0)), 32, "imagenet", SYNSETS)
    places = [make.SYNSETS.index(name) for name in SYNSETS]
    assert list(opened.columns.columns) == places
    pixels = torch.randn(2, 3, 32, 32)
    teacher = ClassTeacher(opened, (0.5,) * 3, (0.5,) * 3)
    with torch.no_grad():
        expected = opened.classifier.model(pixels)[:, places]
    assert torch.equal(teacher.compute_logits(pixels), expected)


@pytest.mark.parametrize(
    ("num_classes", "overrides", "says"),
    [
        (4, (), "vit_pico cannot be the teacher: 3 of 3 classes of imagenet"),
        (None, (), "the teacher vit_pico has no weights, and a student cannot learn from a random teacher"),
        (3, ("img_size=64",), r"made for 32 x 32 px and the student's input is 64 x 64; set img_size=32"),
    ],
)
def test_a_teacher_that_cannot_teach_is_a_sentence(
    images: Path,
    teachers: Callable[[int, int], Path],
    tmp_path: Path,
    num_classes: int | None,
    overrides: tuple[str, ...],
    says: str,
) -> None:
    file = None if num_classes is None else teachers(num_classes, 0)
    with pytest.raises(UserError, match=says):
        resolve_cell(ask(images, tmp_path, file, *overrides))


def test_the_default_teacher_is_asked_for_where_it_is_not_here(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    same: dict[str, Any] = {"protocol": "finetune_distill", "overrides": SMALL, "allow_subset": True}
    request = CellRequest("imagenet", "vit_pico", data_root=images, **same)
    with pytest.raises(UserError, match=r"^the teacher timm/regnety_160.deit_in1k has no weights here: .*bench get"):
        resolve_cell(request)
    request = CellRequest("imagefolder", "vit_pico", data_root=images / "imagenet", **same)
    with pytest.raises(UserError, match="needs a teacher that knows its classes: --teacher NAME"):
        resolve_cell(request)


class _KilledError(BaseException):
    """Stands for the end of a process."""


def test_a_run_goes_on_after_a_kill_and_is_evaluated_again_to_the_same_items(
    images: Path, teachers: Callable[[int, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, extra = teachers(1000, 0), ("optimizer.lr=1e-3",)
    whole = run_cell(ask(images, tmp_path / "a", file, *extra))
    ordinary, steps = DistilledClassifier.compute_loss, []

    def stop_in_the_second_epoch(self: Any, *arguments: Any) -> Tensor:
        steps.append(1)
        if len(steps) == 4:  # two batches of eight in each epoch of eighteen images
            raise _KilledError
        return ordinary(self, *arguments)

    monkeypatch.setattr(DistilledClassifier, "compute_loss", stop_in_the_second_epoch)
    with pytest.raises(_KilledError):
        run_cell(ask(images, tmp_path / "b", file, *extra))
    monkeypatch.undo()
    resumed = run_cell(ask(images, tmp_path / "b", file, *extra))
    assert resumed.record.cost is not None and resumed.record.cost.attempts == 2
    results = [read_record(done.folder).result for done in (whole, resumed)]
    assert results[0] is not None and results[1] is not None
    assert results[0].items.sha256 == results[1].items.sha256
    # both heads are in the weights that a finished model is made of
    evaluation = make.open_folder(ModelSource(run=whole.folder), images, "imagenet")
    assert make.hash_items(evaluation.run(tmp_path)) == results[0].items.sha256
    (weights,) = (whole.folder / "checkpoints").glob("last_00000002.pth")
    # without the second classifier, they are a start like any other
    report = create_backbone("vit_pico", checkpoint=str(weights), num_classes=7, global_pool="avg").load_report
    assert report is not None and report.is_complete
    assert any(line.startswith("dist_norm.weight") for line in report.dropped)
