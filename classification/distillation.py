"""Fine-tuning with a teacher: its answers for a batch, and the loss of a student that learns from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbones.card import BackboneCard
from backbones.checkpoints.read_checkpoint import find_identity_key
from backbones.weight_sources.timm_tags import require_named_weights
from classification.as_is.finished_classifier import FinishedClassifier, open_classifier
from classification.as_is.match_classes import ClassColumns, match_classes
from classification.as_is.settings import ClassifierSettings
from classification.model import Classifier
from classification.recipe import ClassificationRecipe, DistillConfig, DistillRecipe
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from engine.teacher import FrozenTeacher, TeacherWeights, locate_teacher, require_teacher_size
from foundation.errors import UserError
from foundation.run_scope import memoize_in_run
from results.records.identity import compute_digest
from results.records.store import RECORD_FILE


class OpenedTeacher(NamedTuple):
    """A finished classifier that teaches, and the columns of its output that are the task's classes, in their order."""

    classifier: FinishedClassifier
    columns: ClassColumns

    def identity_dict(self) -> dict[str, Any]:
        """Return the part that can change a result, as plain data."""
        found = self.classifier
        assert found.file.path is not None
        key = find_identity_key(found.file.path, found.start.weights_key)
        weights = TeacherWeights(found.card, found.start, found.file.sha256, key)
        # a file says its classes by their order, a run by their names
        own_order = {} if self.columns.is_whole_head else {"columns": compute_digest({"columns": self.columns.columns})}
        return {**weights.identity_dict(), "arguments": dict(found.arguments), **own_order}


@memoize_in_run  # the plan, the run and every training of a search ask, and a teacher is large
def open_teacher(
    name: str | None, checkpoint: str | None, img_size: int, task: str, class_names: tuple[str, ...]
) -> OpenedTeacher:
    """Open the teacher of a task and match its classes with those of the task.

    Args:
        name: registry name or ``timm/<name>``.
        checkpoint: a weight file or a fine-tuning run, in place of the teacher's own weights.
        img_size: side of the student's input, pixels.
        task: name of the task.
        class_names: its classes, in the order of their numbers.

    Raises:
        UserError: no teacher is named, it has no weights here, or it does not answer with the task's classes.
    """
    if name is None:
        raise UserError(
            f"protocol finetune_distill on {task} needs a teacher that knows its classes: --teacher NAME "
            "--teacher-checkpoint FILE or RUN, a model that was fine-tuned on them"
        )
    if checkpoint is None:
        require_named_weights(name)
    source = _find_source(name, checkpoint)
    try:
        found = open_classifier(source)
    except UserError as error:
        raise UserError(f"{name} cannot be the teacher: {error}") from error
    if found.card.name != name:
        raise UserError(
            f"the run at {checkpoint} fine-tuned {found.card.name}, and the teacher is {name}; add "
            f"--teacher {found.card.name}"
        )
    try:
        # only the task's classes are answers: others of the teacher's could not be learned
        columns = match_classes(task, class_names, found.head, ClassifierSettings(restrict=True))
    except UserError as error:
        # the advice that follows the reason is for an evaluation, which takes a map of the classes
        raise UserError(
            f"{name} cannot be the teacher: {str(error).partition('; ')[0]}; name a teacher that was trained on the "
            f"classes of {task} (--teacher, --teacher-checkpoint)"
        ) from error
    require_teacher_size(name, found.preprocessing.img_size, img_size)
    return OpenedTeacher(found, columns)


def _find_source(name: str, checkpoint: str | None) -> ModelSource:
    """Return where the teacher is: its own weights, a file, or a run of bench."""
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        if (path / RECORD_FILE).is_file():
            return ModelSource(run=path)
        # as in open_classifier: the record of the run says the classes and the normalization of such a file
        if path.is_file() and path.absolute().parent.name == "checkpoints" and _is_of_run(path):
            return ModelSource(checkpoint=path)
    located = locate_teacher(name, checkpoint)
    return ModelSource(backbone=name, checkpoint=None if checkpoint is None else located.start.file)


def _is_of_run(path: Path) -> bool:
    try:
        find_checkpoint_run(path)
    except UserError:
        return False
    return True


