"""Build the boards: complete records grouped by comparability, ranked, and compared with published numbers.

Only rows with the same comparability key share a board. Several seeds of one backbone are one row with their mean.
Rows whose difference is not significant share a rank. Runs that are not complete are listed with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from foundation.display_text import cut_text
from results.leaderboard.board_titles import BoardKey, find_distinguishing_settings, format_board_title
from results.leaderboard.cost_columns import CostSummary, summarize_costs
from results.leaderboard.departures import list_board_departures
from results.leaderboard.row_grouping import RowRuns, UnrankedRun, drop_other_directions, group_rows
from results.leaderboard.row_labels import (
    format_record_label,
    format_row_label,
    format_start_label,
    get_pretrain_method,
    get_start_key,
    get_start_kind,
    get_weights_key,
    map_given_labels,
    map_pretrain_methods,
)
from results.leaderboard.same_network import select_newest_attempts
from results.leaderboard.timing_index import RunTiming, TimingIndex
from results.published.match import PublishedComparison, UnmatchedResult, find_unmatched_published, match_published
from results.published.rows import PublishedResult, read_published
from results.records.identity import AS_IS
from results.records.record import PRETRAINING_DOMAIN, TIER_ORDER, ConfidenceInterval, MetricValue, Record
from results.records.store import ScanResult
from results.records.version_differences import describe_version_differences
from results.statistics.ranking import StoredRun, rank_rows

MAX_METRIC_COLUMNS = 7
"""COCO has 23 numbers besides box AP; so many columns would be read by nobody."""


class BoardRow(NamedTuple):
    """One backbone (with one set of start weights) on a board.

    Attributes:
        backbone: name of the backbone.
        init: how the run started: ``random``, ``card``, ``checkpoint`` or ``memory``, with ``partial`` in front if the
            weights were loaded only in part.
        weights_digest: first 12 digits of the SHA-256 of the start weights; empty for random weights.
        rank: from 1; tied rows share it. ``None`` if the row is not ranked, for the reason in ``note``.
        tied_with: labels of the other rows that share the rank.
        metrics: mean of each metric over the seeds.
        interval: confidence interval of the mean of the primary metric over the seeds.
        note: why the row has no rank, or what else a reader should know; otherwise empty.
        is_random_baseline: whether the row started from random weights; any pre-training has to beat such a row.
        seeds: the seeds, in ascending order.
        seed_range: lowest and highest score among the seeds; ``None`` for one seed.
        num_items: number of items over which the primary metric was measured.
        published_comparison: the comparable published number of the primary metric, and this row's difference from it.
        cost: parameters, MACs and timings of the backbone.
        finished_at: when the newest run of the row ended, UTC in ISO 8601.
        run_ids: ids of the row's runs.
        runs: folders and records of the row's runs.
        pretrain_method: the pre-training method that produced the start weights, if its record was found as well;
            otherwise empty.
        weights_key: which weights of the file the row started from; empty for its plain ones.
        given_label: the newest label of this backbone and start; empty without one.
        variant: how the finished model was applied, for example ``openvino int8``; empty for runs that were trained.
    """

    backbone: str
    init: str
    weights_digest: str
    rank: int | None
    tied_with: tuple[str, ...]
    metrics: dict[str, float]
    interval: ConfidenceInterval | None
    note: str
    is_random_baseline: bool
    seeds: tuple[int, ...]
    seed_range: tuple[float, float] | None
    num_items: int
    published_comparison: PublishedComparison | None
    cost: CostSummary
    finished_at: str
    run_ids: tuple[str, ...]
    runs: tuple[StoredRun, ...]
    pretrain_method: str = ""
    weights_key: str = ""
    given_label: str = ""
    variant: str = ""

    @property
    def label(self) -> str:
        """Return the row's name on its board: the backbone, and how it started unless the name implies it."""
        return format_row_label(
            *(self.backbone, self.init, self.weights_digest, self.pretrain_method, self.weights_key, self.given_label),
            self.variant,
        )

    @property
    def name(self) -> str:
        """Return the user's label, or else the name of the backbone, and how a finished model was applied."""
        name = self.given_label or self.backbone
        return f"{name} ({self.variant})" if self.variant else name

    @property
    def start_note(self) -> str:
        """Return how the row started, behind the backbone if a label has the place of its name."""
        return f"{self.backbone}, {self.start_label}" if self.given_label else self.start_label

    @property
    def start_label(self) -> str:
        """Return how the row started, as ``random``, ``card 0a1b2c3d``, ``mae 0a1b2c3d`` or ``memory 0a1b2c3d4e5f``."""
        return format_start_label(self.init, self.weights_digest, self.pretrain_method, self.weights_key)


