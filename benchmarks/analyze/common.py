"""What the analyses of images share: backbones and images settled, the record answered from or written."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from analysis.backbone_spec import Subject, subject
from analysis.image_subset import Sample, draw
from analysis.record import Analysis, Looked, What, identify
from analysis.store import Kept, Made, kept_or_made
from benchmarks.task_registry import TASKS
from engine.device import resolve_device, world
from engine.run_environment import describe_run
from engine.task import DataReport, Task
from engine.training import make_deterministic
from foundation.environment import data_root
from foundation.errors import DataError, UserError
from results.records.record import Data


class Found(NamedTuple):
    """What an analysis gives: numbers as plain data, and files by name."""

    numbers: Mapping[str, Any]
    files: Mapping[str, bytes]


class Setting(NamedTuple):
    """Backbones, each with its sample of the same images, and the device."""

    subjects: list[Subject]
    samples: list[Sample]
    looked: Looked
    device: str

    @property
    def caption(self) -> str:
        """What was looked at, for titles."""
        short = " (not the official set whole)" if self.looked.seen.departures else ""
        return f"{self.looked.images} images of {self.looked.task} {self.looked.split}{short}"


def settle(
    options: Namespace, chosen: Sequence[tuple[str, str | None]], least: int = 1, count: int | None = None
) -> Setting:
    """Find backbones, weights and images; everything that can be wrong with the request is said here.

    Args:
        options: of the command line.
        chosen: backbones and checkpoints.
        least: images the analysis needs.
        count: images asked for; ``None`` for the default.

    Raises:
        UserError: a name, weights, images or a device that are not there.
        DataError: data that are not whole, or not the official set without ``--subset``.
    """
    if world()[1] > 1:
        raise UserError(f"bench analyze runs in one process, not {world()[1]}; start it without torchrun")
    subjects = [
        subject(name, checkpoint, options.img_size, options.seed, options.allow_partial) for name, checkpoint in chosen
    ]
    task, data = checked_data(options.data, options)
    root = data_root(options.data_root)
    items = [task.images(root, options.split, one.card, one.img_size) for one in subjects]
    samples = [draw(each, count, least) for each in items]
    looked = Looked(
        task=task.name,
        split=options.split,
        images=len(samples[0]),
        seen=as_record(data),
        preprocessing=[each.preprocessing() for each in items],
    )
    device = resolve_device(options.device)
    make_deterministic()
    return Setting(subjects, samples, looked, device)


def checked_data(name: str, options: Namespace) -> tuple[Task, DataReport]:
    """A task and what its data are, if they may be looked at.

    Raises:
        DataError: not the official set whole, without ``--subset``.
    """
    task = TASKS.get(name)
    data = task.check_data(data_root(options.data_root))
    if data.departures and not options.subset:
        raise DataError(f"{task.name}: {'; '.join(data.departures)}; add --subset to look at such data")
    return task, data


def as_record(data: DataReport) -> Data:
    """The data as records have them."""
    return Data(fingerprint=data.fingerprint, splits=dict(data.splits), departures=list(data.departures))


def answer(
    options: Namespace,
    what: What,
    method: int,
    setting: Setting,
    settings: Mapping[str, Any],
    look: Callable[[], Found],
) -> Kept:
    """Answer from the record, or look and write one.

    Args:
        options: of the command line.
        what: which analysis.
        method: version of its method.
        setting: backbones and images.
        settings: everything else that can change what comes out.
        look: does the analysis.
    """
    ingredients = {
        "backbones": [one.identity() for one in setting.subjects],
        "data": setting.looked.model_dump(mode="json"),
        "settings": dict(settings),
    }
    analysis_id = identify(what, method, ingredients)
    began = time.monotonic()

    def make() -> Made:
        where = describe_run(setting.device, "fp32", list(options.command_line))
        found = look()
        analysis = Analysis(
            analysis_id=analysis_id,
            what=what,
            method=method,
            backbones=[one.describe() for one in setting.subjects],
            data=setting.looked,
            settings=dict(settings),
            numbers=dict(found.numbers),
            files={},
            seconds=time.monotonic() - began,
            where=finished(where),
        )
        return Made(analysis, found.files)

    names = "-".join(one.card.name.replace("/", "_") for one in setting.subjects)
    return kept_or_made(options.out, f"{what}-{names}-{setting.looked.task}", analysis_id, make, options.fresh)


def finished(where: Any) -> Any:
    """The ``where`` block with its end."""
    from engine.run_environment import utc_now

    return where.model_copy(update={"finished": utc_now()})
