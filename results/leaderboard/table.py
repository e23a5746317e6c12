"""The table: complete records grouped by what may be compared, ranked, beside the published numbers.

Only rows with one comparability key share a board. Several seeds of one backbone are one row (their mean).
Rows whose difference is not resolved share a rank; a run that is not complete is listed with its reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from results.leaderboard.cost_columns import CostSummary, summarize_costs
from results.published.match import PublishedComparison, UnmatchedResult, find_unmatched_published, match_published
from results.published.rows import PublishedResult, read_published
from results.records.flat_settings import flatten_settings
from results.records.identity import compute_digest
from results.records.record import PRETRAINING_DOMAIN, ConfidenceInterval, MetricValue, Record
from results.records.store import ScanResult
from results.statistics.ranking import StoredRun, rank_rows


class BoardKey(NamedTuple):
    """What rows of one board have in common, and what tells the board from all others."""

    task: str
    protocol: str
    tier: str
    comparability: str
    primary_metric: str


class BoardRow(NamedTuple):
    """One backbone (with one set of start weights) on a board.

    Attributes:
        rank: from 1, shared by rows that are tied; ``None``: see ``note``.
        tied_with: labels of the other rows that share the rank.
        interval: of the primary metric's mean over the seeds.
        seed_range: lowest and highest seed; ``None`` for one seed.
        is_random_baseline: from random weights: what any pre-training has to beat.
        pretrain_method: method of the pre-training that made the weights, where its record was found too; else empty.
        published_comparison: the published number of the primary metric, and how far this row is from it.
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

    @property
    def label(self) -> str:
        """The row's name on its board: the backbone, and the start where the name does not say it."""
        return format_row_label(self.backbone, self.init, self.weights_digest, self.pretrain_method)

    @property
    def start_label(self) -> str:
        """How it started: ``random``, ``card 0a1b2c3d``, ``mae 0a1b2c3d``, ``memory 0a1b2c3d4e5f``."""
        return format_start_label(self.init, self.weights_digest, self.pretrain_method)


class Board(NamedTuple):
    """Rows that may be compared, best first; ``settings``: where it differs from its protocol's other boards."""

    task: str
    protocol: str
    tier: str
    settings: str
    comparability: str
    primary_metric: str
    units: dict[str, str]
    higher_is_better: bool
    rows: tuple[BoardRow, ...]

    @property
    def board_key(self) -> BoardKey:
        """What tells it from all others."""
        return BoardKey(self.task, self.protocol, self.tier, self.comparability, self.primary_metric)

    @property
    def title(self) -> str:
        """Task, protocol, tier and settings in one line."""
        return " · ".join(filter(None, (self.task, self.protocol, self.tier, self.settings)))

    @property
    def other_metrics(self) -> tuple[str, ...]:
        """All but the primary one."""
        return tuple(name for name in self.units if name != self.primary_metric)

    @property
    def has_published(self) -> bool:
        """Whether a row stands beside a published number."""
        return any(row.published_comparison for row in self.rows)

    @property
    def has_random_baseline(self) -> bool:
        """Whether a row from random weights is on it."""
        return any(row.is_random_baseline for row in self.rows)


class UnrankedRun(NamedTuple):
    """A run that is on no board, and why."""

    folder: Path
    record: Record
    reason: str

    def __str__(self) -> str:
        return f"{self.folder}: {self.reason}"


class LeaderboardTable(NamedTuple):
    """All boards, the runs on none, published numbers that stand beside none of ours, and faults met in reading."""

    boards: tuple[Board, ...]
    unranked: tuple[UnrankedRun, ...]
    unmatched: tuple[UnmatchedResult, ...]
    warnings: tuple[str, ...]


