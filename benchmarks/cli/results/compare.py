"""``bench compare A B``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.output import write_json, write_stdout
from foundation.errors import UnknownNameError, UserError
from foundation.suggest import did_you_mean

if TYPE_CHECKING:
    from results.statistics.comparison import BackboneComparison, ItemDifference
    from results.statistics.ranking import StoredRun

MAX_LISTED_ITEMS = 10
"""Items that are named without ``--all``."""


def main(options: Namespace) -> int:
    """Write one comparison a board that both are on."""
    found = make_comparisons(options.first, options.second, options.runs, options.task)
    if options.json:
        write_json([comparison_to_dict(comparison) for comparison in found])
    else:
        write_stdout(
            "\n\n".join(
                "\n".join(format_comparison(comparison, None if options.all else MAX_LISTED_ITEMS))
                for comparison in found
            )
        )
    return 0


def make_comparisons(first: str, second: str, stores: Sequence[Path], task: str | None) -> list[BackboneComparison]:
    """Compare two runs (folders or starts of ids), or two backbones on every board that both are on.

    Raises:
        UnknownNameError: neither a run nor a backbone with complete runs.
        UserError: not comparable; the sentence says why.
    """
    from benchmarks.cli.results.show import find_run
    from results.leaderboard.table import map_pretrain_methods
    from results.records.store import scan_runs
    from results.statistics.comparison import compare_backbones, group_runs_by_board

    runs = [] if all((Path(name) / "record.json").is_file() for name in (first, second)) else scan_runs(stores).records
    names = {record.backbone.name for _, record in runs}
    if all(name.partition("@")[0] in names for name in (first, second)):
        boards, others = group_runs_by_board(runs, first), group_runs_by_board(runs, second)
        shared = [key for key in boards if key in others and task in (None, boards[key][0][1].task)]
        if not shared:
            where = f" of task {task}" if task else ""
            raise UserError(f"{first} and {second} have no complete runs on one board{where}; see: bench table")
        made = map_pretrain_methods(runs)
        return [compare_backbones(boards[key], others[key], made) for key in shared]
    sides: list[list[StoredRun]] = []
    for name in (first, second):
        if name.partition("@")[0] in names:
            raise UserError(f"{name} is a backbone and the other a run; name two backbones or two runs")
        try:
            sides.append([find_run(name, stores)])
        except UnknownNameError as error:
            close = did_you_mean(name, names, hint="see: bench list runs")
            raise UnknownNameError(f"{name!r} is no run and no backbone with runs{close}") from error
    found = compare_backbones(sides[0], sides[1])
    if task not in (None, found.task):
        raise UserError(f"the two runs are of task {found.task}, not {task}")
    return [found]


def format_comparison(comparison: BackboneComparison, max_items: int | None) -> list[str]:
    """A comparison for the terminal; ``max_items`` items a direction, ``None`` for all."""
    unit, level = comparison.unit, f"{100 * comparison.level:.0f} %"
    apart = f"{comparison.difference:+.2f} {'points' if unit == '%' else unit}"
    verdict = "resolved" if comparison.p_value <= 1 - comparison.level else "not resolved: a tie"
    first, second = (side.label for side in (comparison.first, comparison.second))
    if first == second:  # two runs of one start
        first, second = comparison.first.run_ids[0], comparison.second.run_ids[0]
    direction = "" if comparison.higher_is_better else ", lower is better"
    alike = comparison.num_items - len(comparison.better) - len(comparison.worse)
    return [
        f"{comparison.task} {comparison.protocol} {comparison.tier}, {comparison.metric}{direction}, "
        f"key {comparison.comparability}",
        f"  {first}: {comparison.first.mean:.2f} {unit} ({_format_seeds(comparison.first.seeds)})",
        f"  {second}: {comparison.second.mean:.2f} {unit} ({_format_seeds(comparison.second.seeds)})",
        f"  difference {apart} ({comparison.low:+.2f} to {comparison.high:+.2f}, {level}, "
        f"{comparison.resampling_unit})",
        f"  p = {comparison.p_value:.2g} ({comparison.test_name}), {verdict}",
        f"  of {comparison.num_items:,} items {len(comparison.better):,} are better with {first}, "
        f"{len(comparison.worse):,} with {second}, {alike:,} alike"
        if comparison.num_groups is None
        else f"  {comparison.metric} is of all {comparison.num_items:,} items together; {comparison.num_groups} groups "
        "of them were left out in turn, and no item has a number of its own",
        *_format_flips(f"better with {first}", comparison.better, max_items),
        *_format_flips(f"better with {second}", comparison.worse, max_items),
        *(
            ["  (an item's number is its pseudo-value: docs/statistics.md)"]
            if comparison.uses_pseudo_values and comparison.num_groups is None
            else []
        ),
    ]


def comparison_to_dict(comparison: BackboneComparison) -> dict[str, Any]:
    """A comparison as plain data, with every item on which the two part."""
    data = comparison._asdict()
    data |= {"first": comparison.first._asdict(), "second": comparison.second._asdict()}
    return data | {name: [flip._asdict() for flip in data[name]] for name in ("better", "worse")}


def _format_seeds(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {', '.join(map(str, seeds))}"


def _format_flips(title: str, flips: Sequence[ItemDifference], max_items: int | None) -> list[str]:
    if not flips:
        return []
    some = flips[:max_items]
    named = ", ".join(f"{flip.item} ({flip.first:.4g} and {flip.second:.4g})" for flip in some)
    more = f" ... {len(flips) - len(some):,} more: --all" if len(some) < len(flips) else ""
    return [f"  {title}: {named}{more}"]
