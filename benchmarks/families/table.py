"""Write the table of families in ``docs/reference/backbones.md``: every family is tried, which takes some minutes.

``make docs-families`` writes it. ``tests/benchmarks/families`` tries families again and compares with the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.families.families import FAMILIES, Family
from benchmarks.families.trials import TRIALS, Trial, try_backbone
from engine.progress_bar import log_message
from foundation.errors import UserError
from foundation.files import write_atomic

BEGIN, END = "<!-- families: written by `make docs-families` -->", "<!-- end of families -->"
_CLASS_NAME = re.compile(r"^(?:this )?[A-Z]\w+(?= )")


def main(arguments: list[str]) -> int:
    """Try all families and write their table into a page.

    Args:
        arguments: the page's path.

    Returns:
        The exit code: 1 if a family crashed, which is always a fault of bench; the page is then left as it is.
    """
    if len(arguments) != 1:
        raise SystemExit("usage: python -m benchmarks.families.table PAGE")
    outcomes = {}
    for number, family in enumerate(FAMILIES, 1):
        outcomes[family] = try_backbone(family.backbone)
        words = ", ".join(f"{kind} {format_trial(trial)}" for kind, trial in outcomes[family].items())
        log_message(f"{number}/{len(FAMILIES)} {family.backbone}: {words}")
    if any(trial.crashed for trials in outcomes.values() for trial in trials.values()):
        log_message("a family crashed, so the page was left as it is")
        return 1
    page = Path(arguments[0])
    write_atomic(page, replace_table(page.read_text(encoding="utf-8"), format_table(outcomes)))
    return 0


def format_trial(trial: Trial) -> str:
    """Format an outcome: ``yes``, with the setting that it needs, or the reason why not."""
    if trial.works:
        return f"yes, with `{trial.setting}`" if trial.setting else "yes"
    return shorten_reason(trial.reason)


def format_table(outcomes: Mapping[Family, Mapping[str, Trial]]) -> str:
    """Format the table, with the reasons below it; equal reasons share a number.

    Args:
        outcomes: the outcome of each kind of task, by family.
    """
    reasons: dict[str, int] = {}
    lines = [
        f"| family | tried as | {' | '.join(TRIALS)} |",
        f"| {' | '.join(['---'] * (2 + len(TRIALS)))} |",
    ]
    for family, trials in outcomes.items():
        cells = []
        for kind in TRIALS:
            trial = trials[kind]
            text = format_trial(trial)
            cells.append(text if trial.works else f"no [{reasons.setdefault(text, len(reasons) + 1)}]")
        lines.append(f"| {family.name} | `{family.backbone}` | {' | '.join(cells)} |")
    lines += [
        "",
        "| | why not |",
        "| --- | --- |",
        *(f"| [{number}] | {reason} |" for reason, number in reasons.items()),
    ]
    return "\n".join(lines)


def shorten_reason(reason: str) -> str:
    """Return a reason without the class name at its start, so that equal reasons of several families are equal."""
    return _CLASS_NAME.sub("the model", reason).replace("|", "/")


def replace_table(page: str, table: str) -> str:
    """Return the page with another table between its two marks.

    Raises:
        UserError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"the page has no place for the table: it needs the lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def read_table(page: str) -> dict[str, dict[str, str]]:
    """Return what a page says.

    Args:
        page: the text of the page.

    Returns:
        Backbone -> kind of task -> the outcome, as ``format_trial`` has it.
    """
    table = page.partition(BEGIN)[2].partition(END)[0]
    reasons = dict(re.findall(r"^\| \[(\d+)\] \| (.+) \|$", table, re.MULTILINE))
    table = table.partition("| | why not |")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    return {
        row[1].strip("`"): {
            kind: re.sub(r"^no \[(\d+)\]$", lambda found: reasons[found[1]], cell)
            for kind, cell in zip(rows[0][2:], row[2:], strict=True)
        }
        for row in rows[2:]
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