def build_table(
    scan_result: ScanResult,
    record_filter: Callable[[Record], bool] = lambda record: True,
    published: Sequence[PublishedResult] | None = None,
) -> LeaderboardTable:
    """Group what a scan found into boards, rank their rows, and put published numbers beside them.

    Args:
        scan_result: the records.
        record_filter: which records are looked at; it should choose whole boards (by task, protocol, tier), since a
            rank is one among all rows of a board.
        published: the published rows; bench's own when not given.

    Raises:
        RecordError: records of one board disagree about a metric's direction, or published rows do not hold.
    """
    groups: dict[BoardKey, list[StoredRun]] = defaultdict(list)
    unranked, warnings = [], list(scan_result.errors)
    for folder, record in _newest_attempts([run for run in scan_result.records if record_filter(run[1])], warnings):
        if record.domain == PRETRAINING_DOMAIN:
            continue
        if record.result is None or record.status != "complete":
            reason = f": {record.reason}" if record.reason else ""
            what = f"{record.status}, {record.done} of {record.expected} items scored{reason}"
            unranked.append(UnrankedRun(folder, record, what))
            continue
        primary = record.result.primary_metric
        key = BoardKey(record.task, record.protocol, record.tier, record.comparability, primary)
        groups[key].append((folder, record))
    settings = _distinguishing_settings({key: runs[0][1] for key, runs in groups.items()})
    printed = read_published() if published is None else published
    made = map_pretrain_methods(scan_result.records)
    boards = [_build_board(key, settings[key], runs, printed, made) for key, runs in sorted(groups.items())]
    context = find_unmatched_published(printed, {key: _distinct_starts(runs) for key, runs in groups.items()})
    return LeaderboardTable(tuple(boards), tuple(unranked), context, tuple(warnings))


def get_metrics(record: Record) -> dict[str, MetricValue]:
    """The metrics of a complete record.

    Raises:
        ValueError: the record is not complete.
    """
    if record.result is None:
        raise ValueError(f"record {record.run_id} is {record.status} and has no metrics")
    return record.result.metrics


def format_row_label(backbone: str, init: str, weights_digest: str, pretrain_method: str = "") -> str:
    """A backbone and how it started, for people: ``mae_tiny``, ``vit_nano (random)``, ``x (mae 0a1b2c3d)``."""
    return backbone if init == "card" else f"{backbone} ({format_start_label(init, weights_digest, pretrain_method)})"


def format_start_label(init: str, weights_digest: str, pretrain_method: str) -> str:
    """A start for people: the method that made a checkpoint stands for the word, its SHA-256 tells it from others.

    A module from memory is on no disk where more of its hash could be looked up, so it is given 12 digits.
    """
    digits = 12 if init.endswith("memory") else 8
    kind = init.replace("checkpoint", pretrain_method) if pretrain_method else init
    return f"{kind} {weights_digest[:digits]}".strip()


