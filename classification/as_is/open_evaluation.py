"""Open a finished classifier on the test split of a task: match its classes, and say all that can change the number."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from backbones.checkpoints.read_checkpoint import find_identity_key
from backbones.model_digest import describe_model
from classification.as_is.evaluation import ClassifierEvaluation, choose_loader
from classification.as_is.finished_classifier import FinishedClassifier, open_classifier
from classification.as_is.head_classes import HeadClasses
from classification.as_is.match_classes import FOLDER_TASK, IMAGENET_TASK, ClassColumns, match_classes
from classification.as_is.preprocessing import TransformedImages
from classification.as_is.real_labels import RealLabels, read_real_labels
from classification.data.subset_sampling import LabeledDataset, LabeledSubset
from classification.deployment.runtime_network import name_calibration
from engine.data.digits import DigitsData, DigitsDataset, load_digits_data
from engine.data.item_limits import read_limit
from engine.evaluation.contract import AS_IS_VERSION
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from engine.task import DataReport, RunPlan, Task
from foundation.errors import ConfigError, UserError
from results.records.identity import compute_digest
from results.records.record import BackboneRecord, StartCheckpoint

if TYPE_CHECKING:
    from classification.data.dataset_splits import PreparedDataset


class _TestImages(NamedTuple):
    """The test images of a task, preprocessed for a model.

    Attributes:
        dataset: the images.
        get_name: returns the name of an image within the data set.
        class_names: name of each class of the data.
        report: what is known of the data.
        preprocessing: what determines the pixels, for the record.
        max_items: the limit that chose them; ``None`` without.
    """

    dataset: LabeledDataset
    get_name: Callable[[int], str]
    class_names: tuple[str, ...]
    report: DataReport
    preprocessing: Mapping[str, Any]
    max_items: int | None


def open_image_evaluation(
    task: Task, source: ModelSource, load_test_split: Callable[[bool], PreparedDataset]
) -> ClassifierEvaluation:
    """Open a finished classifier on the photographs of a task.

    Args:
        task: the task.
        source: which model, and how it is applied.
        load_test_split: reads the test split; its argument says whether class folders without splits are tested as a
            whole, and not only in the part that a run of the task is tested on.

    Raises:
        UserError: the model or the data do not fit.
    """
    # the model first: it says in seconds whether it can be used, and hashing a large test split takes minutes
    classifier = open_classifier(source)
    # of class folders without splits, a run has seen four fifths in training, and is tested on the rest
    data = load_test_split(not classifier.is_run_of(task.name))
    max_items = _choose_limit(task, classifier, len(data.splits["test"].indices))
    data = data.limit_items(max_items)
    split = data.splits["test"]
    images = TransformedImages(split, classifier.preprocessing)
    report = DataReport(
        fingerprint=data.fingerprint,
        splits={"test": len(split.indices)},
        notes=data.notes,
        deviations=data.deviations,
        class_counts={"test": data.count_classes("test")},
        coverage=data.coverage,
    )
    preprocessing = classifier.preprocessing.as_dict()
    opened = _TestImages(images, images.get_image_name, data.class_names, report, preprocessing, max_items)
    return _make_evaluation(task, source, classifier, opened)


def open_digits_evaluation(task: Task, source: ModelSource) -> ClassifierEvaluation:
    """Open a finished classifier on the digits, which are enlarged and never cropped.

    Args:
        task: the task.
        source: which model, and how it is applied.

    Raises:
        UserError: the model does not fit.
    """
    classifier = open_classifier(source)
    idle = [
        name for name in ("crop_pct", "crop_mode", "interpolation") if getattr(classifier.settings, name) is not None
    ]
    if idle:
        raise ConfigError(f"digits are 8x8 pixels, enlarged and never cropped; leave {idle[0]} out")
    # the enlarged digits are square
    height, width = classifier.preprocessing.img_size
    if height != width:
        raise UserError(f"the digits are square, and {classifier.card.name} takes {height} x {width} px; set img_size")
    digits = load_digits_data()
    max_items = _choose_limit(task, classifier, len(digits.splits["test"]))
    digits = digits.limit_items(max_items)
    used = classifier.preprocessing
    images = DigitsDataset(digits, "test", height, used.mean, used.std)
    names = tuple(map(str, range(10)))
    counts = Counter(map(str, images.labels))
    report = DataReport(
        fingerprint=hash_test_digits(digits),
        splits={"test": len(images)},
        notes=("shipped with scikit-learn, CC BY 4.0",),
        class_counts={"test": {name: counts.get(name, 0) for name in names}},
    )
    preprocessing = {"img_size": height, "mean": list(used.mean), "std": list(used.std)}
    opened = _TestImages(images, images.get_image_name, names, report, preprocessing, max_items)
    return _make_evaluation(task, source, classifier, opened)


def _choose_limit(task: Task, classifier: FinishedClassifier, num_images: int) -> int | None:
    """Return how many test images are used at most; ``None`` where that leaves none out."""
    limit = classifier.settings.max_items
    if limit is None and classifier.run is not None and classifier.is_run_of(task.name):
        # a smoke run was tested on a part of the items, and its number is that of this part
        limit = read_limit(classifier.run.record.config.get("recipe"))
    return limit if limit is not None and limit < num_images else None


def hash_test_digits(digits: DigitsData) -> str:
    """Return the fingerprint of the test split of the digits: SHA-256 over its images, labels and their indices."""
    members = digits.splits["test"]
    # the indices too, since they say which of scikit-learn's images these are
    content = digits.images[members].tobytes() + digits.labels[members].tobytes() + repr(members).encode()
    return hashlib.sha256(content).hexdigest()


def _make_evaluation(
    task: Task, source: ModelSource, classifier: FinishedClassifier, images: _TestImages
) -> ClassifierEvaluation:
    settings, head = classifier.settings, classifier.head
    # before any image is read: a model of other classes is refused at once
    columns = match_classes(task.name, images.class_names, head, settings)
    # classes of the head that the data do not have are numbered after those that they have
    class_names = _name_all_classes(images.class_names, columns, head)
    real = _find_real_labels(task, settings.real_labels, images, class_names)
    dataset, get_name = images.dataset, images.get_name
    if real is not None:
        kept = real.items
        # numbered from 0 again, so that the gate can see whether one is missing
        dataset, get_name = LabeledSubset(dataset, kept), lambda item: images.get_name(kept[item])
    arguments = _list_arguments(source, classifier, images, columns)
    return ClassifierEvaluation(
        task=task,
        backbone=_describe_classifier(classifier, arguments),
        data=images.report,
        plan=RunPlan(
            protocol_version=AS_IS_VERSION,
            config={"recipe": _list_board_settings(images, columns, real)},
            non_identity_settings=choose_loader(classifier, len(dataset)),
            backbone_kwargs=arguments,
            num_expected_items=len(dataset),
            steps=("test once",),
            notes=(*classifier.notes, *columns.notes),
        ),
        device=resolve_network_device(source),
        source=source,
        classifier=classifier,
        dataset=dataset,
        columns=columns,
        class_names=class_names,
        image_names=get_name,
        real_labels=real,
    )


def _name_all_classes(class_names: tuple[str, ...], columns: ClassColumns, head: HeadClasses) -> tuple[str, ...]:
    """Return the names of the data's classes, then those of the head's others, no name twice."""
    taken = {"", *class_names}
    others = ((column, head.name_class(column)) for column in columns.columns[len(class_names) :])
    # an output that nobody names, or of which a class map says otherwise, still has a number
    return (*class_names, *(f"output {column}" if name in taken else name for column, name in others))


def _find_real_labels(
    task: Task, source: str | None, images: _TestImages, class_names: tuple[str, ...]
) -> RealLabels | None:
    if source is None:
        return None
    if task.name not in (IMAGENET_TASK, FOLDER_TASK):
        raise ConfigError(f"real_labels are those of ImageNet's val, not of {task.name}; leave it out")
    names = [images.get_name(item) for item in range(len(images.dataset))]
    return read_real_labels(source, names, class_names)


def _list_board_settings(images: _TestImages, columns: ClassColumns, real: RealLabels | None) -> dict[str, Any]:
    """Return what all models of a board share: the number of classes to choose from, the labels, a limit of items."""
    return {
        "num_classes": len(columns.columns),
        **({"max_items": images.max_items} if images.max_items is not None else {}),
        **({"labels": "real", "labels_sha256": real.sha256} if real is not None else {}),
    }


def _list_arguments(
    source: ModelSource, classifier: FinishedClassifier, images: _TestImages, columns: ClassColumns
) -> dict[str, Any]:
    """Return what belongs to this model: its input, its head, and how it is applied."""
    settings, class_map = classifier.settings, classifier.settings.class_map
    if settings.class_map_file is not None:
        # by what it says of these folders; where the file lies, and the order of its lines, do not matter
        matched = columns.columns[: len(images.class_names)]
        class_map = hashlib.sha256(repr(matched).encode()).hexdigest()
    # a file of weights named without its run calibrates on photographs, and gives another number
    calibration = name_calibration(classifier) if source.precision == "int8" else None
    # what has its usual value is left out, so that an option that comes later leaves the ids of today alone
    return {
        **classifier.arguments,
        **images.preprocessing,
        **({"tta_flip": True} if settings.tta_flip else {}),
        **({"restrict": True} if len(columns.columns) < columns.num_head_classes and settings.restrict else {}),
        **({"class_map": class_map} if class_map is not None else {}),
        **_describe_own_order(classifier, images, columns),
        **({"runtime": source.runtime, "precision": source.precision} if source.runtime != "torch" else {}),
        **({"calibration": calibration} if calibration is not None else {}),
    }


def _describe_own_order(classifier: FinishedClassifier, images: _TestImages, columns: ClassColumns) -> dict[str, str]:
    """Return a digest of the columns of the data's classes, where only the record of a run says them.

    The same weights named as a file are taken in the order of the data, which gives another number.
    """
    own = columns.columns[: len(images.class_names)]
    if classifier.run is None or classifier.head.subset is not None or own == tuple(range(len(own))):
        return {}
    return {"class_columns": compute_digest({"columns": list(own)})}


def _describe_classifier(classifier: FinishedClassifier, arguments: Mapping[str, Any]) -> BackboneRecord:
    start, file, card = classifier.start, classifier.file, classifier.card
    size = classifier.preprocessing.img_size
    # the arguments of the network alone: the digest does not depend on how images are cropped
    digest = describe_model(card, {**classifier.arguments, "img_size": size}, lambda: classifier.model)
    return BackboneRecord(
        name=card.name,
        card=card.as_dict(),
        arguments=dict(arguments),
        init=start.init,
        checkpoint=StartCheckpoint(
            uri=start.uri or str(file.path),
            sha256=file.sha256,
            bytes=file.bytes,
            weights_key=None if start.init == "memory" else find_identity_key(file.path, start.weights_key),
        ),
        model=digest.identity_dict(),
    )
