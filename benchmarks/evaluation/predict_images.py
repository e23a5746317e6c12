"""Predict with a finished model: find out what kind of model it is, and let its room do the work."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from engine.data.image_formats import UNREAD_IMAGE_SUFFIXES, describe_unopened, is_image_name
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.contract import PredictionReport
from engine.evaluation.model_source import ModelSource
from foundation.errors import UserError
from foundation.files import iter_files
from results.records.store import read_record

PREDICTORS = {
    "classification": "classification.as_is.predict:predict_images",
    "segmentation": "segmentation.as_is.predict:predict_images",
    "detection": "detection.as_is.predict:predict_images",
}
"""Domain of a model, and the function "module:function" that predicts with it."""


def predict_images(source: ModelSource, images: Sequence[Path], out: Path) -> PredictionReport:
    """Predict the class of each image or of each of its pixels, or its objects, and write the predictions.

    Args:
        source: the model.
        images: files, or folders whose images are taken, those in subfolders too.
        out: folder of the predictions.

    Raises:
        UserError: no image, an image that cannot be read, or a model that predicts nothing for single images.
    """
    source.require_one_place()
    domain = _find_domain(source)
    if domain not in PREDICTORS:
        remedy = "follow a target with bench track" if domain == "tracking" else "train it on a task with bench run"
        raise UserError(f"a model of {domain} predicts nothing for single images; {remedy}")
    module, _, function = PREDICTORS[domain].partition(":")
    report: PredictionReport = getattr(importlib.import_module(module), function)(source, list_images(images), out)
    return report


def list_images(places: Sequence[Path]) -> list[Path]:
    """Return image files, in the order in which they were named; those of a folder sorted by their paths.

    Args:
        places: files, or folders that are searched with all their subfolders, except for hidden files and folders.

    Raises:
        UserError: a place does not exist, or there is no image in it, or one that cannot be opened on this machine.
    """
    if not places:  # from Python, where a pattern may have matched nothing
        raise UserError("there are no images; name image files, or a folder with images")
    found: list[Path] = []
    for place in places:
        if place.is_file():
            found.append(place)
            continue
        if not place.is_dir():
            raise UserError(f"{place} does not exist; name images, or a folder with images")
        # no hidden files: a Mac writes ._NAME.jpg beside NAME.jpg, and notebooks keep copies in .ipynb_checkpoints
        inside = sorted(iter_files(place))
        # left out in silence, it would be missing from the predictions
        unread = next((path for path in inside if path.name.lower().endswith(UNREAD_IMAGE_SUFFIXES)), None)
        if unread is not None:
            raise UserError(f"{describe_unopened(unread)}, or name the other images one by one")
        images = [path for path in inside if is_image_name(path.name)]
        if not images:
            raise UserError(f"{place} holds no images (.jpg, .png and others); name images, or a folder with images")
        # a link to nothing is said to be missing when it is read
        pipe = next((path for path in images if path.exists() and not path.is_file()), None)
        if pipe is not None:
            raise UserError(f"{pipe} is neither a file nor a folder (a pipe, socket or device); remove it")
        found += images
    # a file beside its folder has one answer: bench score refuses two
    return list(dict.fromkeys(found))


def _find_domain(source: ModelSource) -> str:
    """Return the domain of a model: that of its run, segmentation for a config of mmsegmentation, else classification.

    Raises:
        UserError: the checkpoint is in no run's folder, and nothing says what network it belongs to.
    """
    if source.config is not None:
        return "segmentation"
    if source.run is not None:
        return read_record(source.run).domain
    if source.backbone is not None or source.module is not None:
        return "classification"
    assert source.checkpoint is not None  # require_one_place
    return read_record(find_checkpoint_run(source.checkpoint)).domain