def format_record_label(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """``format_row_label`` of a record's backbone; of the methods by ``map_pretrain_methods``."""
    method = get_pretrain_method(record, pretrain_methods)
    return format_row_label(record.backbone.name, get_start_kind(record), record.start_sha256, method)


def format_record_start(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """``format_start_label`` of a record's start."""
    method = get_pretrain_method(record, pretrain_methods)
    return format_start_label(get_start_kind(record), record.start_sha256, method)


def map_pretrain_methods(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The method of each pre-training among the runs, by the SHA-256 of the encoder it gave."""
    made = {}
    for _, record in runs:
        if record.domain == PRETRAINING_DOMAIN and record.status == "complete" and record.result:
            encoder = record.result.details.get("encoder")
            if isinstance(encoder, Mapping) and isinstance(sha256 := encoder.get("sha256"), str):
                made[sha256] = record.protocol
    return made


def _distinct_starts(runs: Sequence[StoredRun]) -> list[Record]:
    """One record a way of starting: all that matching a published row asks about."""
    return list({(r.backbone.name, get_start_kind(r)): r for _, r in runs}.values())


def get_start_kind(record: Record) -> str:
    """How the run started, as rows say it."""
    return "partial " + record.backbone.init if record.backbone.allow_partial else record.backbone.init


def _newest_attempts(records: Sequence[StoredRun], warnings: list[str]) -> list[StoredRun]:
    """One record a run_id: the newest complete one, else the newest; attempts that disagree are named."""
    by_run: dict[str, list[StoredRun]] = defaultdict(list)
    for folder, record in records:
        by_run[record.run_id].append((folder, record))
    kept = []
    for run_id, same in sorted(by_run.items()):
        same.sort(key=lambda item: (item[1].status == "complete", item[1].environment.started))
        kept.append(same[-1])
        values = {
            r.result.metrics[r.result.primary_metric].value for _, r in same if r.status == "complete" and r.result
        }
        if len(values) > 1:
            warnings.append(
                f"attempts at run {run_id} disagree ({', '.join(f'{v:g}' for v in sorted(values))}); "
                f"the newest, {same[-1][0]}, is shown"
            )
    return kept


def _distinguishing_settings(firsts: Mapping[BoardKey, Record]) -> dict[BoardKey, str]:
    """For each board the settings in which boards of one task, protocol and tier differ, as ``shots=4``.

    A board of data that are not the official set whole says so whatever else there is.
    """
    alike: dict[tuple[str, ...], dict[BoardKey, dict[str, str]]] = defaultdict(dict)
    for key, record in firsts.items():
        data = {"data": record.data.fingerprint[:8], "version": record.protocol_version}
        leaves = flatten_settings({**record.config, **data})
        # as --set names them, and so that an equal number is an equal word
        alike[key[:3]][key] = {
            name.removeprefix("recipe."): "none" if value is None else str(value).removesuffix(".0")
            for name, value in leaves
        }
    found = {}
    for boards in alike.values():
        names = sorted(set().union(*boards.values()))
        differing = [name for name in names if len({flat.get(name) for flat in boards.values()}) > 1]
        for key, flat in boards.items():
            words = [f"{name}={flat[name]}" for name in differing if flat.get(name, "none") != "none"]
            if firsts[key].data.deviations:
                words.append("not the official data")
            found[key] = ", ".join(words)
    return found


def _build_board(
    key: BoardKey,
    settings: str,
    runs: Sequence[StoredRun],
    published: Sequence[PublishedResult],
    pretrain_methods: Mapping[str, str],
) -> Board:
    primary = key.primary_metric
    first = get_metrics(runs[0][1])
    higher = first[primary].higher_is_better
    # a card or creation argument that was changed makes another backbone under the same name: never averaged with it
    by_candidate: dict[tuple[str, str, str, str], list[StoredRun]] = defaultdict(list)
    for run in runs:
        candidate = (run[1].backbone.name, get_start_kind(run[1]), run[1].start_sha256[:12], _backbone_digest(run[1]))
        by_candidate[candidate].append(run)
    grouped = [
        (candidate, sorted(same, key=lambda run: run[1].seed)) for candidate, same in sorted(by_candidate.items())
    ]
    grouped.sort(key=lambda pair: _mean_metric(pair[1], primary), reverse=higher)
    standings = rank_rows([same for _, same in grouped], primary, higher)
    labels = [format_record_label(same[0][1], pretrain_methods) for _, same in grouped]
    rows = [
        _build_row(
            candidate[:3], same, primary, match_published(published, same[0][1], _mean_metric(same, primary))
        )._replace(
            pretrain_method=get_pretrain_method(same[0][1], pretrain_methods),
            rank=standing.rank,
            tied_with=tuple(labels[place] for place in standing.tied_with),
            interval=standing.interval,
            note=standing.note,
        )
        for (candidate, same), standing in zip(grouped, standings, strict=True)
    ]
    units = {name: metric.unit for name, metric in first.items()}
    return Board(*(key.task, key.protocol, key.tier, settings, key.comparability, primary), units, higher, tuple(rows))


def get_pretrain_method(record: Record, pretrain_methods: Mapping[str, str]) -> str:
    """The method that made a run's start weights, by ``map_pretrain_methods``; empty where it is not known."""
    return pretrain_methods.get(record.start_sha256, "")


def _mean_metric(runs: Sequence[StoredRun], metric: str) -> float:
    return fmean(get_metrics(record)[metric].value for _, record in runs)


def _backbone_digest(record: Record) -> str:
    """A digest of what the backbone was made of, its card's texts left out."""
    shape = ("architecture", "arguments", "input_size", "mean", "std", "prefix_tokens")
    card = {key: record.backbone.card.get(key) for key in shape}
    return compute_digest({"card": card, "arguments": record.backbone.arguments})


def _build_row(
    candidate: tuple[str, str, str],
    runs: Sequence[StoredRun],
    primary_metric: str,
    published_comparison: PublishedComparison | None,
) -> BoardRow:
    metrics = [get_metrics(record) for _, record in runs]
    values = [each[primary_metric].value for each in metrics]
    return BoardRow(
        *candidate,
        rank=None,
        tied_with=(),
        metrics={name: fmean(each[name].value for each in metrics) for name in metrics[0]},
        interval=None,
        note="",
        is_random_baseline=candidate[1] == "random",
        seeds=tuple(record.seed for _, record in runs),
        seed_range=(min(values), max(values)) if len(values) > 1 else None,
        num_items=metrics[0][primary_metric].n,
        published_comparison=published_comparison,
        cost=summarize_costs([record for _, record in runs]),
        finished_at=max(record.environment.finished or "" for _, record in runs),
        run_ids=tuple(record.run_id for _, record in runs),
        runs=tuple(runs),
    )
