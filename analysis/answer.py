"""Answer a request for an analysis from a stored record, or compute the analysis and write a new record."""

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
"""Maximum characters that backbone names take of a folder name; file systems allow 255 in total."""


class AnalysisOutput(NamedTuple):
    """Results of an analysis: numbers as plain data, and file contents by file name."""

    numbers: Mapping[str, Any]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class AnalysisQuestion:
    """A resolved request: everything that determines the result, and what else the record needs.

    Attributes:
        method_version: version of the analysis method; part of the id.
        settings: all choices of the user that can change the result; part of the id and of the record.
        identity_fields: everything else that can change the result (backbones, data, runs), as plain data.
        backbone_names: names used in the folder name.
        describe_backbones: returns the backbones in the form of the record. It is called after the computation,
            because load reports exist only then.
        image_source: the analyzed images; ``None`` when the analysis uses only runs.
        run_ids: ids of the runs that the analysis uses.
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
    """Return the stored analysis that answers the question, or compute and store it.

    The id is a digest of the question, so a stored answer to a different question is never returned.

    Args:
        request: the request, which gives the kind of analysis, the task, the store and the device.
        question: the resolved request.
        compute: computes the analysis; called only when no record exists or ``request.force_new`` is set.

    Raises:
        UserError: the store or the device cannot be used.
        RecordError: the stored record is invalid, or one of its files was changed.
    """
    analysis_id = make_analysis_id(
        request.kind, question.method_version, {"settings": dict(question.settings), **question.identity_fields}
    )
    start_time = time.monotonic()

    def make() -> NewAnalysis:
        # collected before the computation, so that its time stamp is the start time
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
            files={},  # load_or_compute adds the hashes when it writes the files
            seconds=time.monotonic() - start_time,
            environment=environment.model_copy(update={"finished": utc_now()}),
        )
        return NewAnalysis(analysis, output.files)

    # timm names contain slashes ("timm/vit_tiny"), which would create nested folders
    names = "-".join(name.replace("/", "_") for name in question.backbone_names)[:MAX_NAME_LENGTH]
    folder_name = f"{request.kind}-{names}-{request.task.name}"
    return load_or_compute(request.out, folder_name, analysis_id, make, request.force_new)
