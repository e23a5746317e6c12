"""A finished classifier in a runtime: what an export has to know of it, and the network that an evaluation uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from classification.as_is.finished_classifier import FinishedClassifier
from classification.data.subset_sampling import LabeledDataset
from deployment.formats import ExportRuntime
from deployment.image_models import RuntimeNetwork, build_runtime_network
from deployment.images.image_manifest import ImageModelFacts
from deployment.images.image_sets import (
    CALIBRATION_IMAGES,
    CALIBRATION_SEED,
    PARITY_IMAGES,
    PARITY_SEED,
    ExportImages,
    ImageSet,
)
from deployment.manifest import ExportOrigin, describe_card_license, make_export_origin
from engine.data.digits import DigitsDataset, load_digits_data
from engine.evaluation.model_source import Precision
from foundation.storage.leftovers import open_scratch_folder
from results.records.identity import AS_IS

DIGITS_TASK = "digits"
"""Its images come with scikit-learn, and photographs look nothing like them."""


def build_classifier_network(
    classifier: FinishedClassifier,
    runtime: ExportRuntime,
    precision: Precision,
    out: Path | None = None,
    threads: int | None = None,
) -> RuntimeNetwork:
    """Put an exported classifier in the place of PyTorch's.

    The images of int8 are always the same for a model: those of digits, else embedded photographs. Otherwise the score
    would depend on the data that happen to be on a machine.

    Args:
        classifier: the opened classifier.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.
        out: folder in which the export is kept, in a folder ``<format>-<precision>``; ``None`` keeps nothing.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, or the model cannot be exported.
        BenchError: the exported model does not compute what PyTorch computes.
    """
    images = load_digits_images(classifier)
    # a graph is loaded from bytes, so that its folder may go
    with open_scratch_folder("export") as scratch:
        return build_runtime_network(
            classifier.model,
            describe_classifier(classifier),
            runtime=runtime,
            precision=precision,
            out=out or scratch,
            origin=make_classifier_origin(classifier),
            example=torch.zeros(1, 3, *classifier.preprocessing.img_size),
            calibration=images.calibration if images else None,
            parity_images=images.parity if images else None,
            threads=threads,
        )


def describe_classifier(classifier: FinishedClassifier, class_names: tuple[str, ...] = ()) -> ImageModelFacts:
    """Return the facts of a classifier for its manifest.

    Args:
        classifier: the opened classifier.
        class_names: name of each class, where the head does not say them.
    """
    stated = classifier.preprocessing.as_dict()
    return ImageModelFacts(
        kind="classifier",
        num_classes=classifier.head.num_classes,
        class_names=list(classifier.head.names or class_names),
        mean=stated.pop("mean"),
        std=stated.pop("std"),
        preprocessing=stated,
    )


def make_classifier_origin(classifier: FinishedClassifier) -> ExportOrigin:
    """Return where the weights of a classifier come from.

    Args:
        classifier: the opened classifier.
    """
    run = classifier.run
    if run is not None:
        return make_export_origin(run.record, classifier.file.path)
    return ExportOrigin(
        run_id=None,
        backbone=classifier.card.name,
        task="",
        protocol=AS_IS,
        checkpoint_sha256=classifier.file.sha256,
        licence=describe_card_license(classifier.card, classifier.start.init == "card", classifier.file.path),
    )


def load_digits_images(classifier: FinishedClassifier) -> ExportImages | None:
    """Return training and validation images of digits for a classifier of digits; ``None`` for any other.

    Args:
        classifier: the opened classifier.
    """
    if name_calibration(classifier) is None:
        return None
    digits, made = load_digits_data(), classifier.preprocessing
    train, val = (DigitsDataset(digits, split, made.img_size[0], made.mean, made.std) for split in ("train", "val"))
    return draw_export_images(train, val, DIGITS_TASK)


def name_calibration(classifier: FinishedClassifier) -> str | None:
    """Return the data whose images calibrate int8 of a classifier; ``None`` for the embedded photographs.

    Args:
        classifier: the opened classifier.
    """
    run = classifier.run
    return DIGITS_TASK if run is not None and run.record.task == DIGITS_TASK else None


def draw_export_images(train: LabeledDataset, val: LabeledDataset, name: str) -> ExportImages:
    """Draw images to calibrate on from the training split, and images to compare on from the validation split.

    Args:
        train: the training images.
        val: the validation images.
        name: name of the data set, for the manifest.
    """
    return ExportImages(
        _draw_images(train, CALIBRATION_IMAGES, CALIBRATION_SEED, f"training images of {name}"),
        _draw_images(val, PARITY_IMAGES, PARITY_SEED, f"validation images of {name}"),
    )


def _draw_images(images: LabeledDataset, number: int, seed: int, source: str) -> ImageSet:
    """Draw images at random, without repetition."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:number].tolist()
    tensors = [torch.as_tensor(np.asarray(images[index]["images"]), dtype=torch.float32)[None] for index in chosen]
    return ImageSet(tensors, source, seed)
