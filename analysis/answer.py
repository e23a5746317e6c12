"""An analysis answered: from its record where there is one, else computed, drawn and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from analysis.record import Analysis, ImageSource, make_analysis_id
from analysis.request import AnalysisRequest
from analysis.store import NewAnalysis, StoredAnalysis, load_or_compute
from engine.device import resolve_device
from engine.run_environment import collect_run_environment, utc_now
from results.records.record import BackboneRecord

MAX_NAME_LENGTH = 120
"""Characters of the backbones' names in a folder's name; file systems allow 255 for the whole."""


class AnalysisOutput(NamedTuple):
    """What an analysis gives: numbers as plain data, and files by name."""

    numbers: Mapping[str, Any]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class AnalysisQuestion:
    """A request as resolved: what decides the answer, and what the record says beside it.

    Attributes:
        method_version: version of the analysis's method.
        settings: everything the user chose that can change what comes out; also in the record.
        identity_fields: what beside the settings can change it (backbones, data, runs), as plain data.
        backbone_names: for the folder's name.
        describe_backbones: the backbones as records have them, asked when all is computed: load reports are known then.
        image_source: the images looked at; ``None`` where the analysis is made of runs alone.
        run_ids: of the runs it is made of.
    """

    method_version: int
    settings: Mapping[str, Any]
    identity_fields: Mapping[str, Any]
    backbone_names: tuple[str, ...]
    describe_backbones: Callable[[], list[BackboneRecord]]
    image_source: ImageSource | None = None
    run_ids: tuple[str, ...] = ()


def answer_question(
    request: AnalysisRequest, question: AnalysisQuestion, compute: Callable[[], AnalysisOutput]
) -> StoredAnalysis:
    """Answer from the record, or compute and write one.

    The id is a digest of the question, so an answer to another question is never given.

    Args:
        request: gives kind, task, store and device.
        question: what is asked.
        compute: does the analysis.

    Raises:
        UserError: the store or the device cannot be used.
        RecordError: the record there does not hold.
    """
    analysis_id = make_analysis_id(
        request.kind, question.method_version, {"settings": dict(question.settings), **question.identity_fields}
    )
    start_time = time.monotonic()

    def make() -> NewAnalysis:
        # Taken first: its time stamp is that of the beginning
        environment = collect_run_environment(resolve_device(request.device), "fp32", list(request.command_line))
        output = compute()
        analysis = Analysis(
            analysis_id=analysis_id,
            kind=request.kind,
            method_version=question.method_version,
            backbones=question.describe_backbones(),
            data=question.image_source,
            settings=dict(question.settings),
            numbers=dict(output.numbers),
            runs=list(question.run_ids),
            files={},  # their hashes come when they are written
            seconds=time.monotonic() - start_time,
            environment=environment.model_copy(update={"finished": utc_now()}),
        )
        return NewAnalysis(analysis, output.files)

    names = "-".join(name.replace("/", "_") for name in question.backbone_names)[:MAX_NAME_LENGTH]
    folder_name = f"{request.kind}-{names}-{request.task.name}"
    return load_or_compute(request.out, folder_name, analysis_id, make, request.force_new)
