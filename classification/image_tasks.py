"""The classification tasks on photographs: one per data set. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones.card import BackboneCard
from classification.data.dataset_specs import IMAGE_DATASETS, ImageDatasetCard
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
from foundation.errors import DataError, NetworkError, UserError
from foundation.network.access import open_network
from foundation.run_scope import memoize_in_run
from results.records.identity import AS_IS

if TYPE_CHECKING:
    from classification.as_is.evaluation import ClassifierEvaluation
    from classification.data.dataset_splits import PreparedDataset, RawDataset
    from engine.evaluation.model_source import ModelSource
    from engine.recipe import ProtocolSettings
    from engine.summary.data_summary import DataSummary
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import Record

MANY_CLASSES = 1000
"""Official sets with as many classes have their names in lists that everybody has; a record would be filled by them."""

CONFIG_DIR = Path(__file__).parent / "configs"


class ImageTask(Task):
    """A data set of photographs as a task.

    Args:
        dataset_card: what is known of the data set: counts, reader, metrics, protocols.
    """

    domain = "classification"
    supports_data_scale = True

    def __init__(self, dataset_card: ImageDatasetCard) -> None:
        self.dataset_card = dataset_card
        self.name, self.summary, self.expected = dataset_card.name, dataset_card.summary, dataset_card.expected
        self.metrics, self.protocols = dataset_card.metrics, dataset_card.protocols
        self.data_options = dataset_card.data_options

    def load_data(self, root: Path) -> PreparedDataset:
        """Read and check the data; a second call in the same run returns the same object."""
        return _load_dataset(self, root)

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Read lists and labels, compare with the official counts, and open the requested images.

        Args:
            root: the data root.
            decode: how many images are opened: ``none``, ``sample`` or ``all``.

        Raises:
            DataError: the data cannot be used; the message names the first wrong file and how to fix it.
        """
        from classification.data.dataset_splits import decode_images

        data = self.load_data(root)
        if decode != "none":
            decode_images(data, decode_all=decode == "all")
        return DataReport(
            fingerprint=data.fingerprint,
            splits={name: len(split.indices) for name, split in data.splits.items()},
            notes=(f"{len(data.class_names)} classes", *data.notes, self.dataset_card.source),
            deviations=data.deviations,
            class_counts={name: data.count_classes(name) for name in data.splits},
            coverage=data.coverage,
            duplicates=data.duplicates,
        )

    def summarize_data(self, root: Path) -> DataSummary:
        """Summarize the images: sizes, formats, classes, and images that are there twice."""
        from classification.data.summary import summarize_images

        data = self.load_data(root)
        return summarize_images(data.splits, data.class_names)

    def download_data(self, root: Path) -> None:
        """Download the data with torchvision, which checks the MD5 sums.

        Raises:
            UserError: torchvision cannot download this data set; the message says where the files belong.
            DataError: the download failed.
        """
        if self.dataset_card.torchvision_class is None:
            raise UserError(
                f"{self.name} is not downloaded automatically: {self.dataset_card.source}; "
                f"bench check data {self.name} says what is missing"
            )
        import torchvision

        root.mkdir(parents=True, exist_ok=True)
        dataset_class = getattr(torchvision.datasets, self.dataset_card.torchvision_class)
        try:
            dataset_class(root)
        except RuntimeError:  # not there, or not whole
            pass
        else:
            return
        try:
            with open_network(_get_download_url(dataset_class)):
                dataset_class(root, download=True)
        except (OSError, RuntimeError, NetworkError) as error:  # no network, a wrong checksum, a full disk
            reason = str(error) or type(error).__name__
            raise DataError(
                f"{self.name} could not be downloaded to {root} ({reason}); the same command tries again, or fetch it "
                f"yourself: {self.dataset_card.source}; or run bench get --pack FILE --tasks {self.name} --with-data "
                "on a machine that has it and bench get --unpack FILE here"
            ) from error

    def list_test_items(self, root: Path) -> Mapping[str, Sequence[object]]:
        """Return index and label of every test image."""
        labels = self.load_data(root).splits["test"].labels
        return {"item": range(len(labels)), "label": labels}

    def list_evaluated_items(self, root: Path, fingerprint: str) -> Mapping[str, Sequence[object]]:
        """Return index and label of every image of the test split that a finished model was tested on.

        Args:
            root: the data root.
            fingerprint: of the evaluation's data.
        """
        # class folders without splits are tested as a whole, by their own run in the part that it was not trained on
        data = self.load_test_split(root)
        if data.fingerprint != fingerprint and self.name == "imagefolder":
            data = self.load_test_split(root, whole_folder=False)
        labels = data.splits["test"].labels
        return {"item": range(len(labels)), "label": labels}

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Plan the run by ``configs/<task>_<protocol>.py``, or by ``configs/images_<protocol>.py`` if there is none."""
        from classification.plan import resolve_protocol
        from classification.recipe import DistillRecipe

        own = CONFIG_DIR / f"{self.name}_{request.protocol}.py"
        file = own if own.is_file() else CONFIG_DIR / f"images_{request.protocol}.py"
        class_names = self.load_data(request.data_root).class_names
        plan = resolve_protocol(file, request, num_classes=len(class_names), data=data, is_photo_set=True)
        recipe = self._read_recipe(request, plan)
        if not isinstance(recipe, DistillRecipe) or not request.reads_weights:
            return plan
        from classification.distillation import open_recipe_teacher

        teacher = open_recipe_teacher(recipe, self.name, class_names)
        return replace(
            plan,
            config={**plan.config, "teacher": teacher.identity_dict()},
            notes=(*plan.notes, *(f"the teacher: {note}" for note in teacher.columns.notes)),
        )

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and test in the folder ``out``."""
        return self._run_on(self._load_planned_data(request, plan), request, plan, out)

    def _load_planned_data(self, request: RunRequest, plan: RunPlan) -> PreparedDataset:
        """Return the data, or the part of them that the plan's limit keeps."""
        from engine.data.item_limits import read_limit

        return self.load_data(request.data_root).limit_items(read_limit(plan.config["recipe"]))

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Return a variant of the task whose labels are shuffled or whose images are noise."""
        from classification.controls import answer_most_frequent, destroy_images
        from engine.data.control_task import ControlTask

        def run_variant(request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
            data = destroy_images(self._load_planned_data(request, plan), kind, seed)
            if kind == "labels_only":
                return answer_most_frequent(data.splits["train"].labels, data.splits["test"].labels, self.metrics)
            return self._run_on(data, request, plan, out)

        return ControlTask(self, kind, seed, run_variant)

    def _run_on(self, data: PreparedDataset, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        from classification.data.image_dataset import ImageDataset
        from classification.finetune import SplitDatasets
        from classification.protocols import run_protocol
        from classification.recipe import DistillRecipe, ImageRecipe

        recipe: Any = self._read_recipe(request, plan)
        card = request.card
        # features of a frozen backbone are stored once per image, so they are taken without augmentation; fine-tuning
        # needs val twice: plain to choose on, and augmented for train_on="train+val"
        augments = isinstance(recipe, ImageRecipe)
        train, val, test, val_augmented = (
            ImageDataset(data.splits[name], recipe, card.mean, card.std, augmented)
            for name, augmented in (("train", augments), ("val", False), ("test", False), ("val", augments))
        )
        splits = SplitDatasets(train, val, test, val_augmented, data.fingerprint)
        build: dict[str, Any] = {}
        if isinstance(recipe, DistillRecipe):
            from classification.distillation import make_classifier_builder

            build["build_classifier"] = make_classifier_builder(recipe, self.name, data.class_names, card)
        outcome = run_protocol(request, plan, recipe, splits, out, self, **build)
        if not augments or (self.dataset_card.num_classes or 0) >= MANY_CLASSES:
            return outcome
        # whoever uses the finished classifier needs the names of its outputs, and may not have the data
        return replace(outcome, details={**outcome.details, "class_names": list(data.class_names)})

    def _read_recipe(self, request: RunRequest, plan: RunPlan) -> ProtocolSettings:
        """Return the settings of a plan, those that are no part of its id included."""
        from classification.plan import get_recipe_type

        settings = {**plan.config["recipe"], **plan.non_identity_settings}
        recipe: ProtocolSettings = get_recipe_type(request.protocol, is_photo_set=True).model_validate(settings)
        return recipe

    def load_images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """Return the photographs as the probes see them: resized and cropped as in ``configs/images_linear.py``.

        Args:
            root: the data root.
            split: ``train``, ``val`` or ``test``.
            card: gives mean and standard deviation.
            img_size: side of the square images, pixels.

        Raises:
            UserError: there is no such split.
        """
        from classification.data.image_dataset import ImageDataset
        from classification.recipe import LinearRecipe
        from engine.config import load_protocol

        data = self.load_data(root)
        require_split(self.name, split, data.splits)
        recipe = load_protocol(CONFIG_DIR / "images_linear.py", LinearRecipe, "full", [f"img_size={img_size}"]).recipe
        return ImageDataset(data.splits[split], recipe, card.mean, card.std)

    def open_evaluation(self, source: ModelSource, root: Path) -> ClassifierEvaluation:
        """Open a finished classifier on the test split; of the other splits, no image is read.

        Args:
            source: which model, and how it is applied.
            root: the data root.

        Raises:
            UserError: the model or the data do not fit.
        """
        from classification.as_is.open_evaluation import open_image_evaluation

        return open_image_evaluation(self, source, lambda whole_folder: self.load_test_split(root, whole_folder))

    def load_test_split(self, root: Path, whole_folder: bool = True) -> PreparedDataset:
        """Read and check the test split alone; nobody needs the training images to test a finished model.

        Args:
            root: the data root.
            whole_folder: of a user's class folders without splits, take every image; ``False`` takes the part that a
                run is tested on.

        Raises:
            DataError: the data cannot be used.
        """
        return _load_test_split(self, root, whole_folder)

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw sheets of the test images: wrong answers, then right ones."""
        if record.protocol == AS_IS:
            from classification.as_is.visualize import draw_evaluated_items

            return draw_evaluated_items(folder, record, data_root, lambda whole: self.load_test_split(data_root, whole))
        from classification.visualize import IMAGE_SIDE, draw_test_items

        return draw_test_items(self, folder, record, data_root, IMAGE_SIDE)


