"""What the analyses of images share: backbones and images settled, the record answered from or written."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from analysis.backbone_spec import BackboneSpec, resolve_backbone
from analysis.image_subset import ImageSubset, sample_images
from analysis.record import Analysis, AnalysisKind, ImageSource, make_analysis_id
from analysis.store import NewAnalysis, StoredAnalysis, load_or_compute
from benchmarks.task_registry import TASKS
from engine.device import get_dist_info, resolve_device
from engine.run_environment import collect_run_environment
from engine.task import DataReport, Task
from engine.training import make_deterministic
from foundation.environment import resolve_data_root
from foundation.errors import DataError, UserError
from results.records.record import DatasetRecord


class AnalysisOutput(NamedTuple):
    """What an analysis gives: numbers as plain data, and files by name."""

    numbers: Mapping[str, Any]
    files: Mapping[str, bytes]


class AnalysisInputs(NamedTuple):
    """Backbones, each with its sample of the same images, and the device."""

    backbones: list[BackboneSpec]
    subsets: list[ImageSubset]
    image_source: ImageSource
    device: str

    @property
    def caption(self) -> str:
        """What was looked at, for titles."""
        short = " (not the official set whole)" if self.image_source.dataset.deviations else ""
        return f"{self.image_source.images} images of {self.image_source.task} {self.image_source.split}{short}"


def resolve_inputs(
    options: Namespace, backbones: Sequence[tuple[str, str | None]], min_images: int = 1, num_images: int | None = None
) -> AnalysisInputs:
    """Find backbones, weights and images; everything that can be wrong with the request is said here.

    Args:
        options: of the command line.
        backbones: backbones and checkpoints.
        min_images: images the analysis needs.
        num_images: images asked for; ``None`` for the default.

    Raises:
        UserError: a name, weights, images or a device that are not there.
        DataError: data that are not whole, or not the official set without ``--subset``.
    """
    if get_dist_info()[1] > 1:
        raise UserError(f"bench analyze runs in one process, not {get_dist_info()[1]}; start it without torchrun")
    subjects = [
        resolve_backbone(name, checkpoint, options.img_size, options.seed, options.allow_partial)
        for name, checkpoint in backbones
    ]
    task, data = check_task_data(options.data, options)
    root = resolve_data_root(options.data_root)
    items = [task.load_images(root, options.split, one.card, one.img_size) for one in subjects]
    samples = [sample_images(each, num_images, min_images) for each in items]
    looked = ImageSource(
        task=task.name,
        split=options.split,
        images=len(samples[0]),
        dataset=to_record_data(data),
        preprocessing=[each.get_preprocessing() for each in items],
    )
    device = resolve_device(options.device)
    make_deterministic()
    return AnalysisInputs(subjects, samples, looked, device)


def check_task_data(name: str, options: Namespace) -> tuple[Task, DataReport]:
    """A task and what its data are, if they may be looked at.

    Raises:
        DataError: not the official set whole, without ``--subset``.
    """
    task = TASKS.get(name)
    data = task.check_data(resolve_data_root(options.data_root))
    if data.deviations and not options.subset:
        raise DataError(f"{task.name}: {'; '.join(data.deviations)}; add --subset to look at such data")
    return task, data


def to_record_data(data: DataReport) -> DatasetRecord:
    """The data as records have them."""
    return DatasetRecord(fingerprint=data.fingerprint, splits=dict(data.splits), deviations=list(data.deviations))


def analyze_images(
    options: Namespace,
    kind: AnalysisKind,
    method_version: int,
    inputs: AnalysisInputs,
    settings: Mapping[str, Any],
    compute: Callable[[], AnalysisOutput],
) -> StoredAnalysis:
    """Answer from the record, or look and write one.

    Args:
        options: of the command line.
        kind: which analysis.
        method_version: version of its method.
        inputs: backbones and images.
        settings: everything else that can change what comes out.
        compute: does the analysis.
    """
    ingredients = {
        "backbones": [one.identity() for one in inputs.backbones],
        "data": inputs.image_source.model_dump(mode="json"),
        "settings": dict(settings),
    }
    analysis_id = make_analysis_id(kind, method_version, ingredients)
    began = time.monotonic()

    def make() -> NewAnalysis:
        where = collect_run_environment(inputs.device, "fp32", list(options.command_line))
        found = compute()
        analysis = Analysis(
            analysis_id=analysis_id,
            kind=kind,
            method_version=method_version,
            backbones=[one.to_record() for one in inputs.backbones],
            data=inputs.image_source,
            settings=dict(settings),
            numbers=dict(found.numbers),
            files={},
            seconds=time.monotonic() - began,
            where=stamp_finish_time(where),
        )
        return NewAnalysis(analysis, found.files)

    names = "-".join(one.card.name.replace("/", "_") for one in inputs.backbones)
    return load_or_compute(options.out, f"{kind}-{names}-{inputs.image_source.task}", analysis_id, make, options.fresh)


def stamp_finish_time(environment: Any) -> Any:
    """The ``environment`` block with its end."""
    from engine.run_environment import utc_now

    return environment.model_copy(update={"finished": utc_now()})
