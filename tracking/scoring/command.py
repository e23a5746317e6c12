"""``bench score`` for tracking sets: from result folders to a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from foundation.environment import resolve_data_root
from foundation.errors import ConfigError, UserError
from foundation.files import ensure_writable_dir, write_atomic
from results.score_request import ScoreRequest
from tracking.scoring.report import format_scores, scores_to_dict
from tracking.scoring.results import derive_tracker_names, read_tracker_results
from tracking.scoring.score import TrackerScore, score_tracker
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.scoring.submission import SERVER_TEST_SETS, pack_submission


class TrackingScoreReport(NamedTuple):
    """The result of a scorer for the command line.

    Attributes:
        data: plain data for JSON.
        text: the same for people.
    """

    data: dict[str, Any]
    text: str


def score_tracking_set(request: ScoreRequest) -> TrackingScoreReport:
    """Score one or several trackers; write the JSON to ``out_file`` and plots to ``plots_dir`` if these are given.

    Args:
        request: test set, result folders and options.

    Raises:
        UserError: options, ground truth or results cannot be used; nothing is written.
        IncompleteError: a tracker lacks sequences and ``partial`` is off.
    """
    test_set = PUBLIC_TEST_SETS[request.test_set]
    # a flag of the rules, so that truncated scores are marked in every report
    rules = replace(test_set.select_rules(request.rules), truncate_to_integers=request.truncate_to_integers)
    names = derive_tracker_names(request.results)
    loaded = test_set.load_ground_truth(resolve_data_root(request.data_root), request.partial)
    scores: list[TrackerScore] = []
    # everything is scored before anything is written
    for name, folder in zip(names, request.results, strict=True):
        results = read_tracker_results(
            folder,
            loaded.ground_truths,
            test_set.truncated_sequences,
            test_set.has_repetitions,
            test_set.field_prefix,
        )
        one = score_tracker(
            name, results.boxes, loaded.ground_truths, rules,
            partial=request.partial, sequence_names=loaded.sequence_names,
            expected_sequences=test_set.expected_sequences, deviations=loaded.deviations, notes=results.notes,
        )  # fmt: skip
        scores.append(one)
    data = scores_to_dict(test_set.title, scores)
    text = format_scores(test_set.title, scores, request.group_by)
    if request.plots_dir:
        # matplotlib takes a second to import and is only needed here
        from tracking.scoring.plots import draw_score_plots

        ensure_writable_dir(request.plots_dir)
        data["plots"] = [str(path) for path in draw_score_plots(request.plots_dir, test_set.title, scores)]
        text += f"\n\nplots in {request.plots_dir}: {', '.join(Path(path).name for path in data['plots'])}"
    if request.out_file:
        _require_writable_file(request.out_file)
        # allow_nan=False: JSON has no NaN, and a score should never be one
        write_atomic(request.out_file, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return TrackingScoreReport(data, text)


def pack_tracking_submission(request: ScoreRequest) -> TrackingScoreReport:
    """Pack the results of one tracker into the archive ``out_file`` for a test server.

    Args:
        request: test set, result folder and archive.

    Raises:
        UserError: an option does not apply to server sets, the archive is not named, or results are damaged.
        IncompleteError: results are incomplete; ``partial`` does not apply to server sets.
    """
    if idle := request.list_given_options():
        raise ConfigError(
            f"{idle[0]} has no meaning for {request.test_set}, whose server scores what bench packs; leave it out"
        )
    if len(request.results) != 1:
        raise UserError(f"an archive for {request.test_set} holds one tracker; name one folder after --results")
    if request.out_file is None or request.out_file.suffix != ".zip":
        raise UserError(
            f"the ground truth of {request.test_set} is not public; name the archive for its server with --out FILE.zip"
        )
    # only for its check that the folder exists
    derive_tracker_names(request.results)
    _require_writable_file(request.out_file)
    packed = pack_submission(
        SERVER_TEST_SETS[request.test_set], resolve_data_root(request.data_root), request.results[0], request.out_file
    )
    text = f"{request.out_file}: {packed['sequences']} sequences, {packed['frames']:,} boxes; upload it to the server\n"
    return TrackingScoreReport(packed, text)


def _require_writable_file(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        UserError: the path is a folder, or its folder cannot be written.
    """
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    ensure_writable_dir(path.parent)
