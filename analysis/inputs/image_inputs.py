"""Find and check the backbones and images of an analysis before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analysis.answer import AnalysisQuestion
from analysis.inputs.backbone_spec import BackboneSpec, resolve_backbone
from analysis.inputs.image_subset import ImageSubset, sample_images
from analysis.record import ImageSource
from analysis.request import ImageRequest
from engine.data.data_options import get_data_options
from engine.data.data_sources import find_task_data
from engine.determinism import make_deterministic
from engine.device import resolve_device
from engine.task import DataReport, Task
from foundation.errors import DataError
from results.records.record import DatasetRecord


class AnalysisInputs(NamedTuple):
    """The backbones, for each one its subset of the same images, and the device."""

    backbones: list[BackboneSpec]
    subsets: list[ImageSubset]
    image_source: ImageSource
    device: str

    @property
    def caption(self) -> str:
        """Description of the analyzed images, for titles."""
        short = " (not the complete official set)" if self.image_source.dataset.deviations else ""
        return f"{self.image_source.images} images of {self.image_source.task} {self.image_source.split}{short}"

    def make_question(self, method_version: int, settings: Mapping[str, Any]) -> AnalysisQuestion:
        """Return the resolved question for these backbones and images.

        Args:
            method_version: version of the analysis method.
            settings: everything else that can change the result.
        """
        return AnalysisQuestion(
            method_version,
            settings,
            identity_fields={
                "backbones": [each.identity() for each in self.backbones],
                "data": self.image_source.to_identity(),
            },
            backbone_names=tuple(each.card.name for each in self.backbones),
            # a function, because load reports and parameter counts exist only after the models were built
            describe_backbones=lambda: [each.to_record() for each in self.backbones],
            image_source=self.image_source,
        )


def resolve_image_inputs(request: ImageRequest, min_images: int = 1) -> AnalysisInputs:
    """Find backbones, weights and images; errors in the request are reported here, before any computation.

    Args:
        request: the request.
        min_images: minimum number of images that the analysis needs.

    Raises:
        UserError: a name, the weights, the images or the device do not exist.
        DataError: the data are damaged, or are not the official set and ``--subset`` is missing.
    """
    backbones = [
        resolve_backbone(each, request.img_size, request.seed, request.allow_partial) for each in request.backbones
    ]
    data = check_task_data(request.task, request.data_root, request.allow_subset)
    # One data set object per backbone, because cards differ in input size, mean and std
    datasets = [
        request.task.load_images(request.data_root, request.split, each.card, each.img_size) for each in backbones
    ]
    subsets = [sample_images(each, request.num_images, min_images) for each in datasets]
    image_source = ImageSource(
        task=request.task.name,
        split=request.split,
        images=len(subsets[0]),
        dataset=to_dataset_record(data),
        preprocessing=[each.get_preprocessing() for each in datasets],
    )
    device = resolve_device(request.device)
    make_deterministic()  # otherwise a GPU adds numbers in a different order each time, and results differ in rounding
    return AnalysisInputs(backbones, subsets, image_source, device)


def check_task_data(task: Task, data_root: Path, allow_subset: bool) -> DataReport:
    """Check the data of a task and return the report.

    Args:
        task: the task that the data belong to.
        data_root: folder of the data sets.
        allow_subset: accept data that are not the complete official set.

    Raises:
        DataError: the data are missing or damaged, or are not the complete official set and ``allow_subset`` is false.
    """
    data = find_task_data(task, data_root)
    if data.deviations and not allow_subset:
        raise DataError(f"{task.name}: {'; '.join(data.deviations)}; add --subset to analyze these data anyway")
    return data


def to_dataset_record(data: DataReport) -> DatasetRecord:
    """Return the data in the form of the record."""
    return DatasetRecord(
        fingerprint=data.fingerprint,
        splits=dict(data.splits),
        deviations=list(data.deviations),
        options=get_data_options().as_dict(),
    )
