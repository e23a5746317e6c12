"""Detect in images without annotations: their detections in COCO's format, and a picture of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from detection.as_is.evaluation import open_detector
from detection.as_is.finished_detector import FinishedDetector
from detection.as_is.settings import DetectionSettings, parse_settings
from detection.data.dataset import make_inference_image
from detection.data.ground_truth import Annotations, Category, DetectionImage, DetectionSplit
from detection.data.read_image import turn_upright
from detection.data.samples import ImageDetections
from detection.deployment.runtime import put_in_runtime
from detection.scoring.detection_files import DETECTIONS_FILE, write_detections
from detection.scoring.detections import DetectionColumns
from detection.visualize import SURE_SCORE, DrawnObject, choose_color, draw_objects
from engine.data.decode import decode_rgb, read_image_file, read_orientation
from engine.device import translate_oom_error
from engine.evaluation.contract import PredictionReport
from engine.evaluation.model_source import ModelSource
from engine.evaluation.network_device import resolve_network_device
from engine.pictures.encoding import encode_jpeg
from engine.pictures.layout import draw_legend, stack_images
from engine.pictures.palette import get_color, make_palette
from engine.progress_bar import ProgressBar
from foundation.errors import NonFiniteError, UserError
from foundation.files import grant_default_mode, write_atomic
from foundation.plural import format_count
from foundation.storage.disk_space import require_space
from foundation.storage.leftovers import open_partial_folder, open_scratch_folder

PICTURES_FOLDER, IMAGES_FILE = "pictures", "images.json"
MAX_PICTURE_WIDTH = 1200
"""A picture is for looking at; boxes and masks in the files have the size of the image, pixels."""

MIN_PICTURE_WIDTH = 320
"""Narrower images are enlarged, so that the names of the objects can be read."""


def predict_images(source: ModelSource, images: Sequence[Path], out: Path) -> PredictionReport:
    """Detect in images and write what was found into a new folder.

    ``detections.json`` is a results file of COCO, ``images.json`` has the tables ``images`` and ``categories`` that its
    ids refer to, and ``pictures/NAME.jpg`` shows the boxes, masks and names. The folder appears once all images are
    done: a failure leaves nothing.

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
        raise UserError("max_items limits the images of a data set; name the images to detect in instead")
    names = _name_pictures(images)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already and not an empty folder; name another one with --out")
    detector = open_detector(source, settings, resolve_network_device(source))
    # beside the final place, so that the rename stays on one disk
    out.parent.mkdir(parents=True, exist_ok=True)
    require_space(out, 0, "the pictures", num_files=len(images) + 4)  # how large they get is not known
    with open_partial_folder(out) as work, open_scratch_folder("export") as scratch:
        # a graph is loaded from bytes, so that its folder may go
        detector = put_in_runtime(detector, scratch)
        report = _detect_in_all(detector, settings, dict(zip(names, images, strict=True)), work)
        grant_default_mode(work)
        work.replace(out)
    text = (
        f"{format_count(report['detections'], 'object')} found in {format_count(len(images), 'image')} "
        f"({detector.test_mode}); detections in {out / DETECTIONS_FILE}, pictures of those with a score from "
        f"{report['drawn_from']:g} on in {out / PICTURES_FOLDER}"
    )
    return PredictionReport({"out": str(out), "model": detector.record.name, **report}, text)


def _name_pictures(images: Sequence[Path]) -> list[str]:
    """Return the name of each image without its suffix.

    Raises:
        UserError: there are no images, or two have the same name.
    """
    if not images:
        raise UserError("there are no images to detect in; name image files, or a folder that holds some")
    found: dict[str, Path] = {}
    for path in images:
        if path.stem in found:
            raise UserError(f"{found[path.stem]} and {path} would both become {path.stem}.jpg; rename one of them")
        found[path.stem] = path
    return list(found)


