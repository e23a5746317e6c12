"""The segmentor of a finished run, and images of its data for an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from backbones.card import BackboneCard
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from deployment.image_sets import CALIBRATION_IMAGES, CALIBRATION_SEED, PARITY_IMAGES, PARITY_SEED, ImageSet
from deployment.tested_weights import find_tested_weights
from engine.checkpoints import read_checkpoint
from engine.data.item_limits import mark_limit, read_limit
from foundation.errors import DataError, UserError
from results.records.record import Record
from results.records.store import read_record
from segmentation.data.dataset_layout import ImageLabelPair, SegmentationDataset
from segmentation.data.files import read_image_pair
from segmentation.models.segmentor import Segmentor, build_segmentor
from segmentation.recipe import SegmentationRecipe
from segmentation.tasks import ADE20K, CAMVID, MINI_ADE, SEGFOLDER, SegmentationTask

_TASKS: dict[str, SegmentationTask] = {task.name: task for task in (ADE20K, CAMVID, MINI_ADE, SEGFOLDER)}


class SegmentorData(NamedTuple):
    """What an export takes from the data of a run: class names, and crops of training images."""

    class_names: Sequence[str]
    calibration: ImageSet
    parity: ImageSet


@dataclass(frozen=True)
class TrainedSegmentor:
    """The segmentor of a finished run.

    Attributes:
        model: the segmentor, on the CPU, in evaluation mode.
        record: the record of the run.
        recipe: its recipe.
        card: the card of the backbone.
        weights_file: the weights that the run was tested with.
    """

    model: Segmentor
    record: Record
    recipe: SegmentationRecipe
    card: BackboneCard
    weights_file: Path

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.model.decode_head.num_classes)

    def load_data(self, data_root: Path | None, size: tuple[int, int]) -> SegmentorData | None:
        """Return class names and images of the data that the run was trained on; ``None`` if no folder is named.

        Args:
            data_root: folder of the data; ``mini_ade`` is made on this machine and needs none.
            size: height and width of the images, pixels.

        Raises:
            DataError: the data are not those of the run.
        """
        task = _TASKS.get(self.record.task)
        if task is None or (data_root is None and task is not MINI_ADE):
            return None
        root = data_root or Path()
        found, fingerprint = task.find_dataset(root), task.check_data(root).fingerprint
        limit = read_limit(self.record.config["recipe"])
        if self.record.data.fingerprint != (mark_limit(fingerprint, limit) if limit else fingerprint):
            raise DataError(
                f"the data of {task.name} in {root} are not those that the run was trained on (other fingerprints); "
                "name their folder with --data-root, or leave it out to calibrate on photographs"
            )
        # crops of images that are not calibrated on; a data set without val has only its training images
        split = "val" if "val" in found.splits else "train"
        return SegmentorData(
            task.get_class_names(found),
            self._draw_crops(found, "train", size, CALIBRATION_IMAGES, CALIBRATION_SEED),
            self._draw_crops(found, split, size, PARITY_IMAGES, PARITY_SEED),
        )

    def _draw_crops(
        self, dataset: SegmentationDataset, split: str, size: tuple[int, int], number: int, seed: int
    ) -> ImageSet:
        """Draw images of a split, and of each a random crop, at the scale of the test."""
        pairs = dataset.splits[split]
        chosen = np.random.default_rng(seed).permutation(len(pairs))[:number].tolist()
        crops = [self._make_crop(pairs[index], dataset, size, np.random.default_rng((seed, index))) for index in chosen]
        return ImageSet(crops, f"crops of {split} images of {self.record.task}", seed)

    def _make_crop(
        self, pair: ImageLabelPair, dataset: SegmentationDataset, size: tuple[int, int], rng: np.random.Generator
    ) -> Tensor:
        image = read_image_pair(pair, dataset.label_space)[0]
        # enlarged, where the crop would not fit into it
        factor = max(1.0, *(side / have for side, have in zip(size, image.shape[:2], strict=True)))
        if self.recipe.test.scale is not None:
            long, short = max(self.recipe.test.scale), min(self.recipe.test.scale)
            factor = max(factor, min(long / max(image.shape[:2]), short / min(image.shape[:2])))
        height, width = (max(side, round(have * factor)) for side, have in zip(size, image.shape[:2], strict=True))
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        top, left = (int(rng.integers(0, room + 1)) for room in (height - size[0], width - size[1]))
        # OpenCV reads BGR
        crop = np.ascontiguousarray(scaled[top : top + size[0], left : left + size[1], ::-1])
        mean, std = (torch.tensor(list(values)).view(1, 3, 1, 1) for values in (self.card.mean, self.card.std))
        return (torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255 - mean) / std


def load_trained_segmentor(run_dir: Path) -> TrainedSegmentor:
    """Load the segmentor of a finished run with the weights that it was tested with.

    Args:
        run_dir: folder of the run.

    Raises:
        UserError: the folder holds no such run.
        CheckpointError: the weights cannot be read.
    """
    record = read_record(run_dir)
    if record.domain != "segmentation":
        raise UserError(f"{run_dir} is a {record.domain} run ({record.task}), not one of segmentation")
    if record.backbone.init == "memory":
        raise UserError(
            f"the backbone of {run_dir} was a module from memory, of which the run keeps the weights and not the code; "
            "export the model with segmentation.deployment.export.export_segmentor"
        )
    weights_file, card = find_tested_weights(run_dir, record), get_card(record.backbone.name)
    settings = {**record.config["recipe"], **record.non_identity_settings}
    settings.pop("norm", None)  # what the plan added to the recipe
    recipe = SegmentationRecipe.model_validate(settings)
    state = read_checkpoint(weights_file)["state_dict"]
    # random weights to be replaced by those of the file
    created = create_backbone(card, checkpoint=RANDOM_INIT, **record.backbone.arguments)
    # the norm of several processes computes in evaluation as that of one
    model = build_segmentor(recipe, card, _count_classes(state), "BN", created=created)
    # strict: a tensor that did not load would silently keep its random values
    model.load_state_dict(state, strict=True)
    model.eval()
    return TrainedSegmentor(model, record, recipe, card, weights_file)


def _count_classes(state: dict[str, Tensor]) -> int:
    """Return the number of classes that the decode head of a segmentor tells apart."""
    return int(state["decode_head.conv_seg.weight"].shape[0])
