"""Predict the class of single images with a finished classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from classification.as_is.batches import compute_batches
from classification.as_is.evaluation import choose_loader
from classification.as_is.finished_classifier import FinishedClassifier, open_classifier
from classification.as_is.network import make_network
from classification.as_is.predictions import PREDICTIONS_FILE, ClassPrediction, rank_classes, write_predictions
from classification.as_is.preprocessing import TransformedImages
from classification.data.dataset_splits import ImageSplit
from classification.data.image_collections import ImageFiles
from engine.evaluation.contract import PredictionReport
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from foundation.errors import ConfigError, UserError
from foundation.files import ensure_writable_dir
from foundation.plural import format_count

_MAX_SHOWN = 20


def predict_images(source: ModelSource, images: Sequence[Path], out: Path) -> PredictionReport:
    """Predict the class of each image, and write ``predictions.csv`` into a folder.

    Args:
        source: the classifier.
        images: image files.
        out: the folder.

    Raises:
        UserError: there is no such model, a setting that only an evaluation has, or predictions in the folder.
        DataError: an image cannot be decoded; nothing is written.
    """
    classifier = open_classifier(source)
    settings = classifier.settings
    # refused, since a setting without effect would be taken for one with it
    idle = [name for name in ("class_map", "real_labels", "restrict", "max_items") if getattr(settings, name)]
    if idle:
        raise ConfigError(f"{idle[0]} is for images with labels (bench evaluate); leave it out")
    path = out / PREDICTIONS_FILE
    # the same folder twice would lose the first answers, and the folder of an evaluation those of its record
    if path.exists():
        raise UserError(f"{path} is there already; name another folder with --out")
    # before minutes of computing, and not after them
    ensure_writable_dir(out)
    predictions = _predict_all(classifier, source, images)
    write_predictions(path, predictions)
    data = {
        "predictions": str(path),
        "images": len(predictions),
        "backbone": classifier.card.name,
        "weights": str(classifier.file.path),
        "weights_sha256": classifier.file.sha256,
        "num_classes": classifier.head.num_classes,
        "class_names_known": classifier.head.names is not None,
        "preprocessing": classifier.preprocessing.as_dict(),
    }
    return PredictionReport(data, _format_predictions(classifier, predictions, path))


def _predict_all(classifier: FinishedClassifier, source: ModelSource, images: Sequence[Path]) -> list[ClassPrediction]:
    # unlabeled images are given the label 0, which nothing reads
    count = len(images)
    files = ImageFiles(Path(), list(map(str, images)))
    dataset = TransformedImages(ImageSplit(files, range(count), [0] * count), classifier.preprocessing)
    device, loading = resolve_network_device(source), choose_loader(classifier, count)
    predictions: list[ClassPrediction] = []
    for batch in compute_batches(
        make_network(classifier, source, device),
        dataset,
        device=device,
        label=f"predict with {classifier.card.name}",
        flips=classifier.settings.tta_flip,
        batch_size=loading["batch_size"],
        workers=loading["workers"],
    ):
        for item, ranked in zip(batch.items.tolist(), rank_classes(batch.probabilities), strict=True):
            predictions.append(ranked.name_image(str(images[item]), classifier.head.names))
    return predictions


def _format_predictions(classifier: FinishedClassifier, predictions: Sequence[ClassPrediction], path: Path) -> str:
    head = classifier.head
    lines = []
    for row in predictions[:_MAX_SHOWN]:
        # for people; the file has the WordNet id, which no two classes share
        name = head.describe_class(row.class_index) or f"class {row.class_index}"
        lines.append(f"{row.file}: {name} ({100 * row.probability:.1f} %)")
    if len(predictions) > _MAX_SHOWN:
        lines.append(f"... ({len(predictions):,})")
    return "\n".join([*lines, f"{format_count(len(predictions), 'image')} classified: {path}"])
