"""The task ``digits``: 1,797 real images, a run in under a minute on two cores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import MappingProxyType

from backbones.card import BackboneCard
from engine.task import DataReport, Decode, MetricSpec, Outcome, Plan, Request, Task, TaskImages, require_split
from foundation.errors import ConfigError, DataError

CONFIGS = Path(__file__).parent / "configs"


class DigitsTask(Task):
    """scikit-learn's handwritten digits; always there, no download."""

    name = "digits"
    domain = "classification"
    summary = "scikit-learn's handwritten digits: 1,797 real 8x8 images, 10 classes"
    protocols = ("finetune", "linear", "linear_sgd", "lowshot", "knn")
    metrics = (MetricSpec("top1", "%", True), MetricSpec("mean_per_class", "%", True))
    scales = True
    expected = MappingProxyType({"train": 1169, "val": 269, "test": 359})

    def check_data(self, root: Path, decode: Decode = "none") -> DataReport:
        """Load the data that scikit-learn ships (``root`` is not used)."""
        from engine.data import digits as digits_data

        digits = digits_data.load()
        splits = {name: len(members) for name, members in digits.splits.items()}
        if splits != self.expected:
            raise DataError(f"digits should split into {self.expected}, not {splits}")
        histogram = {
            name: dict(sorted(Counter(str(digits.labels[item]) for item in members).items()))
            for name, members in digits.splits.items()
        }
        return DataReport(digits.fingerprint, splits, ("shipped with scikit-learn, CC BY 4.0",), histogram=histogram)

    def plan(self, request: Request, data: DataReport) -> Plan:
        """Resolve ``configs/digits_<protocol>.py``."""
        from classification.protocols import resolve

        plan = resolve(CONFIGS / f"digits_{request.protocol}.py", request, classes=10, data=data)
        if plan.config["recipe"].get("crop_pct", 1.0) != 1:
            raise ConfigError("digits are 8x8 pixels and are never cropped; leave crop_pct at 1")
        return plan

    def run(self, request: Request, plan: Plan, out: Path) -> Outcome:
        """Train and test in ``out``."""
        from classification.finetune import Splits
        from classification.protocols import SCHEMAS, carry_out
        from engine.data import digits as digits_data

        recipe = SCHEMAS[request.protocol].model_validate({**plan.config["recipe"], **plan.neutral})
        digits = digits_data.load()
        card = request.card
        shift = getattr(recipe, "shift", 0.0)
        train, val, test, val_augmented = (
            digits_data.DigitItems(digits, split, recipe.img_size, card.mean, card.std, reach)
            for split, reach in (("train", shift), ("val", 0.0), ("test", 0.0), ("val", shift))
        )
        splits = Splits(train, val, test, val_augmented, digits.fingerprint)
        return carry_out(request, plan, recipe, splits, out, task=self)

    def images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """The digits as every protocol tests them (``root`` is not used)."""
        from engine.data import digits as digits_data

        digits = digits_data.load()
        require_split(self.name, split, digits.splits)
        return digits_data.DigitItems(digits, split, img_size, card.mean, card.std)


DIGITS = DigitsTask()
