"""The classifier of a finished fine-tuning run, and images of its data for an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from classification.digits_task import DIGITS
from classification.image_tasks import IMAGE_TASKS
from classification.model import Classifier
from deployment.image_manifest import ImageModelFacts
from deployment.image_sets import CALIBRATION_IMAGES, CALIBRATION_SEED, PARITY_IMAGES, PARITY_SEED, ImageSet
from deployment.tested_weights import find_tested_weights
from engine.checkpoints import read_checkpoint
from engine.data.item_limits import mark_limit, read_limit
from engine.task import TaskImages
from foundation.errors import DataError, UserError
from results.records.record import Record
from results.records.store import read_record


class ClassifierData(NamedTuple):
    """What an export takes from the data of a run: class names, training images, and validation images."""

    class_names: Sequence[str]
    calibration: ImageSet
    parity: ImageSet


@dataclass(frozen=True)
class TrainedClassifier:
    """The classifier of a finished fine-tuning run.

    Attributes:
        model: the backbone with its classifier, on the CPU, in evaluation mode.
        record: the record of the run.
        card: the card of the backbone.
        weights_file: the weights that the run was tested with.
    """

    model: nn.Module
    record: Record
    card: BackboneCard
    weights_file: Path

    @property
    def img_size(self) -> int:
        """Side of the input, pixels."""
        return int(self.record.config["recipe"]["img_size"])

    def describe(self, class_names: Sequence[str] = ()) -> ImageModelFacts:
        """Return the facts for the manifest.

        Args:
            class_names: name of each class, by class index; empty if they are not known.
        """
        crop_pct = self.record.config["recipe"].get("crop_pct", 1.0)
        return ImageModelFacts(
            kind="classifier",
            num_classes=int(self.record.backbone.arguments["num_classes"]),
            class_names=list(class_names),
            mean=list(self.card.mean),
            std=list(self.card.std),
            preprocessing={
                "resize_shorter_side": round(self.img_size / crop_pct),
                "interpolation": "bicubic",
                "crop": "center",
                "crop_pct": crop_pct,
            },
        )

    def load_data(self, data_root: Path | None) -> ClassifierData | None:
        """Return class names and images of the data that the run was trained on; ``None`` if no folder is named.

        Args:
            data_root: folder of the data sets; digits come with scikit-learn and need none.

        Raises:
            DataError: the data are not those of the run.
        """
        if self.record.task == DIGITS.name:
            task: Any = DIGITS
            names, fingerprint = [str(digit) for digit in range(10)], DIGITS.check_data(Path()).fingerprint
        elif data_root is not None and self.record.task in IMAGE_TASKS:
            task = IMAGE_TASKS[self.record.task]
            prepared = task.load_data(data_root)
            names, fingerprint = list(prepared.class_names), prepared.fingerprint
        else:
            return None
        root = data_root or Path()
        limit = read_limit(self.record.config["recipe"])
        if self.record.data.fingerprint != (mark_limit(fingerprint, limit) if limit else fingerprint):
            raise DataError(
                f"the data of {self.record.task} in {root} are not those that the run was trained on (other "
                "fingerprints); name their folder with --data-root, or leave it out to calibrate on photographs"
            )
        train, val = (task.load_images(root, split, self.card, self.img_size) for split in ("train", "val"))
        name = self.record.task
        return ClassifierData(
            names,
            _draw_images(train, CALIBRATION_IMAGES, CALIBRATION_SEED, f"training images of {name}"),
            _draw_images(val, PARITY_IMAGES, PARITY_SEED, f"validation images of {name}"),
        )


def load_trained_classifier(run_dir: Path) -> TrainedClassifier:
    """Load the classifier of a finished fine-tuning run with the weights that it was tested with.

    Args:
        run_dir: folder of the run.

    Raises:
        UserError: the folder holds no such run.
        CheckpointError: the weights cannot be read.
    """
    record = read_record(run_dir)
    if record.domain != "classification":
        raise UserError(f"{run_dir} is a {record.domain} run ({record.task}), not one of classification")
    if "optimizer" not in record.config.get("recipe", {}) or not record.protocol.startswith("finetune"):
        raise UserError(
            f"{run_dir} is a {record.protocol} run ({record.task}): its backbone was not trained, and it has no "
            "network with a classifier; name a finetune run"
        )
    if record.backbone.init == "memory":
        raise UserError(
            f"the backbone of {run_dir} was a module from memory, of which the run keeps the weights and not the code; "
            "export the module with classification.deployment.export.export_classifier"
        )
    weights_file, card = find_tested_weights(run_dir, record), get_card(record.backbone.name)
    # random weights to be replaced by those of the file
    model = Classifier(create_backbone(card, checkpoint=RANDOM_INIT, **record.backbone.arguments).model)
    # strict: a tensor that did not load would silently keep its random values
    model.load_state_dict(read_checkpoint(weights_file)["state_dict"], strict=True)
    return TrainedClassifier(model.backbone.eval(), record, card, weights_file)


def _draw_images(images: TaskImages, number: int, seed: int, source: str) -> ImageSet:
    """Draw images of a split at random, without repetition."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:number].tolist()
    tensors = [torch.as_tensor(np.asarray(images[index]["images"]), dtype=torch.float32)[None] for index in chosen]
    return ImageSet(tensors, source, seed)
