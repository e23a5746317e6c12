"""The record of an analysis: a strict, versioned JSON file like the record of a run. Does not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from analysis.request import AnalysisKind
from foundation.errors import RecordError
from foundation.storage.regular_files import read_regular
from results.records.identity import compute_digest
from results.records.measurements import Count, RunEnvironment
from results.records.record import BackboneRecord, DatasetRecord, Sha256
from results.records.schema_upgrade import rename_keys, upgrade_backbone
from results.records.strict_model import (
    FileName,
    FiniteFloat,
    Integer,
    Name,
    PlainSettings,
    StrictModel,
    format_validation_errors,
    load_json,
)

ANALYSIS_SCHEMA_VERSION = 2
"""1: the first schema. 2: some fields renamed; ``upgrade_analysis`` reads older analyses under the new names."""

ANALYSIS_FILE = "analysis.json"
"""Not ``record.json``, because the leaderboard collects every file of that name and an analysis is not a run."""


MAX_ANALYSIS_BYTES = 64_000_000
"""A larger file is no record of an analysis: the similarity of all layers of two networks has some megabytes."""


class ImageSource(StrictModel):
    """The analyzed images: task, split, number of images, data set, and the preprocessing for each backbone."""

    task: Name
    split: Name
    images: Count
    dataset: DatasetRecord
    preprocessing: list[PlainSettings]

    def to_identity(self) -> dict[str, Any]:
        """Return the part of an analysis id that describes the images, under the key names of schema version 1.

        The key names are part of the digest. With the present names every id would change, and stored analyses would
        not be found any more.
        """
        data = self.dataset
        seen = {"fingerprint": data.fingerprint, "splits": data.splits, "departures": data.deviations}
        return {**self.model_dump(mode="json", exclude={"dataset"}), "seen": seen}


class Analysis(StrictModel):
    """The record of one finished analysis.

    Attributes:
        analysis_id: digest of everything that can change a number.
        kind: which analysis.
        method_version: version of the analysis method.
        backbones: the backbones in the order of the command line, with hashes and load reports of their checkpoints.
        data: the analyzed images; ``None`` when the analysis uses only runs.
        settings: the resolved settings.
        numbers: the results; the CSV files contain the same values.
        runs: ids of the runs that the analysis uses; their records are in the store.
        files: SHA-256 of each file next to the record, by file name.
        seconds: time to compute and draw the analysis, in seconds, without the runs (their records have their own).
        environment: machine, software versions and command line.
    """

    schema_version: Literal[1, 2] = 2
    analysis_id: Name = Field(min_length=1)
    kind: AnalysisKind
    method_version: Integer
    backbones: list[BackboneRecord]
    data: ImageSource | None
    settings: PlainSettings
    numbers: PlainSettings
    runs: list[Name] = Field(default_factory=list)
    files: dict[FileName, Sha256]
    seconds: FiniteFloat
    environment: RunEnvironment

    @property
    def title(self) -> str:
        """One line that names the analysis, the backbones and the images."""
        names = " and ".join(f"{each.name} ({each.init})" for each in self.backbones)
        images = f" on {self.data.images} images of {self.data.task} {self.data.split}" if self.data else ""
        return f"{self.kind}: {names}{images}"


def make_analysis_id(kind: AnalysisKind, method_version: int, ingredients: dict[str, Any]) -> str:
    """Return the id of an analysis: a digest of 16 hexadecimal digits over everything that can change a number.

    Args:
        kind: which analysis.
        method_version: version of the analysis method.
        ingredients: settings, backbones, data and runs as plain data.
    """
    # "what" and "method" are the key names of schema version 1; new names would change the id of stored analyses
    return compute_digest({"what": kind, "method": method_version, **ingredients})


def dump_analysis(analysis: Analysis) -> str:
    """Return the record as JSON text.

    Raises:
        ValueError: a number is not finite.
    """
    # JSON has no NaN or infinity; Python would write them as words that other readers refuse
    return json.dumps(analysis.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def upgrade_analysis(content: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the fields of an analysis from schema version 1 to version 2; its version number and id do not change.

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

    A field in an unexpected place is not changed, so the validation that follows reports it.

    Args:
        content: the JSON of the record as plain data.
    """
    names = {"what": "kind", "method": "method_version", "where": "environment"}
    upgraded: dict[str, Any] = rename_keys(content, names)
    # isinstance and not a direct access: a damaged record must reach validation instead of failing here
    if isinstance(upgraded.get("data"), Mapping):
        data: dict[str, Any] = rename_keys(upgraded["data"], {"seen": "dataset"})
        upgraded["data"] = {**data, "dataset": rename_keys(data.get("dataset"), {"departures": "deviations"})}
    if isinstance(upgraded.get("backbones"), list):
        upgraded["backbones"] = [upgrade_backbone(each) for each in upgraded["backbones"]]
    return upgraded


def read_analysis(folder: Path) -> Analysis:
    """Read the analysis in a folder; fields of an earlier schema get their present names.

    Raises:
        RecordError: the record is missing, unreadable, of a newer schema, or not a valid analysis.
    """
    path = folder / ANALYSIS_FILE
    try:
        text = read_regular(path, MAX_ANALYSIS_BYTES).decode("utf-8")
        content = load_json(text)
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {error}; run the analysis again with --fresh") from error
    # checked before validation, which would report unknown fields instead of the reason
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > ANALYSIS_SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version}, this bench reads up to {ANALYSIS_SCHEMA_VERSION}; update bench"
        )
    # Back to JSON text: strict pydantic validation accepts ISO dates and the like in JSON, not in Python objects
    if version == 1:
        text = json.dumps(upgrade_analysis(content))
    try:
        return Analysis.model_validate_json(text)
    except ValidationError as error:
        raise RecordError(f"{path} is not a valid analysis: {format_validation_errors(error)}") from error
