"""Boards: complete records grouped by what may be compared, as Markdown and CSV.

Only rows with one comparability key share a board. Several seeds of one backbone are one row (their mean).
Rows are sorted by the primary metric in its declared direction; no ranks are given here, because a
difference inside the interval is none.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from results.identity import digest
from results.record import Interval, Metric, Record
from results.store import Found

CSV_COLUMNS = (
    *(
        "task",
        "protocol",
        "tier",
        "settings",
        "key",
        "backbone",
        "init",
        "weights",
        "metric",
        "unit",
        "value",
        "primary",
    ),
    *("ci_low", "ci_high", "seeds", "seed_min", "seed_max", "n", "parameters", "finished", "run_ids"),
)


UNRANKED = "pretraining"
"""The domain whose records are on no board: a pre-training loss compares with nothing (docs/decisions/0006)."""

Key = tuple[str, str, str, str, str]
"""Task, protocol, tier, comparability key and primary metric: what rows of one board have in common."""


class Row(NamedTuple):
    """One backbone (with one set of start weights) on a board."""

    backbone: str
    init: str
    weights: str
    metrics: dict[str, float]
    interval: Interval | None
    seeds: tuple[int, ...]
    spread: tuple[float, float] | None
    n: int
    parameters: int | None
    finished: str
    run_ids: tuple[str, ...]


class Board(NamedTuple):
    """Rows that may be compared, best first; ``settings``: where it differs from its protocol's other boards."""

    task: str
    protocol: str
    tier: str
    settings: str
    key: str
    primary: str
    units: dict[str, str]
    higher_is_better: bool
    rows: tuple[Row, ...]


class Table(NamedTuple):
    """All boards, the runs that are on none (with their reason), and what went wrong while reading."""

    boards: tuple[Board, ...]
    unranked: tuple[str, ...]
    warnings: tuple[str, ...]


def build_table(found: Found) -> Table:
    """Group what a scan found into boards."""
    groups: dict[Key, list[Record]] = defaultdict(list)
    unranked, warnings = [], list(found.faults)
    for folder, record in _newest_attempts(found, warnings):
        if record.domain == UNRANKED:
            continue
        if record.result is None or record.status != "complete":
            reason = f": {record.reason}" if record.reason else ""
            unranked.append(f"{folder}: {record.status}, {record.done} of {record.expected} items scored{reason}")
            continue
        key = (record.task, record.protocol, record.tier, record.comparability, record.result.primary)
        groups[key].append(record)
    settings = _settings({key: records[0] for key, records in groups.items()})
    boards = [_board(key, settings[key], records) for key, records in sorted(groups.items())]
    return Table(tuple(boards), tuple(unranked), tuple(warnings))


def to_markdown(table: Table) -> str:
    """The boards as Markdown, followed by what is on none of them."""
    lines: list[str] = []
    for board in table.boards:
        title = (board.task, board.protocol, board.tier, board.settings)
        lines += [f"## {' · '.join(filter(None, title))}", ""]
        lines += _aligned(_cells(board))
        direction = "higher" if board.higher_is_better else "lower"
        lines += [
            "",
            f"{board.primary}: {direction} is better; sorted by it, not ranked. Key {board.key}.",
            "",
        ]
    if table.unranked:
        lines += ["Not on a board:", "", *(f"- {line}" for line in table.unranked), ""]
    if not table.boards and not table.unranked:
        lines += ["No runs found.", ""]
    return "\n".join(lines)