class Board(NamedTuple):
    """Rows that may be compared, best first.

    Attributes:
        settings: the other settings in which this board differs from boards of the same task, protocol and tier; and
            where nothing else distinguishes two boards, the start of their comparability keys.
        units: unit of each metric.
        version_differences: in which versions of bench and of libraries the runs differ, in words; empty if in none.
        duplicates: test items that are also in the training data, which the user allowed; one sentence each.
        metric_conflict: how another metric orders the rows differently than the primary one; empty if it does not.
        departures: in which ways the runs depart from the protocol, whatever other boards there are; empty if in none.
        deviations: how the data differ from the official set, one sentence each.
    """

    task: str
    protocol: str
    tier: str
    settings: str
    comparability: str
    primary_metric: str
    units: dict[str, str]
    higher_is_better: bool
    rows: tuple[BoardRow, ...]
    version_differences: str = ""
    duplicates: tuple[str, ...] = ()
    metric_conflict: str = ""
    departures: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

    @property
    def board_key(self) -> BoardKey:
        """Return what distinguishes the board from all others."""
        return BoardKey(self.task, self.protocol, self.tier, self.comparability, self.primary_metric)

    @property
    def title(self) -> str:
        """Return task, protocol, tier, departures and settings in one line; no other board of a table has it."""
        return format_board_title(self.board_key, self.departures, self.settings)

    @property
    def is_evaluation(self) -> bool:
        """Return whether the rows are finished models that were evaluated as they are."""
        return self.protocol == AS_IS

    @property
    def scope(self) -> str:
        """Return which boards may stand beside this one: those of its tier, or those of finished models, ``as_is``.

        A backbone that was trained on a task and a finished model of its name are two networks.
        """
        if not self.is_evaluation:
            return self.tier
        return AS_IS if self.tier == "full" else f"{AS_IS}-{self.tier}"

    @property
    def other_metrics(self) -> tuple[str, ...]:
        """Return the names of all metrics except the primary one."""
        return tuple(name for name in self.units if name != self.primary_metric)

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        """Return those of the other metrics that have a column where people read: the first ones of very many.

        Files of tables (CSV, JSON) have all of them.
        """
        others = self.other_metrics
        return others if len(others) <= MAX_METRIC_COLUMNS else others[:MAX_METRIC_COLUMNS]

    @property
    def has_published(self) -> bool:
        """Return whether a row has a comparable published number."""
        return any(row.published_comparison for row in self.rows)

    @property
    def has_random_baseline(self) -> bool:
        """Return whether a row of the board started from random weights."""
        return any(row.is_random_baseline for row in self.rows)


def list_scopes(boards: Iterable[Board]) -> list[str]:
    """Return the scopes of some boards: the longest tier first, finished models last."""
    # a tier that no schema knows comes last instead of ending the table
    order = {tier: place for place, tier in enumerate(TIER_ORDER)}
    found = {(board.is_evaluation, order.get(board.tier, len(order)), board.scope) for board in boards}  # type: ignore[call-overload]
    return [scope for _, _, scope in sorted(found)]


class LeaderboardTable(NamedTuple):
    """All boards and everything that is not on them.

    Attributes:
        boards: the boards, sorted by their keys.
        unranked: runs that are not complete, or not of one network with the other seeds of their row.
        unmatched: published numbers without a comparable run.
        warnings: records that cannot be read, and attempts at one run that disagree.
    """

    boards: tuple[Board, ...]
    unranked: tuple[UnrankedRun, ...]
    unmatched: tuple[UnmatchedResult, ...]
    warnings: tuple[str, ...]


def build_table(
    scan_result: ScanResult,
    record_filter: Callable[[Record], bool] = lambda record: True,
    published: Sequence[PublishedResult] | None = None,
    run_timings: Iterable[RunTiming] | None = None,
) -> LeaderboardTable:
    """Group the records of a scan into boards, rank the rows, and compare them with published numbers.

    Args:
        scan_result: the records; at least those that are used, and all complete pre-trainings.
        record_filter: returns whether a record is used. It should select entire boards (by task, protocol or tier),
            because a rank is a rank among all rows of a board.
        published: the published rows; by default the ones that come with bench.
        run_timings: the timings in all records, if ``scan_result`` has not all: a backbone has one on all boards.

    Raises:
        RecordError: published rows are not valid.
    """
    groups: dict[BoardKey, list[StoredRun]] = defaultdict(list)
    unranked, warnings = [], list(scan_result.errors)
    for folder, record in select_newest_attempts(
        [run for run in scan_result.records if record_filter(run[1])], warnings
    ):
        # a pre-training has no score that can be compared; it only names the start weights of other runs
        if record.domain == PRETRAINING_DOMAIN:
            continue
        if record.result is None or record.status != "complete":
            reason = f": {cut_text(record.reason)}" if record.reason else ""
            what = f"{record.status}, {record.done} of {record.expected} items scored{reason}"
            unranked.append(UnrankedRun(folder, record, what))
            continue
        primary = record.result.primary_metric
        key = BoardKey(record.task, record.protocol, record.tier, record.comparability, primary)
        groups[key].append((folder, record))
    departures = {key: list_board_departures([record for _, record in runs]) for key, runs in groups.items()}
    settings = find_distinguishing_settings({key: runs[0][1] for key, runs in groups.items()}, departures)
    printed = read_published() if published is None else published
    # from all records: the filter drops pre-trainings, but their methods name the start weights of the other runs
    made = map_pretrain_methods(scan_result.records)
    given = map_given_labels(record for _, record in scan_result.records)
    timings = TimingIndex(scan_result, run_timings)
    boards = []
    for key, runs in sorted(groups.items()):
        agreeing, others = drop_other_directions(runs, key.primary_metric)
        rows, refused = group_rows(agreeing)
        unranked += others + refused
        if rows:
            board = _build_board(key, settings[key], rows, printed, made, given, timings)
            boards.append(board._replace(departures=departures[key]))
    context = find_unmatched_published(printed, {key: _distinct_starts(runs) for key, runs in groups.items()})
    return LeaderboardTable(tuple(boards), tuple(unranked), context, tuple(warnings))


