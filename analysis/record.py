"""The record of an analysis: one strict, versioned JSON, as a run's is. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from foundation.errors import RecordError
from results.records.identity import compute_digest
from results.records.record import (
    BackboneRecord,
    DatasetRecord,
    RunEnvironment,
    Sha256,
    StrictModel,
    format_validation_errors,
)

ANALYSIS_SCHEMA_VERSION = 1
ANALYSIS_FILE = "analysis.json"
"""Not ``record.json``: an analysis is no row of a leaderboard."""

AnalysisKind = Literal["cka", "attention", "layers", "data-scale", "spectrum", "pca", "neighbours"]


class ImageSource(StrictModel):
    """The images that were looked at: task, split, how many, and how they were made into pixels, by backbone."""

    task: str
    split: str
    images: int
    dataset: DatasetRecord
    preprocessing: list[dict[str, Any]]


class Analysis(StrictModel):
    """One analysis as done.

    Attributes:
        analysis_id: digest of everything that can change a number.
        kind: which analysis.
        method_version: version of its method.
        backbones: in the order they were named, with the hashes and load reports of their checkpoints.
        data: the images; ``None`` where it is made of runs alone.
        settings: as resolved.
        numbers: what was found; also in the CSV files.
        runs: ids of the runs it is made of; their records are in the store.
        files: hash of each file beside the record.
        seconds: it took, runs included.
    """

    schema_version: Literal[1] = 1
    analysis_id: str
    kind: AnalysisKind
    method_version: int
    backbones: list[BackboneRecord]
    data: ImageSource | None
    settings: dict[str, Any]
    numbers: dict[str, Any]
    runs: list[str] = Field(default_factory=list)
    files: dict[str, Sha256]
    seconds: float
    where: RunEnvironment


def make_analysis_id(kind: AnalysisKind, method_version: int, ingredients: dict[str, Any]) -> str:
    """The id of an analysis: 16 hexadecimal digits over all that can change a number."""
    return compute_digest({"what": kind, "method": method_version, **ingredients})


def dump_analysis(analysis: Analysis) -> str:
    """As JSON text.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(analysis.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_analysis(folder: Path) -> Analysis:
    """The analysis in a folder.

    Raises:
        RecordError: missing, unreadable, a newer schema, or not an analysis; one sentence.
    """
    path = folder / ANALYSIS_FILE
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {error}; run the analysis anew with --fresh") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > ANALYSIS_SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version}, this bench reads up to {ANALYSIS_SCHEMA_VERSION}; update bench"
        )
    try:
        return Analysis.model_validate_json(text)
    except ValidationError as error:
        raise RecordError(f"{path} does not hold as an analysis: {format_validation_errors(error)}") from error
