"""``bench compare A B``: compare two backbones or runs on the items of their tasks."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import add_runs_option
from benchmarks.cli.output import write_json, write_stdout
from foundation.display_text import format_one_line
from foundation.machine.garbage_collection import pause_garbage_collection
from results.records.identity import AS_IS

# only for annotations: the module imports numpy and scipy
if TYPE_CHECKING:
    from results.statistics.comparison import BackboneComparison, ItemDifference

MAX_LISTED_ITEMS = 10
"""Maximum number of items that are listed without ``--all``."""

PSEUDO_VALUE_NOTE = "  (the numbers of items are pseudo-values: docs/explanation/statistics.md)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    for name, place in (("first", "A"), ("second", "B")):
        parser.add_argument(
            name, metavar=place, help="a run's folder, the start of a run id, a backbone, or BACKBONE@START"
        )
    parser.add_argument("--task", help="compare only on this task")
    text = "list all items that differ instead of ten per side"
    parser.add_argument("--all", action="store_true", help=text)
    add_runs_option(parser)


def main(options: Namespace) -> int:
    """Write one comparison for each leaderboard that contains both sides."""
    # imported here, because scipy takes a second
    from benchmarks.compare_runs import make_comparisons

    with pause_garbage_collection():
        found = make_comparisons(options.first, options.second, options.runs, options.task)
    if options.json:
        write_json([comparison_to_dict(comparison) for comparison in found])
    else:
        write_stdout(
            "\n\n".join(
                "\n".join(
                    map(format_one_line, format_comparison(comparison, None if options.all else MAX_LISTED_ITEMS))
                )
                for comparison in found
            )
        )
    return 0


def format_comparison(comparison: BackboneComparison, max_items: int | None) -> list[str]:
    """Format a comparison for the terminal.

    Args:
        comparison: the comparison.
        max_items: maximum items to list per side; ``None`` for all.
    """
    unit, level = comparison.unit, f"{100 * comparison.level:.0f} %"
    # the difference of two percentages is in percentage points; a metric without a unit has none to name
    apart = f"{comparison.difference:+.2f} {'points' if unit == '%' else unit}".rstrip()
    verdict = _describe_verdict(comparison)
    first, second = (side.label for side in (comparison.first, comparison.second))
    shows_seeds = comparison.protocol != AS_IS
    first_score, second_score = (
        f"{_format_mean(side.mean, unit)}{f' ({_format_seeds(side.seeds)})' if shows_seeds else ''}"
        for side in (comparison.first, comparison.second)
    )
    if first == second:  # two runs of the same backbone and weights have the same label
        first, second = comparison.first.run_ids[0], comparison.second.run_ids[0]
    departures = f" ({', '.join(comparison.departures)})" if comparison.departures else ""
    direction = "" if comparison.higher_is_better else ", lower is better"
    # metrics such as mIoU have no value per item; groups of items are then left out in turn (jackknife)
    alike = comparison.num_items - len(comparison.better) - len(comparison.worse)
    return [
        f"{comparison.task} {comparison.protocol} {comparison.tier}{departures}, {comparison.metric}{direction}, "
        f"key {comparison.comparability}",
        f"  {first}: {first_score}",
        f"  {second}: {second_score}",
        f"  difference {apart} ({comparison.low:+.2f} to {comparison.high:+.2f}, {level}, "
        f"{comparison.resampling_unit})",
        f"  p = {comparison.p_value:.2g} ({comparison.test_name}), {verdict}",
        f"  of {comparison.num_items:,} items {len(comparison.better):,} are better with {first}, "
        f"{len(comparison.worse):,} with {second}, {alike:,} are equal"
        if comparison.num_groups is None
        else f"  {comparison.metric} is computed from all {comparison.num_items:,} items together, so single items "
        f"have no value; {comparison.num_groups} groups of items were left out in turn",
        *_format_flips(f"better with {first}", comparison.better, max_items),
        *_format_flips(f"better with {second}", comparison.worse, max_items),
        *(
            [f"  made with different versions: {comparison.version_differences}"]
            if comparison.version_differences
            else []
        ),
        *([PSEUDO_VALUE_NOTE] if comparison.uses_pseudo_values and comparison.num_groups is None else []),
    ]


def comparison_to_dict(comparison: BackboneComparison) -> dict[str, Any]:
    """Return a comparison as plain data, with every item that differs."""
    # _asdict does not convert the nested tuples
    data = comparison._asdict()
    data |= {"first": comparison.first._asdict(), "second": comparison.second._asdict()}
    return data | {name: [flip._asdict() for flip in data[name]] for name in ("better", "worse")}


def _describe_verdict(comparison: BackboneComparison) -> str:
    """Say what the p-value decides; of one seed it decides about two trainings, not about two backbones."""
    # an interval at level 95 % and a test at 5 % belong together
    if comparison.p_value > 1 - comparison.level:
        return "not resolved: a tie"
    # a finished model is not one of several trainings, so it is the items alone that a claim has to cover
    if comparison.resampling_unit == "items only" and comparison.protocol != AS_IS:
        return "the runs differ, but one seed does not show that the backbones do"
    return "resolved"


def _format_mean(mean: float, unit: str) -> str:
    return f"{mean:.2f} {unit}" if unit else f"{mean:.2f}"


def _format_seeds(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {', '.join(map(str, seeds))}"


def _format_flips(title: str, flips: Sequence[ItemDifference], max_items: int | None) -> list[str]:
    if not flips:
        return []
    some = flips[:max_items]
    named = ", ".join(f"{flip.item} ({flip.first:.4g} and {flip.second:.4g})" for flip in some)
    more = f" ... {len(flips) - len(some):,} more: --all" if len(some) < len(flips) else ""
    return [f"  {title}: {named}{more}"]
