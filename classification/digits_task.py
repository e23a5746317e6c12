"""The task ``digits``: 1,797 real images; a run takes less than a minute on two cores. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from backbones.card import BackboneCard
from classification.data.dataset_specs import MEAN_PER_CLASS, TOP1
from engine.data.split_folders import require_split
from engine.data.task_images import TaskImages
from engine.task import (
    ControlKind,
    DataReport,
    DecodeLevel,
    RunPlan,
    RunRequest,
    Task,
    TaskOutcome,
)
from foundation.errors import ConfigError, DataError

if TYPE_CHECKING:  # listing tasks stays fast without scikit-learn and OpenCV
    from classification.as_is.evaluation import ClassifierEvaluation
    from engine.data.digits import DigitsData
    from engine.evaluation.model_source import ModelSource
    from engine.summary.data_summary import DataSummary
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import Record

CONFIG_DIR = Path(__file__).parent / "configs"


class DigitsTask(Task):
    """scikit-learn's handwritten digits; they come with scikit-learn, so nothing is downloaded."""

    name = "digits"
    domain = "classification"
    summary = "scikit-learn's handwritten digits: 1,797 real 8x8 images, 10 classes"
    protocols = ("finetune", "linear", "linear_sgd", "lowshot", "knn")
    metrics = (TOP1, MEAN_PER_CLASS)
    supports_data_scale = True
    # test is 20 % and val 15 % of each class, rounded per class (engine/data/digits.py)
    expected = MappingProxyType({"train": 1169, "val": 269, "test": 359})

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Load the data that scikit-learn ships and check the sizes of the splits (``root`` is not used).

        Raises:
            DataError: scikit-learn ships other data than expected.
        """
        # imported inside the methods: listing tasks stays fast without scikit-learn, OpenCV and torch
        from engine.data import digits as digits_data

        digits = digits_data.load_digits_data()
        splits = {name: len(members) for name, members in digits.splits.items()}
        if splits != self.expected:
            raise DataError(
                f"digits split into {splits} and not into {dict(self.expected)}; install a scikit-learn release with "
                "the original 1,797 digits"
            )
        histogram = {
            name: dict(sorted(Counter(str(digits.labels[item]) for item in members).items()))
            for name, members in digits.splits.items()
        }
        return DataReport(digits.fingerprint, splits, ("shipped with scikit-learn, CC BY 4.0",), class_counts=histogram)

    def summarize_data(self, root: Path) -> DataSummary:
        """Summarize the digits (``root`` is not used)."""
        from classification.data.dataset_splits import ImageSplit
        from classification.data.image_collections import ImageArrays
        from classification.data.summary import summarize_images
        from engine.data import digits as digits_data

        digits = digits_data.load_digits_data()
        # float 0 to 1, (n, 8, 8)
        images = ImageArrays((digits.images * 255).round().astype("uint8"), "digit")
        splits = {
            name: ImageSplit(images, members, digits.labels[members].tolist())
            for name, members in digits.splits.items()
        }
        return summarize_images(splits, list(map(str, range(digits_data.NUM_CLASSES))))

    def list_test_items(self, root: Path) -> Mapping[str, Sequence[object]]:
        """Return index and label of every test image (``root`` is not used)."""
        from engine.data import digits as digits_data

        digits = digits_data.load_digits_data()
        labels = [int(digits.labels[member]) for member in digits.splits["test"]]
        return {"item": range(len(labels)), "label": labels}

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Plan the run by ``configs/digits_<protocol>.py``.

        Raises:
            ConfigError: invalid settings, or a ``crop_pct`` other than 1.
        """
        from classification.plan import resolve_protocol

        plan = resolve_protocol(CONFIG_DIR / f"digits_{request.protocol}.py", request, num_classes=10, data=data)
        if plan.config["recipe"].get("crop_pct", 1.0) != 1:
            # photographs and digits share the recipe types, so crop_pct exists here but would have no effect
            raise ConfigError("digits are 8x8 pixels and are never cropped; leave crop_pct at 1")
        return plan

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and test in the folder ``out``."""
        return self._run_on(_load_planned_digits(plan), request, plan, out)

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Return a variant of the task whose labels are shuffled or whose images are noise."""
        from classification.controls import answer_most_frequent, destroy_digits
        from engine.data.control_task import ControlTask

        def run_variant(request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
            digits = destroy_digits(_load_planned_digits(plan), kind, seed)
            if kind == "labels_only":
                train, test = (digits.labels[digits.splits[split]].tolist() for split in ("train", "test"))
                return answer_most_frequent(train, test, self.metrics)
            return self._run_on(digits, request, plan, out)

        return ControlTask(self, kind, seed, run_variant)

    def _run_on(self, digits: DigitsData, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        from classification.finetune import SplitDatasets
        from classification.plan import RECIPE_TYPES
        from classification.protocols import run_protocol
        from engine.data import digits as digits_data

        recipe = RECIPE_TYPES[request.protocol].model_validate({**plan.config["recipe"], **plan.non_identity_settings})
        card = request.card
        shift = getattr(recipe, "shift", 0.0)  # recipes on frozen features have no augmentation
        train, val, test, val_augmented = (
            digits_data.DigitsDataset(digits, split, recipe.img_size, card.mean, card.std, reach)
            # val is made twice: plain to choose on, and augmented for train_on="train+val"
            for split, reach in (("train", shift), ("val", 0.0), ("test", 0.0), ("val", shift))
        )
        splits = SplitDatasets(train, val, test, val_augmented, digits.fingerprint)
        return run_protocol(request, plan, recipe, splits, out, task=self)

    def load_images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """Return the digits without augmentation, as every protocol tests them (``root`` is not used).

        Raises:
            UserError: there is no such split.
        """
        from engine.data import digits as digits_data

        digits = digits_data.load_digits_data()
        require_split(self.name, split, digits.splits)
        return digits_data.DigitsDataset(digits, split, img_size, card.mean, card.std)

    def open_evaluation(self, source: ModelSource, root: Path) -> ClassifierEvaluation:
        """Open a finished classifier on the test split (``root`` is not used).

        Raises:
            UserError: the model does not fit.
        """
        from classification.as_is.open_evaluation import open_digits_evaluation

        return open_digits_evaluation(self, source)

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw the test images: wrong answers, then right ones."""
        from classification.visualize import draw_test_items

        return draw_test_items(self, folder, record, data_root, img_size=8)  # as they are, without interpolation


def _load_planned_digits(plan: RunPlan) -> DigitsData:
    """Return the digits, or the part of them that the plan's limit keeps."""
    from engine.data.digits import load_digits_data
    from engine.data.item_limits import read_limit

    return load_digits_data().limit_items(read_limit(plan.config["recipe"]))


DIGITS = DigitsTask()
