"""``bench choose --task TASK --under 10ms``: the best models under limits of latency, size, operations, parameters."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import align_columns, write_json, write_message, write_stdout
from foundation.errors import UserError
from foundation.machine.machine_load import get_processor_name
from results.leaderboard.choice.cost_limits import EXAMPLES, CostLimit, parse_cost_limits
from results.records.identity import AS_IS

# only for annotations: the modules import scipy
if TYPE_CHECKING:
    from results.leaderboard.choice.choose_rows import BoardChoice, ChosenRow, LeftOutRow
    from results.leaderboard.table import Board


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--task", required=True, metavar="NAME", help="task whose boards answer")
    text = f"limits, at most one of each kind: {EXAMPLES}; ms are of one image, MB of the weights or exported files"
    parser.add_argument("--under", nargs="+", required=True, metavar="LIMIT", help=text)
    text = (
        f"boards of this protocol; default: {AS_IS}, finished models with the costs of the very model; in all "
        "others the costs are of the backbone alone"
    )
    parser.add_argument("--protocol", default=AS_IS, metavar="NAME", help=text)
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full", help="boards of this tier")
    text = "latencies measured there, in words of the boards, e.g. '4 threads'; default: on this machine's processor"
    parser.add_argument("--setup", metavar="TEXT", help=text)
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Write what each board of the task answers; the exit code is 1 if no row is within the limits."""
    # imported here, because scipy takes a second
    from results.leaderboard.choice.choose_rows import choose_rows
    from results.leaderboard.filter_sort import TableFilter
    from results.store_index.indexed_report import build_store_report

    # before any record is read: a wrong limit is the user's most likely mistake
    limits = parse_cost_limits(options.under)
    report, *_ = build_store_report(options.runs, TableFilter(tasks=(options.task,), tiers=(options.tier,)))
    boards = [board for board in report.table.boards if board.protocol == options.protocol]
    if not boards:
        raise UserError(_describe_absence(options.task, options.protocol, options.tier, report.table.boards))
    setup = _choose_setup(boards, limits, options.setup)
    choices = [choose_rows(board, limits, setup) for board in boards]
    if options.json:
        write_json([_choice_to_dict(choice) for choice in choices])
    else:
        write_stdout("\n\n".join("\n".join(_format_choice(choice)) for choice in choices))
    # on stderr, so that JSON stays JSON
    for warning in report.table.warnings:
        write_message(f"bench: warning: {warning}")
    # a script asks whether there is a model at all
    return 0 if any(choice.chosen for choice in choices) else 1


def _describe_absence(task: str, protocol: str, tier: str, boards: Sequence[Board]) -> str:
    others = sorted({board.protocol for board in boards})
    instead = f", or name another protocol with --protocol: {', '.join(others)}" if others else ""
    if protocol == AS_IS:
        return f"no finished model was evaluated on {task}; do it with bench evaluate {task}{instead}"
    return f"no complete run of {task} {protocol} {tier} is here; see: bench list runs{instead}"


def _choose_setup(boards: Iterable[Board], limits: Sequence[CostLimit], asked: str | None) -> str:
    """Return the setup whose latencies are compared; one that no row has if none was timed on this machine.

    Raises:
        UserError: several setups are meant, or none is.
    """
    if not any(limit.cost == "latency" for limit in limits):
        if asked is not None:
            raise UserError("--setup says which latencies count; add a limit of the latency, such as 10ms")
        return ""
    # over all boards of the task, so that one answer is about one machine
    setups = {row.cost.timing_setup for board in boards for row in board.rows if row.cost.timing_setup}
    here = get_processor_name()
    # by default the own chip: a time of another one says nothing about this machine
    found = {each for each in setups if (asked in each if asked is not None else each.partition(", ")[0] == here)}
    # another number of threads is another setup: which one the user's program will have, nobody knows
    if len(found) > 1:
        raise UserError(f"latencies were measured in {_join(found)}; name one of them with --setup")
    if not found and asked is not None:
        raise UserError(f"no latency was measured in a setup {asked!r}; there are {_join(setups) or 'none'}")
    # then no row is comparable, and each one says where it was timed
    return found.pop() if found else here


