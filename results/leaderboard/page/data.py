"""Build the data for the page's script: what its plots, filters, backbone pages and comparisons need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from results.leaderboard.page.budget import SharedValues
from results.leaderboard.page.comparisons import MAX_COMPARED_ROWS, PairComparisons, format_row_argument
from results.leaderboard.page.items import ItemReader
from results.leaderboard.page.media import PageMedia
from results.leaderboard.page.overview import (
    SIZE_CLASSES,
    UNKNOWN_SIZE,
    classify_size,
    find_mark,
    has_one_seed,
    map_sizes,
)
from results.leaderboard.page.runs import RunEntries
from results.leaderboard.pareto import COST_LABELS
from results.leaderboard.render.cells import format_front
from results.leaderboard.report import LeaderboardReport
from results.leaderboard.table import Board, BoardRow
from results.records.record import Record

MAX_RUN_FOLDERS = 8
"""Folders that the commands on the page name; a reader of more folders knows where they are."""


def build_page_data(report: LeaderboardReport, media: PageMedia) -> dict[str, Any]:
    """Build the data of the page as plain data for JSON.

    Args:
        report: what the page displays.
        media: takes the pictures of the runs.

    Returns:
        ``boards`` with rows, fronts, items and pairs; ``runs``, ``shared_values``, and what is common to all of them.
        The runs of a row are indices of ``runs``; the shared parts of a run are indices of ``shared_values``.
    """
    boards = report.table.boards
    shared_values, runs, words = SharedValues(), RunEntries(media), SharedValues()
    reader = ItemReader(boards)
    pairs = PairComparisons(reader)
    sizes = map_sizes(boards)
    origins = {sha256: run for run in report.pretrainings if (sha256 := _get_encoder_sha256(run[1]))}
    described = []
    for key, board in zip(_name_boards(boards), boards, strict=True):
        items = reader.describe_board(board)
        rows = []
        for place, row in enumerate(board.rows):
            entry = _build_row_data(board, row, words)
            entry["runs"] = [runs.add_run(folder, record) for folder, record in row.runs]
            origin = origins.get(row.runs[0][1].start_sha256)
            if origin is not None:
                entry["origin"] = runs.add_run(*origin)
            if items:
                entry |= items["rows"][place]
            rows.append(entry)
        described.append(
            {
                "key": key,
                **_build_board_data(board, report, words),
                "rows": rows,
                "pairs": pairs.compare_rows(board),
                "item_names": items.get("names"),
                "item_count": items.get("count", 0),
            }
        )
    runs.describe_runs(shared_values)
    return {
        "boards": described,
        "runs": runs.entries,
        "shared_values": shared_values.values,
        "words": words.values,
        "pair_words": pairs.words.values,
        "costs": COST_LABELS,
        "sizes": {label: classify_size(size) for label, size in sorted(sizes.items())},
        "size_classes": [*(name for _, name in SIZE_CLASSES), UNKNOWN_SIZE],
        "max_compared_rows": MAX_COMPARED_ROWS,
        "runs_option": _format_runs_option(boards),
    }


def _name_boards(boards: Sequence[Board]) -> list[str]:
    """Return a short name of each board for addresses, which stays the same when other boards come and go."""
    names = [f"{board.task}.{board.protocol}.{board.tier}.{board.comparability[:8]}" for board in boards]
    # two keys with the same beginning, or a board by another metric
    return [
        name if names.count(name) == 1 else f"{name}{board.comparability[8:]}.{board.primary_metric}"
        for name, board in zip(names, boards, strict=True)
    ]


def _get_encoder_sha256(record: Record) -> str:
    encoder = record.result.details.get("encoder") if record.result else None
    found = encoder.get("sha256") if isinstance(encoder, Mapping) else None
    return found if isinstance(found, str) else ""


def _format_runs_option(boards: Sequence[Board]) -> list[str]:
    """Return the folders of runs, for the commands that the page names: a run lies in ROOT/TASK/NAME."""
    folders = {str(folder.parent.parent) for board in boards for row in board.rows for folder, _ in row.runs}
    return sorted(folders)[:MAX_RUN_FOLDERS]


def _build_board_data(board: Board, report: LeaderboardReport, words: SharedValues) -> dict[str, Any]:
    # a front is computed over all rows of the board, so some of its rows may be hidden on this page
    shown = {row.run_ids: number for number, row in enumerate(board.rows)}
    return {
        "title": board.title,
        "task": board.task,
        "protocol": board.protocol,
        "tier": board.scope,
        "metric": board.primary_metric,
        "unit": board.units[board.primary_metric],
        "higher": board.higher_is_better,
        "items": board.rows[0].num_items if board.rows else 0,
        "fronts": [
            {
                "cost": front.cost,
                "setup": words.index_of(front.timing_setup) if front.timing_setup else None,
                "rows": [shown[row.run_ids] for row in front.rows if row.run_ids in shown],
                "text": format_front(board, front),
            }
            for front in report.fronts[board.board_key]
        ],
    }


def _build_row_data(board: Board, row: BoardRow, words: SharedValues) -> dict[str, Any]:
    """Return what the script needs of a row; what is usual (no note, one seed) is left out to keep the page small."""
    entry: dict[str, Any] = {
        "label": row.label,
        "backbone": row.backbone,
        "start": row.start_note,
        "score": row.metrics[board.primary_metric],
        "rank": row.rank,
        "seeds": len(row.seeds),
        "argument": format_row_argument(row),
    }
    if row.interval is not None:
        entry["interval"] = [row.interval.low, row.interval.high]
        entry["covers"] = words.index_of(f"{100 * row.interval.level:g} %, {row.interval.resampling_unit}")
    # labels of the tied rows stand in each of them; as numbers of rows they are short
    labels = {other.label: number for number, other in enumerate(board.rows)}
    optional: dict[str, Any] = {
        "tied": [labels[label] for label in row.tied_with if label in labels],
        "mark": find_mark(board, row),
        "range": list(row.seed_range) if row.seed_range else None,
        "note": row.note,
        "floor": row.is_random_baseline or None,
        "one_seed": has_one_seed(row) or None,
        "busy": row.cost.is_busy or None,
        "setup": words.index_of(row.cost.timing_setup) if row.cost.timing_setup else None,
        "parameters": row.cost.parameters,
        "macs": row.cost.macs,
        # with the mark "busy" for a busy machine: the plot shows such a time, and no front has it
        "latency": row.cost.latency_ms,
    }
    if row.published_comparison is not None:
        source = row.published_comparison.published
        optional["published"] = {
            "value": source.value,
            "difference": row.published_comparison.difference,
            "within": row.published_comparison.is_within_tolerance,
            "citation": source.citation,
            "schedule": source.schedule,
        }
    # 0 is a value and stays
    return entry | {name: value for name, value in optional.items() if value is not None and value not in ("", [])}
