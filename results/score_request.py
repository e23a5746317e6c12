"""The request that ``bench score`` passes to a scorer.

It imports nothing heavy, because the command line builds it before it knows which scorer is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ScoreGrouping = Literal["sequence", "category", "attribute"]


@dataclass(frozen=True)
class ScoreRequest:
    """Score result files against the ground truth of a test set.

    A scorer refuses options that have no meaning for its test set.

    Attributes:
        test_set: name of the test set, for example ``lasot`` or ``ade20k``.
        results: folders of result files, one for each network or tracker; of detections and classes one file.
        data_root: folder of the data sets; ``None`` means ``$BENCH_DATA``, or ``data`` if it is not set.
        rules: name of the scoring conventions; ``None`` means the official ones.
        partial: whether to score an incomplete set of results; the number is then marked as partial.
        truncate_to_integers: whether to truncate predicted boxes to integers before scoring.
        group_by: property by which the scores are also listed separately.
        plots_dir: folder for plots; ``None`` means no plots.
        out_file: file for the scores as JSON, or for the archive that an evaluation server takes.
        annotations: file of the ground truth, for detections; ``None`` means the one of the data set.
        data_options: how data of the user's own are laid out and labeled, by name; see ``DataOptions``.
    """

    test_set: str
    results: tuple[Path, ...]
    data_root: Path | None = None
    rules: str | None = None
    partial: bool = False
    truncate_to_integers: bool = False
    group_by: ScoreGrouping | None = None
    plots_dir: Path | None = None
    out_file: Path | None = None
    annotations: Path | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)

    def list_given_options(self) -> tuple[str, ...]:
        """Return the names of the given command-line options other than those for results, data and output."""
        # the names are those of the command line, because scorers quote them in error messages
        given = {
            "--partial": self.partial,
            "--int": self.truncate_to_integers,
            "--plots": self.plots_dir is not None,
            "--rules": self.rules is not None,
            "--by": self.group_by is not None,
            "--annotations": self.annotations is not None,
        }
        return tuple(option for option, is_given in given.items() if is_given)
