"""The classification tasks on photographs: one for each set. Imports no torch."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones.card import BackboneCard
from classification.data.dataset_specs import SETS, ImageSet
from engine.task import DataReport, Decode, Outcome, Plan, Request, Task, TaskImages, require_split
from foundation.errors import DataError, UserError

if TYPE_CHECKING:
    from classification.data.dataset_splits import ImageData

CONFIGS = Path(__file__).parent / "configs"


class ImageTask(Task):
    """One set of photographs as a task."""

    domain = "classification"
    scales = True

    def __init__(self, card: ImageSet) -> None:
        self.card = card
        self.name, self.summary, self.expected = card.name, card.summary, card.expected
        self.metrics, self.protocols = card.metrics, card.protocols

    def data(self, root: Path) -> ImageData:
        """The data as read and checked; read once a process."""
        return _read(self, root)

    def check_data(self, root: Path, decode: Decode = "none") -> DataReport:
        """Read lists and labels, compare with the official counts, and open images as far as asked."""
        from classification.data.dataset_splits import decode as open_images

        data = self.data(root)
        if decode != "none":
            open_images(data, every=decode == "all")
        return DataReport(
            fingerprint=data.fingerprint,
            splits={name: len(split.members) for name, split in data.splits.items()},
            notes=(f"{len(data.classes)} classes", *data.notes, self.card.source),
            departures=data.departures,
            histogram={name: data.histogram(name) for name in data.splits},
        )

    def get_data(self, root: Path) -> None:
        """Download through torchvision, which checks the MD5 sums."""
        if self.card.download is None:
            raise UserError(
                f"{self.name} is not downloaded: {self.card.source}; bench check data {self.name} says what is missing"
            )
        import torchvision

        root.mkdir(parents=True, exist_ok=True)
        try:
            getattr(torchvision.datasets, self.card.download)(root, download=True)
        except (OSError, RuntimeError) as error:  # no network, a wrong sum, a full disk
            reason = str(error) or type(error).__name__
            raise DataError(
                f"{self.name} could not be downloaded to {root} ({reason}); the same command tries again, or fetch it "
                f"by hand: {self.card.source}"
            ) from error

    def plan(self, request: Request, data: DataReport) -> Plan:
        """Resolve ``configs/<task>_<protocol>.py``, or the one that all sets share."""
        from classification.protocols import resolve

        own = CONFIGS / f"{self.name}_{request.protocol}.py"
        file = own if own.is_file() else CONFIGS / f"images_{request.protocol}.py"
        return resolve(file, request, classes=len(self.data(request.data_root).classes), data=data, photographs=True)

    def run(self, request: Request, plan: Plan, out: Path) -> Outcome:
        """Train and test in ``out``."""
        from classification.data.image_dataset import ImageItems
        from classification.finetune import Splits
        from classification.protocols import carry_out, schema
        from classification.recipe import ImageRecipe

        settings = {**plan.config["recipe"], **plan.neutral}
        recipe: Any = schema(request.protocol, photographs=True).model_validate(settings)
        data, card = self.data(request.data_root), request.card
        augments = isinstance(recipe, ImageRecipe)
        train, val, test, val_augmented = (
            ImageItems(data.splits[name], recipe, card.mean, card.std, augmented)
            for name, augmented in (("train", augments), ("val", False), ("test", False), ("val", augments))
        )
        splits = Splits(train, val, test, val_augmented, data.fingerprint)
        return carry_out(request, plan, recipe, splits, out, task=self)

    def images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """The photographs as the probes see them: resized and cropped as ``configs/images_linear.py`` says."""
        from classification.data.image_dataset import ImageItems
        from classification.recipe import LinearRecipe
        from engine.config import load_protocol

        data = self.data(root)
        require_split(self.name, split, data.splits)
        recipe = load_protocol(CONFIGS / "images_linear.py", LinearRecipe, "full", [f"img_size={img_size}"]).recipe
        return ImageItems(data.splits[split], recipe, card.mean, card.std)


@lru_cache(maxsize=2)
def _read(task: ImageTask, root: Path) -> ImageData:
    from classification.data.dataset_splits import settle

    card = task.card
    module, _, function = card.reader.partition(":")
    found = getattr(importlib.import_module(f"classification.data.readers.{module}"), function)(root)
    return settle(found, card.official, card.classes, card.val_share, str(root))


TASKS = {name: ImageTask(card) for name, card in SETS.items()}


def __getattr__(name: str) -> ImageTask:
    """``CIFAR10`` and so on, as the task registry names them."""
    try:
        return TASKS[name.lower()]
    except KeyError:
        raise AttributeError(name) from None
