"""``bench score`` for tracking sets: from result folders to text and data."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from foundation.environment import data_root
from foundation.errors import ConfigError, UserError
from foundation.files import require_writable, write_atomic
from tracking.scoring.report import as_data, as_text
from tracking.scoring.results import read_results, tracker_names
from tracking.scoring.score import TrackerScore, score_tracker
from tracking.scoring.sets import BOX_SETS
from tracking.scoring.submission import SERVER_SETS, pack


class Report(NamedTuple):
    """What a scorer gives the command line: plain data for JSON, and the same for people."""

    data: dict[str, Any]
    text: str


def score(options: Namespace) -> Report:
    """Score one or several trackers; writes the JSON to ``--out`` and plots to ``--plots`` where asked.

    Raises:
        UserError: options, ground truth or results that cannot be used; nothing is written.
        IncompleteError: a tracker lacks sequences, and ``--partial`` is not given.
    """
    test_set = BOX_SETS[options.set]
    rules = replace(test_set.choose_rules(options.rules), integers=options.int)
    names = tracker_names(options.results)
    loaded = test_set.load(data_root(options.data_root), options.partial)
    scores: list[TrackerScore] = []
    for name, folder in zip(names, options.results, strict=True):
        results = read_results(folder, loaded.truths, test_set.cut, test_set.repeated)
        one = score_tracker(
            name, results.boxes, loaded.truths, rules,
            partial=options.partial, names=loaded.names, expected=test_set.expected,
            departures=loaded.departures, notes=results.notes,
        )  # fmt: skip
        scores.append(one)
    data = as_data(test_set.title, scores)
    text = as_text(test_set.title, scores, options.by)
    if options.plots:
        from tracking.scoring.plots import draw

        require_writable(options.plots)
        data["plots"] = [str(path) for path in draw(options.plots, test_set.title, scores)]
        text += f"\n\nplots in {options.plots}: {', '.join(Path(path).name for path in data['plots'])}"
    if options.out:
        _require_file(options.out)
        write_atomic(options.out, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return Report(data, text)


def submit(options: Namespace) -> Report:
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
    tracker_names(options.results)
    _require_file(options.out)
    packed = pack(SERVER_SETS[options.set], data_root(options.data_root), options.results[0], options.out)
    text = f"{options.out}: {packed['sequences']} sequences, {packed['frames']:,} boxes; upload it to the server\n"
    return Report(packed, text)


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    require_writable(path.parent)
