"""Read the published rows: what a source printed, where it was read, and which protocol of bench it follows, if any."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from foundation.errors import RecordError
from results.records.strict_model import FiniteFloat, StrictModel, format_validation_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PUBLISHED_DIR = Path(__file__).parent

NON_EMPTY = Field(min_length=1)


class PublishedSource(StrictModel):
    """The source of the numbers in a file: its title, what kind of text it is, and where the numbers were read."""

    title: str = NON_EMPTY
    kind: Literal["authors' repository", "authors' table", "abstract", "re-run", "list", "claim"]
    location: str = NON_EMPTY


class Tolerance(StrictModel):
    """How far a reproduction may differ from the published number, in the metric's unit, and why that far."""

    value: FiniteFloat = Field(gt=0)
    basis: str = NON_EMPTY


class PublishedResult(StrictModel):
    """One published number.

    Attributes:
        source: name of the TOML file without its ending.
        source_info: the source that the file describes.
        backbone: name of a backbone card, or the source's own name for the backbone if ``external`` is set.
        external: whether bench has no card for the backbone.
        task: name of the task.
        protocol: the protocol of bench that has the same head and schedule, or ``None`` if there is none.
        head: the head, in the words of the source.
        schedule: the training schedule, in the words of the source.
        start: the weights from which the training started, in the words of the source.
        init: how a run of bench has to start to be comparable; ``other`` means from weights that no card has.
        metric: name of the metric.
        unit: unit of ``value`` and of the tolerance.
        value: the published number.
        tolerance: how far a reproduction may differ.
        page: page or section of the source, if it has several.
        remark: what else a reader of the number should know.
        superseded_by: the source that corrects this number.
        settings: values by dotted name that a run's recipe must have so that its schedule is that of the source.
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
        """Return where the number was read."""
        return f"{self.source_info.location}, {self.page}" if self.page else self.source_info.location

    @model_validator(mode="after")
    def _check_comparable_fields(self) -> PublishedResult:
        # without these fields a comparable row could match a run that differs from it, or could not be judged
        if self.protocol is not None:
            if self.external:
                raise ValueError("an external backbone cannot have a protocol of bench")
            for name in ("init", "tolerance", "settings"):
                if not getattr(self, name):
                    raise ValueError(f"a row with a protocol of bench needs its {name}")
        return self


class _PublishedFile(StrictModel):
    """One TOML file: its source, and rows that share the tolerance and the ``defaults`` unless they override them."""

    source: PublishedSource
    tolerance: Tolerance | None = None
    defaults: dict[str, Any] = Field(default={})
    rows: list[dict[str, Any]] = Field(min_length=1)


def read_published(folder: Path | None = None) -> tuple[PublishedResult, ...]:
    """Read all published rows, sorted by source and in the order of each file.

    Args:
        folder: folder with the TOML files; by default the ones that come with bench.

    Raises:
        RecordError: a file or a row is not valid. The message lists every fault of every file.
    """
    return _read_published_files(folder or PUBLISHED_DIR)


@lru_cache(maxsize=4)  # every board asks for the rows, which do not change while a process runs
def _read_published_files(folder: Path) -> tuple[PublishedResult, ...]:
    rows: list[PublishedResult] = []
    faults: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            file = _PublishedFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:  # the errors of pydantic and tomllib are subclasses of ValueError
            what = format_validation_errors(error) if isinstance(error, ValidationError) else str(error)
            faults.append(f"{path.name}: {what}")
            continue
        # rows are validated one by one, so that one faulty row does not hide the faults of the others
        for number, content in enumerate(file.rows, 1):
            # the row itself comes last below, so it overrides the defaults of its file
            shared = {"source": path.stem, "source_info": file.source, "tolerance": file.tolerance, **file.defaults}
            try:
                rows.append(PublishedResult.model_validate({**shared, **content}))
            except ValidationError as error:
                faults.append(f"{path.name}, row {number}: {format_validation_errors(error)}")
    faults += _find_contradictions(rows)
    if faults:
        raise RecordError(f"the published rows are not valid: {'; '.join(faults)}")
    return tuple(rows)


def _find_contradictions(rows: Sequence[PublishedResult]) -> list[str]:
    """Return the faults between rows: two numbers for one comparable run, and corrections by an unknown source."""
    faults = []
    sources = {row.source for row in rows}
    seen: dict[tuple[object, ...], str] = {}
    for row in rows:
        if row.superseded_by:
            if row.superseded_by not in sources:
                faults.append(
                    f"{row.source}: {row.backbone} is superseded by {row.superseded_by!r}, which is not a source"
                )
        elif row.protocol is not None:
            # everything that decides which run of bench the number is compared with
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
                faults.append(f"{row.source}: {row.backbone} on {row.task} is also in {seen[cell]}")
            seen[cell] = row.source
    return faults


def _freeze_settings(settings: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    # hashable, and independent of the order in which a file lists its settings
    return tuple(sorted(settings.items()))