def _detect_in_all(
    detector: FinishedDetector, settings: DetectionSettings, images: Mapping[str, Path], work: Path
) -> dict[str, Any]:
    (work / PICTURES_FOLDER).mkdir()
    categories = list_named_categories(detector)
    # of the 100 detections of an image most are there for the sake of recall, unless the user says from where on
    drawn_from = SURE_SCORE if settings.min_score is None else settings.min_score
    entries: list[DetectionImage] = []
    found: list[ImageDetections] = []
    with translate_oom_error(), ProgressBar("detect", "images", len(images)) as bar:
        for item, (name, path) in enumerate(images.items()):
            image = read_upright_image(path)
            detections = detector.detect(make_inference_image(item, image, detector.size))
            if not detections.is_finite:
                raise NonFiniteError(f"the outputs for image {path} are not finite; the weights are damaged")
            entries.append(DetectionImage(item + 1, path.name, path, image.height, image.width))
            found.append(detections)
            picture = draw_detections(np.asarray(image, np.uint8), detections, categories, drawn_from)
            write_atomic(work / PICTURES_FOLDER / f"{name}.jpg", encode_jpeg(picture))
            bar.advance(num_items=1)
    columns = join_detections(found, detector.has_masks)
    write_detections(work / DETECTIONS_FILE, DetectionSplit(entries, _make_no_objects()), categories, columns)
    write_atomic(work / IMAGES_FILE, _format_tables(entries, categories))
    present = [categories[label].name for label in np.unique(columns.labels).tolist()]
    return {
        "images": len(images),
        "detections": len(columns),
        "drawn_from": drawn_from,
        "test_mode": detector.test_mode,
        "classes_found": present,
    }


def list_named_categories(detector: FinishedDetector) -> list[Category]:
    """Return the classes of a detector; where the record does not say them, ids from 1 and numbers as names.

    Args:
        detector: the model.
    """
    return list(detector.categories) or [Category(label + 1, f"class {label}") for label in range(detector.num_classes)]


def read_upright_image(path: Path) -> Image.Image:
    """Read an image as RGB, turned as its orientation tag says.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be decoded.
    """
    data = read_image_file(path)
    return turn_upright(decode_rgb(data, path), read_orientation(data, path))


def join_detections(found: Sequence[ImageDetections], has_masks: bool) -> DetectionColumns:
    """Join the detections of images into columns, image after image.

    Args:
        found: the detections of each image, in the order of falling scores.
        has_masks: whether they have masks.
    """
    boxes = np.concatenate([np.zeros((0, 4)), *(each.boxes.double().numpy() for each in found)])
    return DetectionColumns(
        np.repeat([each.item for each in found], [len(each.scores) for each in found]).astype(np.int64),
        np.concatenate([np.zeros(0, np.int64), *(each.labels.numpy() for each in found)]),
        np.concatenate([np.zeros(0), *(each.scores.double().numpy() for each in found)]),
        # corners to left, top, width and height
        np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1),
        [mask for each in found for mask in each.masks or ()] if has_masks else None,
    )


def draw_detections(
    image: NDArray[np.uint8], found: ImageDetections, categories: Sequence[Category], min_score: float
) -> Image.Image:
    """Draw the detections of an image over it, the best on top, and below it the names of their classes.

    Args:
        image: (height, width, 3), uint8 RGB.
        found: what was found in it.
        categories: the classes.
        min_score: detections with a lower score are left out.
    """
    objects = []
    # from the last to the first, since they are in the order of falling scores
    for place in reversed(range(len(found.scores))):
        label, score = int(found.labels[place]), float(found.scores[place])
        if score >= min_score:
            left, top, right, bottom = found.boxes[place].tolist()
            mask = None if found.masks is None else np.asarray(coco_mask.decode(found.masks[place]), bool)
            caption = f"{categories[label].name} {score:.2f}"
            objects.append(DrawnObject(label, (left, top, right - left, bottom - top), mask, caption))
    width = min(max(image.shape[1], MIN_PICTURE_WIDTH), MAX_PICTURE_WIDTH)
    picture = draw_objects(image, objects, width)
    present = sorted({each.label for each in objects})
    if not present:
        return picture
    entries = [(get_color(make_palette(), choose_color(label)), categories[label].name) for label in present]
    return stack_images([picture, draw_legend(entries, picture.width)], gap=4)


def _make_no_objects() -> Annotations:
    none, boxes = np.zeros(0, np.int64), np.zeros((0, 4))
    return Annotations(none, none, none, boxes, boxes[:, 0], none.astype(np.bool_), None)


def _format_tables(images: Sequence[DetectionImage], categories: Sequence[Category]) -> str:
    """Return the tables of COCO's format that a results file refers to."""
    tables = {
        "images": [
            {"id": each.id, "file_name": each.name, "height": each.height, "width": each.width} for each in images
        ],
        "categories": [{"id": each.id, "name": each.name} for each in categories],
    }
    return json.dumps(tables, indent=1) + "\n"