def get_metrics(record: Record) -> dict[str, MetricValue]:
    """Return the metrics of a complete record.

    Raises:
        ValueError: the record is not complete.
    """
    if record.result is None:
        raise ValueError(f"record {record.run_id} is {record.status} and has no metrics")
    return record.result.metrics


def _distinct_starts(runs: Sequence[StoredRun]) -> list[Record]:
    """Return one record for each backbone and start, which is all that matching a published row depends on."""
    return list({(r.backbone.name, get_start_kind(r)): r for _, r in runs}.values())


def _build_board(
    key: BoardKey,
    settings: str,
    rows_of_runs: Sequence[RowRuns],
    published: Sequence[PublishedResult],
    pretrain_methods: Mapping[str, str],
    given_labels: Mapping[str, str],
    timings: TimingIndex,
) -> Board:
    """Build one board from its rows: rank them, and match published numbers."""
    primary = key.primary_metric
    runs = [run for each in rows_of_runs for run in each.runs]
    higher = get_metrics(runs[0][1])[primary].higher_is_better
    # stable: rows with equal scores stay in the order of their names, so the table does not depend on the scan
    grouped = sorted(rows_of_runs, key=lambda row: _mean_metric(row.runs, primary), reverse=higher)
    standings = rank_rows([each.runs for each in grouped], primary, higher)
    # from here on, standings and labels are in the same order as ``grouped``
    given = [given_labels.get(get_start_key(each.runs[0][1]), "") for each in grouped]
    made = pretrain_methods
    labels = [
        format_record_label(row.runs[0][1], made, label, row.variant) for row, label in zip(grouped, given, strict=True)
    ]
    rows = [
        _build_row(
            each.candidate,
            each.runs,
            primary,
            match_published(published, each.runs[0][1], _mean_metric(each.runs, primary)),
            timings,
        )._replace(
            pretrain_method=get_pretrain_method(each.runs[0][1], pretrain_methods),
            weights_key=get_weights_key(each.runs[0][1]),
            given_label=label,
            variant=each.variant,
            rank=standing.rank,
            tied_with=tuple(labels[place] for place in standing.tied_with),
            interval=standing.interval,
            note="; ".join(filter(None, (standing.note, each.note))),
        )
        for each, label, standing in zip(grouped, given, standings, strict=True)
    ]
    # of all runs, in the order of the first: whichever run comes first, a metric that only some have is on the board
    units = {name: metric.unit for _, record in runs for name, metric in get_metrics(record).items()}
    versions = describe_version_differences(record for _, record in runs)
    duplicates = tuple(dict.fromkeys(sentence for _, record in runs for sentence in record.data.duplicates))
    deviations = tuple(dict.fromkeys(sentence for _, record in runs for sentence in record.data.deviations))
    return Board(
        *(key.task, key.protocol, key.tier, settings, key.comparability, primary),
        units,
        higher,
        tuple(rows),
        versions,
        duplicates,
        deviations=deviations,
    )


def _mean_metric(runs: Sequence[StoredRun], metric: str) -> float:
    return fmean(get_metrics(record)[metric].value for _, record in runs)


def _build_row(
    candidate: tuple[str, str, str],
    runs: Sequence[StoredRun],
    primary_metric: str,
    published_comparison: PublishedComparison | None,
    timings: TimingIndex,
) -> BoardRow:
    """Build a row without its rank, interval and note, which depend on the other rows of the board."""
    metrics = [get_metrics(record) for _, record in runs]
    values = [each[primary_metric].value for each in metrics]
    # a seed that was run by an earlier version of the task may lack a metric; a mean is over all seeds or not there
    common = [name for name in metrics[0] if all(name in each for each in metrics)]
    return BoardRow(
        *candidate,
        rank=None,
        tied_with=(),
        metrics={name: fmean(each[name].value for each in metrics) for name in common},
        interval=None,
        note="",
        is_random_baseline=candidate[1] == "random",
        seeds=tuple(record.seed for _, record in runs),
        seed_range=(min(values), max(values)) if len(values) > 1 else None,
        num_items=metrics[0][primary_metric].n,
        published_comparison=published_comparison,
        cost=summarize_costs([record for _, record in runs], timings),
        finished_at=max(record.environment.finished or "" for _, record in runs),
        run_ids=tuple(record.run_id for _, record in runs),
        runs=tuple(runs),
    )
