"""The task ``digits``: 1,797 real images, a run in under a minute on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from engine.task import DataReport, MetricSpec, Outcome, Plan, Request, Task
from foundation.errors import DataError

CONFIGS = Path(__file__).parent / "configs"


class DigitsTask(Task):
    """scikit-learn's handwritten digits; always there, no download."""

    name = "digits"
    domain = "classification"
    summary = "scikit-learn's handwritten digits: 1,797 real 8x8 images, 10 classes"
    protocols = ("finetune",)
    metrics = (MetricSpec("top1", "%", True), MetricSpec("mean_per_class", "%", True))
    expected: ClassVar[Mapping[str, int]] = {"train": 1169, "val": 269, "test": 359}

    def check_data(self, root: Path) -> DataReport:
        """Load the data that scikit-learn ships (``root`` is not used)."""
        from classification import digits_data

        digits = digits_data.load()
        splits = {name: len(members) for name, members in digits.splits.items()}
        if splits != self.expected:
            raise DataError(f"digits should split into {self.expected}, not {splits}")
        return DataReport(digits.fingerprint, splits, ("shipped with scikit-learn, CC BY 4.0",))

    def plan(self, request: Request) -> Plan:
        """Resolve ``configs/digits_<protocol>.py``."""
        from classification.recipe import ClassificationRecipe
        from engine.config import load_protocol

        file = CONFIGS / f"digits_{request.protocol}.py"
        protocol = load_protocol(file, ClassificationRecipe, request.tier, request.overrides)
        recipe = protocol.recipe
        return Plan(
            protocol_version=protocol.version,
            config={"recipe": recipe.identity()},
            neutral=recipe.neutral(),
            arguments={
                "img_size": recipe.img_size,
                "num_classes": 10,
                "drop_path_rate": recipe.drop_path,
                "global_pool": recipe.pool,
            },
            expected=self.expected["test"],
            steps=("train", "choose the epoch on val", "test once"),
        )

    def run(self, request: Request, plan: Plan, out: Path) -> Outcome:
        """Train and test in ``out``."""
        from classification import digits_data
        from classification.finetune import finetune
        from classification.recipe import ClassificationRecipe

        recipe = ClassificationRecipe.model_validate({**plan.config["recipe"], **plan.neutral})
        digits = digits_data.load()
        card = request.card
        train, val, test = (
            digits_data.DigitItems(digits, split, recipe.img_size, card.mean, card.std, shift)
            for split, shift in (("train", recipe.shift), ("val", 0.0), ("test", 0.0))
        )
        return finetune(request, plan, recipe, (train, val, test), out, task=self)


DIGITS = DigitsTask()