class ClassTeacher(FrozenTeacher):
    """A teacher that answers with logits of the task's classes.

    Args:
        opened: the finished classifier with its columns.
        mean, std: normalization of the student's input, per channel.
    """

    def __init__(self, opened: OpenedTeacher, mean: Sequence[float], std: Sequence[float]) -> None:
        card = opened.classifier.card
        super().__init__(opened.classifier.model, mean, std, card.mean, card.std)
        columns = opened.columns
        self._columns = None if columns.is_whole_head else torch.tensor(columns.columns)

    @torch.no_grad()
    def compute_logits(self, images: Tensor) -> Tensor:
        """Return the teacher's logits, (batch, classes of the task).

        Args:
            images: as the student gets them, augmented, mixed and normalized for the student, (batch, 3, S, S).
        """
        logits: Tensor = self.move_model_to(images.device)(self.renormalize_images(images))
        return logits if self._columns is None else logits[:, self._columns.to(logits.device)]


def compute_teacher_loss(logits: Tensor, teacher_logits: Tensor, kind: str, tau: float) -> Tensor:
    """Return the teacher's part of the loss, in fp32.

    ``hard`` is the cross entropy with the teacher's most likely class. ``soft`` is the divergence of the softened
    distributions, KL(teacher || student) * tau ** 2, its mean over images *and* classes: DeiT's code and MAE-Lite's
    divide by the number of logits, which makes it smaller than the usual mean over images by the number of classes.

    Args:
        logits: of the student's classifier that learns from the teacher, (batch, classes).
        teacher_logits: of the teacher, (batch, classes).
        kind: ``hard`` or ``soft``.
        tau: temperature of ``soft``.

    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 3.0]])
    >>> round(compute_teacher_loss(student, teacher, "hard", 1.0).item(), 4)  # log 2: both classes are as likely
    0.6931
    """
    if kind == "hard":
        return functional.cross_entropy(logits.float(), teacher_logits.argmax(1))
    own, theirs = (values.float().div(tau).log_softmax(1) for values in (logits, teacher_logits))
    return functional.kl_div(own, theirs, reduction="sum", log_target=True) * tau**2 / logits.numel()


class DistilledClassifier(Classifier):
    """A classifier that learns from labels and from a teacher: (1 - alpha) * labels' loss + alpha * teacher's.

    Both see the same augmented and mixed images. The teacher computes in the precision of the training, as the authors'
    does, in evaluation mode and without gradients. Without training, no teacher is needed: it is opened at the first
    training step.

    Args:
        backbone: timm model; with ``distill.class_token`` one with a second classifier
            (``backbones.distillation_head``).
        classifier: the settings of the labels' part.
        distill: the settings of the teacher's part.
        open_teacher: opens the teacher.
    """

    def __init__(
        self, backbone: Any, classifier: Classifier, distill: DistillConfig, open_teacher: Callable[[], ClassTeacher]
    ) -> None:
        super().__init__(backbone, classifier.label_smoothing, classifier.mixup)
        self.distill = distill
        self._open_teacher = open_teacher
        self._teacher: ClassTeacher | None = None

    def compute_loss(self, images: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean loss of images as both networks see them; see ``Classifier.compute_loss``."""
        if self._teacher is None:
            self._teacher = self._open_teacher()
        backbone: Any = self.backbone
        if self.distill.class_token:
            logits, taught_logits = backbone.forward_heads(images)
        else:
            logits = taught_logits = backbone(images)
        labels_loss = functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)
        answers = self._teacher.compute_logits(images)
        teacher_loss = compute_teacher_loss(taught_logits, answers, self.distill.kind, self.distill.tau)
        alpha = self.distill.alpha
        return (1 - alpha) * labels_loss + alpha * teacher_loss


def open_recipe_teacher(recipe: DistillRecipe, task: str, class_names: tuple[str, ...]) -> OpenedTeacher:
    """Open the teacher that a recipe names; see ``open_teacher``."""
    return open_teacher(recipe.teacher, recipe.teacher_checkpoint, recipe.img_size, task, class_names)


def make_classifier_builder(
    recipe: DistillRecipe, task: str, class_names: tuple[str, ...], card: BackboneCard
) -> Callable[[nn.Module, ClassificationRecipe], Classifier]:
    """Return what makes the student of a run from its backbone and the recipe of a training.

    Args:
        recipe: names the teacher.
        task: name of the task.
        class_names: its classes, in the order of their numbers.
        card: the student's card; gives the normalization of its images.
    """

    def open_class_teacher() -> ClassTeacher:
        return ClassTeacher(open_recipe_teacher(recipe, task, class_names), card.mean, card.std)

    return partial(_build_classifier, distill=recipe.distill, open_class_teacher=open_class_teacher)


def _build_classifier(
    backbone: nn.Module,
    recipe: ClassificationRecipe,
    distill: DistillConfig,
    open_class_teacher: Callable[[], ClassTeacher],
) -> Classifier:
    # the labels' part is that of every fine-tuning
    return DistilledClassifier(backbone, Classifier.from_recipe(backbone, recipe), distill, open_class_teacher)
