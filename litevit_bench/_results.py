"""Results: leaderboards, comparisons, verification, scores of result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from litevit_bench._arguments import (
    DEVICES,
    TIERS,
    PathLike,
    convert_data_options,
    list_folders,
    list_words,
    require_choice,
)

if TYPE_CHECKING:
    from benchmarks.transfer.install_union import MergeReport
    from benchmarks.transfer.pack_results import PackReport
    from benchmarks.transfer.submission import SubmissionReport
    from results.leaderboard.report import LeaderboardReport
    from results.records.verification import VerificationCheck
    from results.statistics.comparison import BackboneComparison


def table(
    runs: PathLike | Sequence[PathLike] = "runs",
    *,
    tasks: str | Sequence[str] = (),
    backbones: str | Sequence[str] = (),
    tiers: str | Sequence[str] = (),
    sort: str = "rank",
    pareto: Literal["parameters", "macs", "latency"] | None = None,
) -> LeaderboardReport:
    """The leaderboards of the runs found; only rows that are comparable share a board.

    Args:
        runs: a folder of runs, or several.
        tasks, backbones, tiers: only this one, or these; all where empty. Ranks stay those among all rows.
        sort: ``rank``, ``score``, ``backbone``, ``parameters``, ``macs``, ``latency``, ``throughput`` or ``date``.
        pareto: keep only rows that no other row beats in score and in this cost (``parameters``, ``macs``,
            ``latency``) at once.

    Returns:
        The report: ``report.table.boards`` holds the boards with their rows, ``report.table.warnings`` what was left
        out and why. ``results.leaderboard.render`` turns it into Markdown, CSV, LaTeX or JSON.

    Raises:
        UserError: there is no folder of runs.
    """
    from results.leaderboard.filter_sort import SORT_KEYS, TableFilter
    from results.leaderboard.pareto import COST_LABELS
    from results.store_index.indexed_report import build_store_report

    require_choice("sort", sort, SORT_KEYS)
    require_choice("pareto", pareto, (None, *COST_LABELS))
    for tier in list_words(tiers):
        require_choice("tier", tier, TIERS)
    choice = TableFilter(list_words(tasks), list_words(backbones), list_words(tiers), sort, pareto)
    return build_store_report(list_folders(runs), choice).report


def compare(
    first: str, second: str, runs: PathLike | Sequence[PathLike] = "runs", *, task: str | None = None
) -> list[BackboneComparison]:
    """Compare two backbones on every board that both are on, or two runs.

    Args:
        first, second: both a backbone (``NAME``, or ``NAME@START`` for one start of several), or both a run (its
            folder, or the start of its id).
        runs: a folder of runs, or several.
        task: only boards of this task.

    Returns:
        One comparison for each board: difference (first - second, in the metric's unit), interval, p-value, and the
        items on which the two differ.

    Raises:
        UnknownNameError: neither a run nor a backbone with complete runs.
        UserError: the two are not comparable; the sentence says why.
    """
    from benchmarks.compare_runs import make_comparisons

    return make_comparisons(first, second, list_folders(runs), task)


def verify(
    path: PathLike,
    *,
    data_root: PathLike | None = None,
    rerun_evaluation: bool = False,
    rerun: bool = False,
    device: str = "auto",
) -> list[tuple[Path, list[VerificationCheck]]]:
    """Check that every record at a place still follows from its own fields and files, its task, data and ledger.

    Args:
        path: a record, a run's folder, or a folder with runs below it.
        data_root: folder of the data sets; ``$BENCH_DATA`` or ``data`` where not given.
        rerun_evaluation: evaluate again from the stored checkpoints.
        rerun: make every run again from its record alone, and compare numbers and items.
        device: for these two.

    Returns:
        The folder of every record and its checks, and at the end the folder of every ledger and its checks. The state
        of a check is ``holds``, ``fails``, ``unchecked`` or ``note``.

    Raises:
        UserError: there is no record.
    """
    from benchmarks.verify.verify_records import VerifyRequest, verify_records

    require_choice("device", device, DEVICES)
    root = None if data_root is None else Path(data_root)
    report = verify_records(VerifyRequest(Path(path), root, rerun_evaluation, rerun, device))
    return [*report.records, *report.ledgers]


def score(
    test_set: str,
    results: PathLike | Sequence[PathLike],
    *,
    data_root: PathLike | None = None,
    data_options: Mapping[str, Any] | None = None,
    rules: str | None = None,
    partial: bool = False,
    annotations: PathLike | None = None,
) -> dict[str, Any]:
    """Score result files of any tracker, detector or segmentation network by the rules of a public data set.

    Args:
        test_set: ``lasot``, ``lasot_ext``, ``got10k_val``, ``otb100``, ``uav123``, ``nfs``, ``ade20k``, ``coco``,
            ``cocofolder`` ...
        results: one folder for each tracker, with one file for each sequence; of ``ade20k`` a folder of label PNGs; of
            ``coco`` a JSON file of detections.
        data_root: folder of the data sets, for the ground truth.
        data_options: how data of your own are laid out and labeled, as ``run`` takes it.
        rules: ``official`` or ``got10k``; the official ones where not given.
        partial: score what is there although files are missing; the number is marked partial.
        annotations: the ground truth of detections in COCO's format; needed for ``cocofolder``.

    Returns:
        The scores as plain data, in percent; the keys are those of ``bench score --json``.

    Raises:
        IncompleteError: files are missing and ``partial`` is not set.
        DataError: the ground truth or a result file cannot be read.
    """
    from benchmarks.score_results import score_results
    from foundation.environment import resolve_data_root
    from results.score_request import ScoreRequest

    require_choice("rules", rules, (None, "official", "got10k"))
    request = ScoreRequest(
        test_set=test_set,
        results=tuple(list_folders(results)),
        data_root=resolve_data_root(None if data_root is None else Path(data_root)),
        rules=rules,
        data_options=convert_data_options(data_options).as_dict(),
        partial=partial,
        annotations=None if annotations is None else Path(annotations),
    )
    return score_results(request).data


def list_runs(runs: PathLike | Sequence[PathLike] = "runs") -> list[dict[str, Any]]:
    """The runs found.

    Args:
        runs: a folder of runs, or several.

    Returns:
        One row for each: id, task, protocol, backbone, seed, status, value, folder; an unreadable one has ``error``.
    """
    from results.store_index.run_listing import list_run_rows

    return list_run_rows(list_folders(runs))


def merge(runs: Sequence[PathLike], out: PathLike, *, keep_first: bool = False) -> MergeReport:
    """Write the union of several stores. Archives of ``pack`` may be among them and are treated as untrusted.

    Args:
        runs: folders of runs, and archives.
        out: the store to write; what is there already stays, and the others are added to it.
        keep_first: of records with equal numbers that differ elsewhere (times, machine), keep the first one.

    Returns:
        What was done. With ``report.conflicts`` nothing was written.

    Raises:
        UserError: a source is missing, or cannot be read as a whole.
    """
    from benchmarks.transfer.install_union import merge_stores

    return merge_stores(list_folders(runs), Path(out), keep_first=keep_first)


def pack(runs: PathLike, output: PathLike, *, with_pictures: bool = False, with_weights: bool = False) -> PackReport:
    """Pack the records of a store, their per-item files, ledger, timings and analyses into one archive.

    Args:
        runs: folder of the runs, a whole store.
        output: the new file, ``.tar.zst``, ``.tar.gz`` or ``.tar``; equal runs give equal bytes.
        with_pictures: pack pictures too.
        with_weights: pack checkpoints and pre-trained encoders too.

    Returns:
        The archive with its size and SHA-256, the number of records and files, and what was left out.

    Raises:
        UserError: the folder is not one store, a file is missing, or the archive exists.
    """
    from benchmarks.transfer.pack_results import PackContent, pack_results

    return pack_results(Path(runs), Path(output), PackContent(with_pictures, with_weights))


def submit(runs: PathLike, *, data_root: PathLike | None = None) -> SubmissionReport:
    """Make the checks of a repository of results; ``pack`` then makes the archive.

    Args:
        runs: folder of the runs, a whole store.
        data_root: folder of the data sets; ``$BENCH_DATA`` or ``data`` where not given.

    Returns:
        The outcome; ``report.faults`` is empty if the runs can be submitted.

    Raises:
        UserError: there is no such folder.
    """
    from benchmarks.transfer.submission import check_submission

    return check_submission(Path(runs), None if data_root is None else Path(data_root))
