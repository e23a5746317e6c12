"""The manifest of an exported model: what it is, whose weights it holds, and the hashes of its files.

Each task adds its own fields (input sizes, parity) in a subclass of ``ExportManifest``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from backbones.card import BackboneCard
from deployment.formats import RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime, list_graph_files
from engine.evaluation.model_source import Precision
from engine.recipe import StrictConfig
from foundation.files import sha256_file
from results.records.record import Record

MANIFEST_FILENAME = "manifest.json"
# name in version 1: name today
_VERSION_1_CALIBRATION_FIELDS = {"kept": "float_parts", "pairs": "samples"}


class Calibration(StrictConfig):
    """Where the ranges of int8 activations come from.

    Attributes:
        source: the data that was shown to the network, in words.
        fingerprint: SHA-256 of that data.
        samples: number of inputs.
        seed: seed with which they were chosen.
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
    """The run whose weights were exported.

    Attributes:
        run_id: id of the run.
        backbone: name of the backbone.
        task: name of the task.
        protocol: name of the protocol.
        checkpoint_sha256: SHA-256 of the weights file.
        licence: the licence of the weights that the run started from, as far as known.
    """

    run_id: str | None
    backbone: str
    task: str
    protocol: str
    checkpoint_sha256: str
    licence: str


class ExportManifest(StrictConfig):
    """The manifest that every exported model has.

    Attributes:
        schema_version: version of the format. Version 1 had other names for some fields and is upgraded when it is
            read.
        format: format of the files.
        runtime: runtime that the files are for.
        precision: precision of the computation; loading fails if the runtime uses another one.
        origin: the run whose weights were exported.
        files: SHA-256 of each file by its name.
        versions: versions of the packages that exported it.
        calibration: calibration of int8, else ``None``.
        created: time of the export, in UTC.
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
        """Return the names of the graphs that the export must have. Each task's manifest defines them."""
        raise NotImplementedError

    @classmethod
    def upgrade_version_1(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a version 1 manifest with the present names.

        The manifest of a task also renames its own fields.

        Args:
            content: the content of the manifest, as plain data.
        """
        if isinstance(calibration := content.get("calibration"), Mapping):
            renamed = {_VERSION_1_CALIBRATION_FIELDS.get(key, key): value for key, value in calibration.items()}
            content = {**content, "calibration": renamed}
        return {**content, "schema_version": 2}

    @model_validator(mode="before")
    @classmethod
    def _upgrade_older_version(cls, content: Any) -> Any:
        # exports are files that users keep, so older ones must remain readable
        if isinstance(content, Mapping) and content.get("schema_version") == 1:
            return cls.upgrade_version_1(dict(content))
        return content

    @model_validator(mode="after")
    def _check_consistency(self) -> ExportManifest:
        graphs = self.list_graph_names()
        if self.runtime != RUNTIME_BY_FORMAT[self.format]:
            raise ValueError(f"the format {self.format} is not that of the runtime {self.runtime}")
        # the manifest and not the folder decides which files are loaded, so it must list all of them and no others
        if set(self.files) != set(list_graph_files(graphs, self.format)):
            raise ValueError(f"the files are not those of {' and '.join(graphs)} in the format {self.format}")
        return self


def make_export_origin(record: Record, weights_file: Path) -> ExportOrigin:
    """Return the origin of an export.

    Args:
        record: record of the finished run.
        weights_file: the run's weights file that is exported.
    """
    return ExportOrigin(
        run_id=record.run_id,
        backbone=record.backbone.name,
        task=record.task,
        protocol=record.protocol,
        checkpoint_sha256=sha256_file(weights_file),
        licence=describe_license(record),
    )


def describe_license(record: Record) -> str:
    """Return the licence of the start weights in words, as far as the record knows it.

    Args:
        record: record of the run.
    """
    backbone = record.backbone
    if backbone.init == "random":
        return "of the start weights: none, the run started at random"
    # the spelling of the key is that of the cards
    if backbone.init == "card":
        return f"of the start weights: {(backbone.card['weights'] or {}).get('licence', 'unknown')}"
    # only the name of the file: the path would say something about the machine
    source = backbone.checkpoint.uri if backbone.checkpoint else "a file"
    return f"of the start weights: unknown; they came from {Path(source).name}, whose terms hold"


def describe_card_license(card: BackboneCard, has_own_weights: bool, weights_file: Path) -> str:
    """Return the licence of the weights of a model that bench did not train.

    Args:
        card: the card of the backbone.
        has_own_weights: whether the weights are those of the card.
        weights_file: the file that they came from.
    """
    if has_own_weights and card.weights is not None:
        return f"of the weights: {card.weights.licence or 'unknown'}"
    # only the name of the file: the path would say something about the machine
    return f"of the weights: unknown; they came from {weights_file.name}, whose terms hold"
