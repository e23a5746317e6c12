"""``bench score`` for tracking sets: from result folders to text and data."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from foundation.environment import resolve_data_root
from foundation.errors import ConfigError, UserError
from foundation.files import ensure_writable_dir, write_atomic
from tracking.scoring.report import format_scores, scores_to_dict
from tracking.scoring.results import derive_tracker_names, read_tracker_results
from tracking.scoring.score import TrackerScore, score_tracker
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.scoring.submission import SERVER_TEST_SETS, pack_submission


class TrackingScoreReport(NamedTuple):
    """What a scorer gives the command line: plain data for JSON, and the same for people."""

    data: dict[str, Any]
    text: str


def run_score_command(options: Namespace) -> TrackingScoreReport:
    """Score one or several trackers; writes the JSON to ``--out`` and plots to ``--plots`` where asked.

    Raises:
        UserError: options, ground truth or results that cannot be used; nothing is written.
        IncompleteError: a tracker lacks sequences, and ``--partial`` is not given.
    """
    test_set = PUBLIC_TEST_SETS[options.set]
    rules = replace(test_set.select_rules(options.rules), truncate_to_integers=options.int)
    names = derive_tracker_names(options.results)
    loaded = test_set.load_ground_truth(resolve_data_root(options.data_root), options.partial)
    scores: list[TrackerScore] = []
    for name, folder in zip(names, options.results, strict=True):
        results = read_tracker_results(
            folder, loaded.ground_truths, test_set.truncated_sequences, test_set.has_repetitions
        )
        one = score_tracker(
            name, results.boxes, loaded.ground_truths, rules,
            partial=options.partial, sequence_names=loaded.sequence_names,
            expected_sequences=test_set.expected_sequences, deviations=loaded.deviations, notes=results.notes,
        )  # fmt: skip
        scores.append(one)
    data = scores_to_dict(test_set.title, scores)
    text = format_scores(test_set.title, scores, options.by)
    if options.plots:
        from tracking.scoring.plots import draw_score_plots

        ensure_writable_dir(options.plots)
        data["plots"] = [str(path) for path in draw_score_plots(options.plots, test_set.title, scores)]
        text += f"\n\nplots in {options.plots}: {', '.join(Path(path).name for path in data['plots'])}"
    if options.out:
        _require_writable_file(options.out)
        write_atomic(options.out, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return TrackingScoreReport(data, text)


def run_submission_command(options: Namespace) -> TrackingScoreReport:
    """Pack one tracker's results for a test server into the archive ``--out``.

    Raises:
        UserError: an option that has no meaning here, no ``--out``, or results that are damaged.
        IncompleteError: results that are not whole; a server set has no ``--partial``.
    """
    idle = [name for name in ("partial", "int", "plots", "rules", "by") if getattr(options, name)]
    if idle:
        raise ConfigError(f"--{idle[0]} has no meaning for {options.set}: its server scores, bench packs the archive")
    if len(options.results) != 1:
        raise UserError(f"an archive for {options.set} holds one tracker; name one folder after --results")
    if options.out is None or options.out.suffix != ".zip":
        raise UserError(f"the ground truth of {options.set} is withheld; name the archive to write: --out FILE.zip")
    derive_tracker_names(options.results)
    _require_writable_file(options.out)
    packed = pack_submission(
        SERVER_TEST_SETS[options.set], resolve_data_root(options.data_root), options.results[0], options.out
    )
    text = f"{options.out}: {packed['sequences']} sequences, {packed['frames']:,} boxes; upload it to the server\n"
    return TrackingScoreReport(packed, text)


def _require_writable_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    ensure_writable_dir(path.parent)
