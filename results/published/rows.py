"""The published rows: what a source printed, where it was read, and which protocol of ours it is, if any."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from foundation.errors import RecordError
from results.records.record import FiniteFloat, StrictModel, format_validation_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PUBLISHED_DIR = Path(__file__).parent

NON_EMPTY = Field(min_length=1)


class PublishedSource(StrictModel):
    """Who printed the numbers of a file, what kind of text that is, and where it was read."""

    title: str = NON_EMPTY
    kind: Literal["authors' repository", "authors' table", "abstract", "re-run", "list", "claim"]
    location: str = NON_EMPTY


class Tolerance(StrictModel):
    """How far a reproduction may be off, in the metric's unit, and where that comes from."""

    value: FiniteFloat = Field(gt=0)
    basis: str = NON_EMPTY


class PublishedResult(StrictModel):
    """One printed number.

    Attributes:
        source: the file's name without its ending.
        page: where in the source, if the source has several.
        backbone: a card's name, or with ``external`` what the source calls it.
        protocol: the protocol of ours that has the same head and schedule; ``None`` where none does.
        init: how a run of ours has to start; ``other``: from weights that no card names.
        settings: what a run's recipe has to say, by dotted key, for the schedule to be the source's.
        superseded_by: the source that corrects this number.
    """

    source: str = NON_EMPTY
    source_info: PublishedSource
    backbone: str = NON_EMPTY
    external: bool = False
    task: str = NON_EMPTY
    protocol: str | None = None
    head: str = NON_EMPTY
    schedule: str = NON_EMPTY
    start: str = NON_EMPTY
    init: Literal["random", "card", "other"] | None = None
    metric: str = NON_EMPTY
    unit: str = "%"
    value: FiniteFloat
    tolerance: Tolerance | None = None
    page: str = ""
    remark: str = ""
    superseded_by: str = ""
    settings: dict[str, bool | int | float | str] = Field(default={})

    @property
    def citation(self) -> str:
        """Where the number was read."""
        return f"{self.source_info.location}, {self.page}" if self.page else self.source_info.location

    @model_validator(mode="after")
    def _check_comparable_fields(self) -> PublishedResult:
        if self.protocol is not None:
            if self.external:
                raise ValueError("an external backbone has no protocol of ours")
            for name in ("init", "tolerance", "settings"):
                if not getattr(self, name):
                    raise ValueError(f"a row with a protocol of ours needs its {name}")
        return self


class _PublishedFile(StrictModel):
    source: PublishedSource
    tolerance: Tolerance | None = None
    defaults: dict[str, Any] = Field(default={})
    rows: list[dict[str, Any]] = Field(min_length=1)


def read_published(folder: Path | None = None) -> tuple[PublishedResult, ...]:
    """All published rows, by source and in the order of each file.

    Args:
        folder: where the TOML files are; bench's own when not given.

    Raises:
        RecordError: listing every fault of every file.
    """
    return _read_published_files(folder or PUBLISHED_DIR)


@lru_cache(maxsize=4)
def _read_published_files(folder: Path) -> tuple[PublishedResult, ...]:
    rows: list[PublishedResult] = []
    faults: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            file = _PublishedFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:  # pydantic's and tomllib's faults are ValueErrors
            what = format_validation_errors(error) if isinstance(error, ValidationError) else str(error)
            faults.append(f"{path.name}: {what}")
            continue
        for number, content in enumerate(file.rows, 1):
            shared = {"source": path.stem, "source_info": file.source, "tolerance": file.tolerance, **file.defaults}
            try:
                rows.append(PublishedResult.model_validate({**shared, **content}))
            except ValidationError as error:
                faults.append(f"{path.name}, row {number}: {format_validation_errors(error)}")
    faults += _find_contradictions(rows)
    if faults:
        raise RecordError(f"published rows do not hold: {'; '.join(faults)}")
    return tuple(rows)


def _find_contradictions(rows: Sequence[PublishedResult]) -> list[str]:
    """Two rows for one cell of ours, and corrections that are not there."""
    faults = []
    sources = {row.source for row in rows}
    seen: dict[tuple[object, ...], str] = {}
    for row in rows:
        if row.superseded_by:
            if row.superseded_by not in sources:
                faults.append(
                    f"{row.source}: {row.backbone} is superseded by {row.superseded_by!r}, which is no source"
                )
        elif row.protocol is not None:
            cell = (
                row.task,
                row.protocol,
                row.backbone,
                row.init,
                row.start,
                row.metric,
                _freeze_settings(row.settings),
            )
            if cell in seen:
                faults.append(f"{row.source}: {row.backbone} on {row.task} stands in {seen[cell]} too")
            seen[cell] = row.source
    return faults


def _freeze_settings(settings: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(settings.items()))
