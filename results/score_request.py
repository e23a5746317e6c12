"""What ``bench score`` is asked to do, for every scorer. Imports nothing heavy: the command line builds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ScoreGrouping = Literal["sequence", "category", "attribute"]


@dataclass(frozen=True)
class ScoreRequest:
    """Score result files against a set's ground truth. A scorer refuses the options that have no meaning for its set.

    Attributes:
        test_set: the set, for example ``lasot`` or ``ade20k``.
        results: folders of result files, one for each network or tracker.
        data_root: where the ground truth is; ``None``: ``$BENCH_DATA``, else ``data``.
        rules: the scoring conventions by name; ``None``: the official ones.
        partial: score what is there, and mark the number as partial.
        truncate_to_integers: truncate predicted boxes to integers first.
        group_by: also print a break-down by this.
        plots_dir: folder to write plots into.
        out_file: where to write the scores as JSON, or the archive for a server.
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

    def list_given_options(self) -> tuple[str, ...]:
        """The options that were given beside the results, the data and the output, as the command line names them."""
        given = {
            "--partial": self.partial,
            "--int": self.truncate_to_integers,
            "--plots": self.plots_dir is not None,
            "--rules": self.rules is not None,
            "--by": self.group_by is not None,
        }
        return tuple(option for option, is_given in given.items() if is_given)