def _join(setups: Collection[str]) -> str:
    return ", and in ".join(f"'{setup}'" for setup in sorted(setups))


def _format_choice(choice: BoardChoice) -> list[str]:
    """Describe what a board answers, in lines of text."""
    board, unit = choice.board, choice.board.units[choice.board.primary_metric]
    limits = ", ".join(limit.text for limit in choice.limits)
    total = len(board.rows)
    lines = [
        f"{board.title}: {len(choice.chosen)} of {total} {'row' if total == 1 else 'rows'} within {limits}"
        + (f", timed on {choice.setup}" if choice.setup else "")
    ]
    if choice.chosen:
        direction = "" if board.higher_is_better else ", lower is better"
        head = (
            "rank",
            "model",
            f"{board.primary_metric} {unit}{direction}".strip(),
            "latency",
            "size",
            "MACs",
            "params",
        )
        lines.append(align_columns([head, *(_list_cells(choice, chosen) for chosen in choice.chosen)]))
        lines += _describe_best(choice.chosen)
    if not board.is_evaluation:
        lines.append("The costs are those of the backbone, not of the model with its head.")
    lines += _list_left_out("above a limit", choice.above)
    lines += _list_left_out("not comparable here, so neither better nor worse", choice.unknown)
    return lines


def _list_cells(choice: BoardChoice, chosen: ChosenRow) -> tuple[str, ...]:
    from results.leaderboard.choice.choose_rows import format_cost
    from results.leaderboard.render.cells import format_score

    row, cost = chosen.row, chosen.row.cost
    rank = "-" if chosen.rank is None else f"{chosen.rank}{'=' if chosen.tied_with else ''}"
    score = format_score(row._replace(interval=chosen.interval), choice.board.primary_metric)
    # a time of another place or of a busy machine must not stand beside comparable ones as if it were one
    time = format_cost("latency", cost.latency_ms)
    if cost.is_busy:
        time += " (busy machine)"
    elif not choice.setup and cost.timing_setup:
        time += f" ({cost.timing_setup})"
    return (
        *(rank, row.label, score, time),
        *(format_cost("size", chosen.size_bytes), format_cost("macs", cost.macs)),
        format_cost("parameters", cost.parameters),
    )


def _describe_best(chosen: Sequence[ChosenRow]) -> list[str]:
    """Say which row is the best, and from which ones it does not differ significantly."""
    # rows stand in the order of their scores, so the first one has rank 1 if any row has
    best = chosen[0]
    if best.rank is None:
        return [f"No row is called the best: {best.note}."]
    if best.tied_with:
        return [f"Not told apart on these items, so all of rank 1: {', '.join((best.row.label, *best.tied_with))}."]
    return [f"Best: {best.row.label}; every other row differs from it significantly."] if len(chosen) > 1 else []


def _list_left_out(title: str, rows: Sequence[LeftOutRow]) -> list[str]:
    return [f"{title}:", *(f"  {each.row.label}: {each.reason}" for each in rows)] if rows else []


def _choice_to_dict(choice: BoardChoice) -> dict[str, Any]:
    board = choice.board
    return {
        "title": board.title,
        "key": board.comparability,
        "metric": board.primary_metric,
        "unit": board.units[board.primary_metric],
        "higher_is_better": board.higher_is_better,
        "limits": [limit._asdict() for limit in choice.limits],
        "setup": choice.setup,
        "chosen": [
            {
                "label": each.row.label,
                "run_ids": list(each.row.run_ids),
                "value": each.row.metrics[board.primary_metric],
                "interval": each.interval.model_dump(mode="json") if each.interval else None,
                "rank": each.rank,
                "tied_with": list(each.tied_with),
                "note": each.note,
                "size_bytes": each.size_bytes,
                "cost": each.row.cost._asdict(),
            }
            for each in choice.chosen
        ],
        "above": [_left_out_to_dict(each) for each in choice.above],
        "unknown": [_left_out_to_dict(each) for each in choice.unknown],
    }


def _left_out_to_dict(left_out: LeftOutRow) -> dict[str, Any]:
    return {
        "label": left_out.row.label,
        "run_ids": list(left_out.row.run_ids),
        "reason": left_out.reason,
    }