def to_csv(table: Table) -> str:
    """One line a row of a board and metric; an empty cell means not measured."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for board in table.boards:
        for row in board.rows:
            for name, value in row.metrics.items():
                line = {
                    "task": board.task,
                    "protocol": board.protocol,
                    "tier": board.tier,
                    "settings": board.settings,
                    "key": board.key,
                    "backbone": row.backbone,
                    "init": row.init,
                    "weights": row.weights,
                    "metric": name,
                    "unit": board.units[name],
                    "value": value,
                    "primary": int(name == board.primary),
                    "seeds": " ".join(map(str, row.seeds)),
                    "n": row.n,
                    "parameters": row.parameters,  # csv writes None as an empty cell
                    "finished": row.finished,
                    "run_ids": " ".join(row.run_ids),
                }
                if name == board.primary and row.interval:
                    line |= {"ci_low": row.interval.low, "ci_high": row.interval.high}
                if name == board.primary and row.spread:
                    line |= {"seed_min": row.spread[0], "seed_max": row.spread[1]}
                writer.writerow(line)
    return out.getvalue()


def _newest_attempts(found: Found, warnings: list[str]) -> list[tuple[Path, Record]]:
    """One record a run_id: the newest complete one, else the newest; attempts that disagree are named."""
    by_run: dict[str, list[tuple[Path, Record]]] = defaultdict(list)
    for folder, record in found.records:
        by_run[record.run_id].append((folder, record))
    kept = []
    for run_id, same in sorted(by_run.items()):
        same.sort(key=lambda item: (item[1].status == "complete", item[1].where.started))
        kept.append(same[-1])
        values = {r.result.metrics[r.result.primary].value for _, r in same if r.status == "complete" and r.result}
        if len(values) > 1:
            warnings.append(
                f"attempts at run {run_id} disagree ({', '.join(f'{v:g}' for v in sorted(values))}); "
                f"the newest, {same[-1][0]}, is shown"
            )
    return kept


def _settings(firsts: Mapping[Key, Record]) -> dict[Key, str]:
    """For each board the settings in which boards of one task, protocol and tier differ, as ``shots=4``.

    A board of data that are not the official set whole says so whatever else there is.
    """
    alike: dict[tuple[str, ...], dict[Key, dict[str, str]]] = defaultdict(dict)
    for key, record in firsts.items():
        data = {"data": record.data.fingerprint[:8], "version": record.protocol_version}
        alike[key[:3]][key] = dict(_flatten({**record.config, **data}))
    found = {}
    for boards in alike.values():
        names = sorted(set().union(*boards.values()))
        differing = [name for name in names if len({flat.get(name) for flat in boards.values()}) > 1]
        for key, flat in boards.items():
            words = [f"{name}={flat[name]}" for name in differing if flat.get(name, "none") != "none"]
            if firsts[key].data.departures:
                words.append("not the official data")
            found[key] = ", ".join(words)
    return found


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by dotted key, as ``--set`` names them."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, "" if name == "recipe" else f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "none" if value is None else str(value).removesuffix(".0")


def _board(key: Key, settings: str, records: Sequence[Record]) -> Board:
    task, protocol, tier, comparability, primary = key
    first = _metrics(records[0])
    # a card or creation argument that was changed makes another backbone under the same name: never averaged with it
    by_candidate: dict[tuple[str, str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        weights = record.backbone.checkpoint.sha256[:12] if record.backbone.checkpoint else ""
        init = "partial " + record.backbone.init if record.backbone.allow_partial else record.backbone.init
        by_candidate[record.backbone.name, init, weights, _made_of(record)].append(record)
    rows = [_row(candidate[:3], same, primary) for candidate, same in sorted(by_candidate.items())]
    higher = first[primary].higher_is_better
    rows.sort(key=lambda row: row.metrics[primary], reverse=higher)
    units = {name: metric.unit for name, metric in first.items()}
    return Board(task, protocol, tier, settings, comparability, primary, units, higher, tuple(rows))


def _made_of(record: Record) -> str:
    """A digest of what the backbone was made of, its card's texts left out."""
    shape = ("architecture", "arguments", "input_size", "mean", "std", "prefix_tokens")
    card = {key: record.backbone.card.get(key) for key in shape}
    return digest({"card": card, "arguments": record.backbone.arguments})


def _row(candidate: tuple[str, str, str], records: Sequence[Record], primary: str) -> Row:
    records = sorted(records, key=lambda record: record.seed)
    metrics = [_metrics(record) for record in records]
    values = [each[primary].value for each in metrics]
    interval = metrics[0][primary].interval if len(records) == 1 else None
    return Row(
        *candidate,
        metrics={name: fmean(each[name].value for each in metrics) for name in metrics[0]},
        interval=interval,
        seeds=tuple(record.seed for record in records),
        spread=(min(values), max(values)) if len(values) > 1 else None,
        n=metrics[0][primary].n,
        parameters=records[0].backbone.parameters,
        finished=max(record.where.finished or "" for record in records),
        run_ids=tuple(record.run_id for record in records),
    )


def _metrics(record: Record) -> dict[str, Metric]:
    if record.result is None:
        raise ValueError(f"record {record.run_id} is {record.status} and has no metrics")
    return record.result.metrics


def _cells(board: Board) -> list[list[str]]:
    others = [name for name in board.units if name != board.primary]
    labels = [f"{name} ({board.units[name]})" for name in (board.primary, *others)]
    head = ["backbone", "init", *labels, "interval or seeds", "items", "parameters", "finished (UTC)"]
    body = []
    for row in board.rows:
        if row.spread:
            spread = f"{row.spread[0]:.2f} to {row.spread[1]:.2f} over {len(row.seeds)} seeds"
        elif row.interval:
            level = f"{100 * row.interval.level:.0f} %, {row.interval.over} only"
            spread = f"{row.interval.low:.2f} to {row.interval.high:.2f} ({level})"
        else:
            spread = "not measured"
        init = f"{row.init} {row.weights}".strip()
        values = [f"{row.metrics[name]:.2f}" for name in (board.primary, *others)]
        parameters = "not measured" if row.parameters is None else f"{row.parameters:,}"
        body.append([row.backbone, init, *values, spread, str(row.n), parameters, row.finished[:16]])
    return [head, *body]


def _aligned(cells: list[list[str]]) -> list[str]:
    """Markdown table lines, padded so that they read well as plain text too."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    padded.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(row) + " |" for row in padded]
