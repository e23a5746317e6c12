"""``bench compare A B``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.output import write, write_json
from foundation.errors import UnknownNameError, UserError
from foundation.suggest import did_you_mean

if TYPE_CHECKING:
    from results.statistics.comparison import Comparison, Flip
    from results.statistics.ranking import Run

SHOWN = 10
"""Items that are named without ``--all``."""


def main(options: Namespace) -> int:
    """Write one comparison a board that both are on."""
    found = comparisons(options.first, options.second, options.runs, options.task)
    if options.json:
        write_json([as_data(comparison) for comparison in found])
    else:
        write("\n\n".join("\n".join(lines(comparison, None if options.all else SHOWN)) for comparison in found))
    return 0


def comparisons(first: str, second: str, roots: Sequence[Path], task: str | None) -> list[Comparison]:
    """Compare two runs (folders or starts of ids), or two backbones on every board that both are on.

    Raises:
        UnknownNameError: neither a run nor a backbone with complete runs.
        UserError: not comparable; the sentence says why.
    """
    from benchmarks.cli.results.show import find_run
    from results.leaderboard.table import pretrained_by
    from results.records.store import scan
    from results.statistics.comparison import by_board, compare

    runs = [] if all((Path(name) / "record.json").is_file() for name in (first, second)) else scan(roots).records
    names = {record.backbone.name for _, record in runs}
    if all(name.partition("@")[0] in names for name in (first, second)):
        boards, others = by_board(runs, first), by_board(runs, second)
        shared = [key for key in boards if key in others and task in (None, boards[key][0][1].task)]
        if not shared:
            where = f" of task {task}" if task else ""
            raise UserError(f"{first} and {second} have no complete runs on one board{where}; see: bench table")
        made = pretrained_by(runs)
        return [compare(boards[key], others[key], made) for key in shared]
    sides: list[list[Run]] = []
    for name in (first, second):
        if name.partition("@")[0] in names:
            raise UserError(f"{name} is a backbone and the other a run; name two backbones or two runs")
        try:
            sides.append([find_run(name, roots)])
        except UnknownNameError as error:
            close = did_you_mean(name, names, hint="see: bench list runs")
            raise UnknownNameError(f"{name!r} is no run and no backbone with runs{close}") from error
    found = compare(sides[0], sides[1])
    if task not in (None, found.task):
        raise UserError(f"the two runs are of task {found.task}, not {task}")
    return [found]


def lines(found: Comparison, shown: int | None) -> list[str]:
    """A comparison for the terminal; ``shown`` items a direction, ``None`` for all."""
    unit, level = found.unit, f"{100 * found.level:.0f} %"
    apart = f"{found.difference:+.2f} {'points' if unit == '%' else unit}"
    verdict = "resolved" if found.p <= 1 - found.level else "not resolved: a tie"
    first, second = (side.label for side in (found.first, found.second))
    if first == second:  # two runs of one start
        first, second = found.first.run_ids[0], found.second.run_ids[0]
    direction = "" if found.higher_is_better else ", lower is better"
    return [
        f"{found.task} {found.protocol} {found.tier}, {found.metric}{direction}, key {found.key}",
        f"  {first}: {found.first.value:.2f} {unit} ({_seeds(found.first.seeds)})",
        f"  {second}: {found.second.value:.2f} {unit} ({_seeds(found.second.seeds)})",
        f"  difference {apart} ({found.low:+.2f} to {found.high:+.2f}, {level}, {found.over})",
        f"  p = {found.p:.2g} ({found.test}), {verdict}",
        f"  of {found.items:,} items {len(found.better):,} are better with {first}, "
        f"{len(found.worse):,} with {second}, {found.items - len(found.better) - len(found.worse):,} "
        "alike",
        *_listed(f"better with {first}", found.better, shown),
        *_listed(f"better with {second}", found.worse, shown),
        *(["  (an item's number is its pseudo-value: docs/statistics.md)"] if found.pseudo else []),
    ]


def as_data(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data, with every item on which the two part."""
    data = found._asdict()
    data |= {"first": found.first._asdict(), "second": found.second._asdict()}
    return data | {name: [flip._asdict() for flip in data[name]] for name in ("better", "worse")}


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {', '.join(map(str, seeds))}"


def _listed(title: str, flips: Sequence[Flip], shown: int | None) -> list[str]:
    if not flips:
        return []
    some = flips[:shown]
    named = ", ".join(f"{flip.item} ({flip.first:.4g} and {flip.second:.4g})" for flip in some)
    more = f" ... {len(flips) - len(some):,} more: --all" if len(some) < len(flips) else ""
    return [f"  {title}: {named}{more}"]
