"""What is written beside an exported model: what it is, whose weights it holds, and the hashes of its files.

A task adds its own fields (sizes of its inputs, its parity) in a subclass of ``ExportManifest``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime, Precision, list_graph_files
from engine.recipe import StrictConfig
from foundation.files import sha256_file
from results.records.record import Record

MANIFEST_FILENAME = "manifest.json"
_VERSION_1_CALIBRATION_FIELDS = {"kept": "float_parts", "pairs": "samples"}


class Calibration(StrictConfig):
    """Where the ranges of int8 come from.

    Attributes:
        source: what was shown to the network, in words.
        fingerprint: SHA-256 of that data.
        samples: how many inputs of the network.
        seed: by which they were chosen.
        method: how ranges become scales.
        float_parts: what stays in f32.
    """

    source: str
    fingerprint: str
    samples: int
    seed: int
    method: str
    float_parts: str


class ExportOrigin(StrictConfig):
    """Whose weights they are; ``licence`` is what the weights the run started from demand, as far as known."""

    run_id: str | None
    backbone: str
    task: str
    protocol: str
    checkpoint_sha256: str
    licence: str


class ExportManifest(StrictConfig):
    """What every exported model says of itself.

    Attributes:
        schema_version: version 1 had other names for some fields; it is upgraded when it is read.
        format: of the files.
        runtime: what computes.
        precision: what it computes in; the runtime takes it, or loading fails.
        origin: whose weights they are.
        files: SHA-256 of each file by its name.
        versions: of the packages that exported it.
        calibration: of int8, else ``None``.
        created: when, in UTC.
    """

    schema_version: Literal[2] = 2
    format: ExportFormat
    runtime: ExportRuntime
    precision: Precision
    origin: ExportOrigin
    files: dict[str, str]
    versions: dict[str, str]
    calibration: Calibration | None
    created: str

    def list_graph_names(self) -> tuple[str, ...]:
        """The graphs that the export must have; each task's manifest says which."""
        raise NotImplementedError

    @classmethod
    def upgrade_version_1(cls, content: dict[str, Any]) -> dict[str, Any]:
        """A manifest of version 1 under the names of today; a task's manifest renames its own fields too."""
        if isinstance(calibration := content.get("calibration"), Mapping):
            renamed = {_VERSION_1_CALIBRATION_FIELDS.get(key, key): value for key, value in calibration.items()}
            content = {**content, "calibration": renamed}
        return {**content, "schema_version": 2}

    @model_validator(mode="before")
    @classmethod
    def _upgrade_older_version(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and content.get("schema_version") == 1:
            return cls.upgrade_version_1(dict(content))
        return content

    @model_validator(mode="after")
    def _check_consistency(self) -> ExportManifest:
        graphs = self.list_graph_names()
        if self.runtime != RUNTIME_BY_FORMAT[self.format]:
            raise ValueError(f"the format {self.format} is not for {self.runtime}")
        if set(self.files) != set(list_graph_files(graphs, self.format)):
            raise ValueError(f"the files are not those of {' and '.join(graphs)} in the format {self.format}")
        return self


def make_export_origin(record: Record, weights_file: Path) -> ExportOrigin:
    """Whose weights a file of a finished run holds."""
    return ExportOrigin(
        run_id=record.run_id,
        backbone=record.backbone.name,
        task=record.task,
        protocol=record.protocol,
        checkpoint_sha256=sha256_file(weights_file),
        licence=describe_license(record),
    )


def describe_license(record: Record) -> str:
    """What the start weights demand of whoever passes the export on, as far as the record knows."""
    backbone = record.backbone
    if backbone.init == "random":
        return "of the start weights: none, the run started at random"
    if backbone.init == "card":
        return f"of the start weights: {(backbone.card['weights'] or {}).get('licence', 'unknown')}"
    source = backbone.checkpoint.uri if backbone.checkpoint else "a file"
    return f"of the start weights: unknown; they came from {Path(source).name}, whose terms hold"
