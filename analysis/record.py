"""The record of an analysis: one strict, versioned JSON, as a run's is. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from analysis.request import AnalysisKind
from foundation.errors import RecordError
from results.records.identity import compute_digest
from results.records.record import (
    BackboneRecord,
    DatasetRecord,
    RunEnvironment,
    Sha256,
)
from results.records.schema_upgrade import rename_keys, upgrade_backbone
from results.records.strict_model import StrictModel, format_validation_errors

ANALYSIS_SCHEMA_VERSION = 2
"""1: the first schema. 2: other names for some fields; older analyses are read under them (``upgrade_analysis``)."""

ANALYSIS_FILE = "analysis.json"
"""Not ``record.json``: an analysis is not a row of a leaderboard."""


class ImageSource(StrictModel):
    """The images that were looked at: task, split, how many, and how they were made into pixels, by backbone."""

    task: str
    split: str
    images: int
    dataset: DatasetRecord
    preprocessing: list[dict[str, Any]]

    def to_identity(self) -> dict[str, Any]:
        """What an analysis's id takes of the images, under the key names of schema version 1.

        The names are part of the digest: with today's names every id would change, and no older analysis would be
        found again.
        """
        data = self.dataset
        seen = {"fingerprint": data.fingerprint, "splits": data.splits, "departures": data.deviations}
        return {**self.model_dump(mode="json", exclude={"dataset"}), "seen": seen}


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
        seconds: it took to compute and to draw; runs have their own time in their records.
        environment: where and how it was made.
    """

    schema_version: Literal[1, 2] = 2
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
    environment: RunEnvironment

    @property
    def title(self) -> str:
        """Which analysis of which backbones on which images, in one line."""
        names = " and ".join(f"{each.name} ({each.init})" for each in self.backbones)
        images = f" on {self.data.images} images of {self.data.task} {self.data.split}" if self.data else ""
        return f"{self.kind}: {names}{images}"


def make_analysis_id(kind: AnalysisKind, method_version: int, ingredients: dict[str, Any]) -> str:
    """The id of an analysis: 16 hexadecimal digits over all that can change a number.

    The keys ``what`` and ``method`` are those of schema version 1; they are part of the digest and stay.
    """
    return compute_digest({"what": kind, "method": method_version, **ingredients})


def dump_analysis(analysis: Analysis) -> str:
    """As JSON text.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(analysis.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def upgrade_analysis(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of an analysis of schema version 1 as version 2 has it; the version it says and its id stay.

    =====================  ================================
    version 1              version 2
    =====================  ================================
    ``what``               ``kind``
    ``method``             ``method_version``
    ``where``              ``environment``
    ``data.seen``          ``data.dataset``
    ``seen.departures``    ``dataset.deviations``
    ``load_report.share``  ``load_report.matched_fraction``
    =====================  ================================

    A field that is not where it should be is left alone: validation names it.

    Args:
        content: the record's JSON as plain data.
    """
    names = {"what": "kind", "method": "method_version", "where": "environment"}
    upgraded: dict[str, Any] = rename_keys(content, names)
    if isinstance(upgraded.get("data"), Mapping):
        data: dict[str, Any] = rename_keys(upgraded["data"], {"seen": "dataset"})
        upgraded["data"] = {**data, "dataset": rename_keys(data.get("dataset"), {"departures": "deviations"})}
    if isinstance(upgraded.get("backbones"), list):
        upgraded["backbones"] = [upgrade_backbone(each) for each in upgraded["backbones"]]
    return upgraded


def read_analysis(folder: Path) -> Analysis:
    """The analysis in a folder; one of an earlier schema under the names of today.

    Raises:
        RecordError: missing, unreadable, a newer schema, or not an analysis; one sentence.
    """
    path = folder / ANALYSIS_FILE
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {error}; run the analysis again with --fresh") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > ANALYSIS_SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version}, this bench reads up to {ANALYSIS_SCHEMA_VERSION}; update bench"
        )
    # As JSON text again: strict validation has other rules for Python objects than for JSON
    if version == 1:
        text = json.dumps(upgrade_analysis(content))
    try:
        return Analysis.model_validate_json(text)
    except ValidationError as error:
        raise RecordError(f"{path} is not a valid analysis: {format_validation_errors(error)}") from error
