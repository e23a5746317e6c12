"""Segment images without labels: a label PNG and an overlay of each, and a table of the classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.device import translate_oom_error
from engine.evaluation.contract import PredictionReport
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from engine.pictures.encoding import encode_jpeg
from engine.pictures.layout import draw_legend, resize_to_width, stack_images
from engine.pictures.palette import get_color, make_palette
from engine.progress_bar import ProgressBar
from foundation.errors import NonFiniteError, UserError
from foundation.files import grant_default_mode, write_atomic
from foundation.plural import format_count
from foundation.storage.disk_space import require_space
from foundation.storage.leftovers import open_partial_folder
from segmentation.as_is.evaluation import open_segmentor
from segmentation.as_is.finished_model import FinishedSegmentor
from segmentation.as_is.settings import parse_settings
from segmentation.data.files import ImageArray, read_bgr_image
from segmentation.visualize import overlay_colors

LABELS_FOLDER, OVERLAYS_FOLDER, LEGEND_FILE = "labels", "overlays", "classes.csv"
MAX_OVERLAY_WIDTH = 1200
"""An overlay is for looking at; the label PNG has the size of the image, pixels."""

MIN_OVERLAY_WIDTH = 320
"""Narrower images are enlarged, so that the legend below them can be read."""


def predict_images(source: ModelSource, images: Sequence[Path], out: Path) -> PredictionReport:
    """Segment images and write what was found into a new folder.

    ``labels/NAME.png`` has the size of the image and the label values of the data that the model was trained on,
    ``overlays/NAME.jpg`` shows them, and ``classes.csv`` has value, name, color and number of pixels of each class.
    The folder appears once all images are done: a failure leaves nothing.

    Args:
        source: the model, and how it is applied.
        images: the image files.
        out: the folder; it must not exist, or be empty.

    Raises:
        UserError: the model cannot be opened, two images have the same name, or the folder holds something.
        DataError: an image cannot be read.
        NonFiniteError: the model's outputs for an image are not finite.
    """
    source.require_one_place()
    settings = parse_settings(source.overrides)
    if settings.max_items is not None:
        raise UserError("max_items limits the images of a data set; name the images to segment instead")
    names = _name_outputs(images)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already and not an empty folder; name another one with --out")
    segmentor = open_segmentor(source, settings, resolve_network_device(source))
    # beside the final place, so that the rename stays on one disk
    out.parent.mkdir(parents=True, exist_ok=True)
    require_space(out, 0, "the pictures", num_files=2 * len(images) + 4)  # two of each; how large they get is not known
    with open_partial_folder(out) as work:
        report = _segment_all(segmentor, dict(zip(names, images, strict=True)), work)
        grant_default_mode(work)
        work.replace(out)
    where = f"label PNGs in {out / LABELS_FOLDER}, overlays in {out / OVERLAYS_FOLDER}, classes in {out / LEGEND_FILE}"
    text = f"{format_count(len(images), 'image')} segmented ({segmentor.test_mode}); {where}"
    return PredictionReport({"out": str(out), "model": segmentor.record.name, **report}, text)


def _name_outputs(images: Sequence[Path]) -> list[str]:
    """Return the name of each image without its suffix.

    Raises:
        UserError: there are no images, or two have the same name.
    """
    if not images:
        raise UserError("there are no images to segment; name image files, or a folder that holds some")
    found: dict[str, Path] = {}
    for path in images:
        if path.stem in found:
            raise UserError(f"{found[path.stem]} and {path} would both become {path.stem}.png; rename one of them")
        found[path.stem] = path
    return list(found)


def _segment_all(segmentor: FinishedSegmentor, images: dict[str, Path], work: Path) -> dict[str, Any]:
    (work / LABELS_FOLDER).mkdir()
    (work / OVERLAYS_FOLDER).mkdir()
    first, counts = segmentor.first_label or 0, np.zeros(256, np.int64)
    palette = np.roll(make_palette(), first, axis=0)  # a class has the color of its index, whatever its value
    with translate_oom_error(), ProgressBar("segment", "images", len(images)) as bar:
        for name, path in images.items():
            # OpenCV reads BGR
            image = read_bgr_image(path)[:, :, ::-1]
            found = segmentor.segment_file(path)
            if not found.is_finite:
                raise NonFiniteError(f"the outputs for image {path} are not finite; the weights are damaged")
            classes = found.labels.numpy()
            counts += np.bincount(classes.ravel(), minlength=256)
            picture = Image.fromarray(classes + np.uint8(first), "P")
            picture.putpalette(palette.tobytes())
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            write_atomic(work / LABELS_FOLDER / f"{name}.png", stream.getvalue())
            overlay = draw_overlay(image, classes, _list_names(segmentor))
            write_atomic(work / OVERLAYS_FOLDER / f"{name}.jpg", encode_jpeg(overlay))
            bar.advance(num_items=1)
    write_atomic(work / LEGEND_FILE, _format_legend(segmentor, counts))
    names = _list_names(segmentor)
    present = [names[index] for index in range(segmentor.num_classes) if counts[index]]
    return {"images": len(images), "test_mode": segmentor.test_mode, "first_label": first, "classes_present": present}


def _list_names(segmentor: FinishedSegmentor) -> list[str]:
    """Return the name of each class, or its number where the model does not say its names."""
    return list(segmentor.class_names) or [f"class {index}" for index in range(segmentor.num_classes)]


def draw_overlay(image: ImageArray, classes: NDArray[np.uint8], class_names: Sequence[str]) -> Image.Image:
    """Draw the classes over an image, and below it the names of those that it has.

    Args:
        image: (height, width, 3), uint8 RGB.
        classes: class indices, (height, width).
        class_names: name of each class.
    """
    width = min(max(image.shape[1], MIN_OVERLAY_WIDTH), MAX_OVERLAY_WIDTH)
    small = np.asarray(resize_to_width(image, width))
    labels = np.asarray(resize_to_width(classes, width, has_labels=True))
    colors = make_palette()
    present, counts = np.unique(classes, return_counts=True)
    # stable: of two classes with as many pixels, the first in the list stays first
    largest_first = present[np.argsort(-counts, kind="stable")]
    entries = [(get_color(colors, int(index)), class_names[index].split(",")[0]) for index in largest_first]
    picture = Image.fromarray(overlay_colors(small, colors[labels]))
    return stack_images([picture, draw_legend(entries, picture.width)], gap=4)


def _format_legend(segmentor: FinishedSegmentor, counts: NDArray[np.int64]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("value", "name", "color", "pixels"))
    colors = make_palette()
    for index, name in enumerate(_list_names(segmentor)):
        value = index + (segmentor.first_label or 0)
        writer.writerow((value, name, f"#{colors[index].tobytes().hex()}", int(counts[index])))
    return stream.getvalue()