def _get_download_url(dataset_class: Any) -> str:
    """Return an address on the server from which a data set of torchvision comes."""
    # torchvision has no common name for it
    names = ("url", "_URL", "_download_url_prefix")
    return str(
        next((getattr(dataset_class, name) for name in names if hasattr(dataset_class, name)), None)
        or dataset_class._RESOURCES[0][0]
    )


def _find_reader(card: ImageDatasetCard) -> Callable[[Path], RawDataset]:
    module, _, function = card.reader.partition(":")  # a string, because readers import torchvision
    reader: Callable[[Path], RawDataset] = getattr(
        importlib.import_module(f"classification.data.readers.{module}"), function
    )
    return reader


@memoize_in_run  # the check, the plan and the run each need the data, and ImageNet has 1.3 million paths
def _load_dataset(task: ImageTask, root: Path) -> PreparedDataset:
    from classification.data.dataset_splits import prepare_dataset

    card = task.dataset_card
    found = _find_reader(card)(root)
    return prepare_dataset(found, card.official_counts, card.num_classes, card.val_fraction, str(root))


@memoize_in_run
def _load_test_split(task: ImageTask, root: Path, whole_folder: bool) -> PreparedDataset:
    from classification.data.dataset_splits import prepare_test_split
    from classification.data.readers import folders, imagenet

    card = task.dataset_card
    if card.name == "imagenet":
        found = imagenet.read_imagenet_test(root)
    elif card.name == "imagefolder":
        found = folders.read_imagefolder_test(root, whole_folder)
    else:
        # the lists of all splits are read, and the images of test alone are hashed
        found = _find_reader(card)(root)
    return prepare_test_split(found, card.official_counts, card.num_classes, str(root))


IMAGE_TASKS = {name: ImageTask(card) for name, card in IMAGE_DATASETS.items()}


def __getattr__(name: str) -> ImageTask:
    """Return a task by its name in capitals, such as ``CIFAR10``, as the task registry refers to it."""
    try:
        return IMAGE_TASKS[name.lower()]
    except KeyError:
        raise AttributeError(name) from None
