"""Say in sentences what a summary over all boards covers, how its numbers are made, and how far the boards agree."""

from __future__ import annotations

from statistics import fmean

from results.leaderboard.summary.cross_board_summary import (
    MIN_SHARED_BACKBONES,
    BoardAgreement,
    CrossBoardSummary,
    SummaryBlock,
)
from results.leaderboard.summary.rank_statistics import FriedmanTest
from results.records.record import CONFIDENCE_LEVEL


def build_summary_notes(summary: CrossBoardSummary) -> list[str]:
    """Return what a reader of a summary has to know, one sentence or more per line; the last lines name the boards."""
    lines = _describe_block(summary.block)
    if summary.block and summary.block.friedman:
        lines.append(_describe_test(summary.block, summary.block.friedman))
    lines.append(
        "Win rate: how much of its comparisons a row wins, and their number. It is compared with every other row on "
        "each task that both are on, outside the block too; boards of one task are averaged first, a tie counts half."
    )
    # in the block, a line of its own says so
    cells = [cell for row in summary.rows for cell in row.cells if cell and cell.is_comparable]
    if any(cell.rank is None and cell.mid_rank is None for cell in cells):
        lines[-1] += " Rows of one seed are compared by their scores, which another seed may change."
    lines.append(_describe_agreement(summary.agreements))
    if any(cell and not cell.is_comparable for row in summary.rows for cell in row.cells):
        lines.append(
            "A score that is marked as not compared takes part in nothing: its board could not rank it, for the reason "
            "that stands below the board."
        )
    if summary.ambiguous_labels:
        names = ", ".join(summary.ambiguous_labels)
        lines.append(f"Left out where one board has several rows of the same name: {names}.")
    return lines + [
        f"{number}: {title}{_format_mean_agreement(number - 1, summary.agreements)}."
        for number, title in enumerate(summary.board_titles, 1)
    ]


def _describe_block(block: SummaryBlock | None) -> list[str]:
    if block is None:
        return ["No mean rank: there are no two backbones that share boards of two tasks."]
    size = f"{block.num_rows} rows x {len(block.boards)} boards ({_format_boards(block.boards)}) of {len(block.tasks)}"
    which = "the largest complete block" if block.is_largest else "a complete block"
    lines = [
        f"Mean rank: over {which}, {size} tasks. Ranks are counted among the rows of the block, "
        "rows that share a rank have the middle of their places, and the boards of one task are averaged before the "
        "tasks are. Rows outside the block are not comparable with it and are listed without an order."
    ]
    if not block.is_largest:
        lines.append("The table has too many combinations of rows to try all, so a larger complete block may exist.")
    if block.num_seed_ordered:
        lines.append(
            f"On {block.num_seed_ordered} of the {len(block.boards)} boards of the block, rows of one seed are ordered "
            "by their scores, not by significant differences: another seed may order them differently."
        )
    if block.friedman is None:
        lines.append("No test over the tasks: it needs three rows in the block.")
    return lines


def _describe_test(block: SummaryBlock, test: FriedmanTest) -> str:
    rough = ", a rough value below 11 tasks or 6 rows" if test.is_approximate else ""
    # the mean ranks of k rows are k - 1 apart at most
    if test.critical_difference >= block.num_rows - 1:
        outcome = f"more than {block.num_rows} rows can differ, so {len(block.tasks)} tasks are too few to separate any"
    else:
        outcome = "= marks the rows that are not farther than this from the best mean rank"
    return (
        f"Friedman test over the {len(block.tasks)} tasks: chi-square {test.statistic:.2f}, "
        f"{test.degrees_of_freedom} degrees of freedom, p = {test.p_value:.2g}{rough}. Critical difference of mean "
        f"ranks (Nemenyi, {100 * (1 - CONFIDENCE_LEVEL):g} %): {test.critical_difference:.2f}; {outcome}."
    )


def _describe_agreement(agreements: tuple[BoardAgreement, ...]) -> str:
    if not agreements:
        return (
            f"How far the boards agree is unknown: no two share {MIN_SHARED_BACKBONES} backbones with different scores."
        )
    most, least = max(agreements, key=lambda each: each.tau), min(agreements, key=lambda each: each.tau)
    start = f"Agreement of boards (Kendall's tau-b of the scores, {100 * CONFIDENCE_LEVEL:g} % interval):"
    if most == least:
        return f"{start} {_format_agreement(most)}."
    return f"{start} most {_format_agreement(most)}; least {_format_agreement(least)}."


def _format_agreement(agreement: BoardAgreement) -> str:
    numbers = f"{agreement.tau:.2f} ({agreement.low:.2f} to {agreement.high:.2f})"
    return f"{_format_boards(agreement.boards, ' and ')} with {numbers}, {agreement.num_backbones} backbones"


def _format_mean_agreement(board: int, agreements: tuple[BoardAgreement, ...]) -> str:
    taus = [each.tau for each in agreements if board in each.boards]
    if len(taus) < 2:  # a single one is no mean, and the sentence on the agreement of the boards has it
        return ""
    return f" (mean agreement {fmean(taus):.2f} with {len(taus)} boards)"


def _format_boards(boards: tuple[int, ...], separator: str = ", ") -> str:
    """Return the numbers of the boards; three or more in a row are written as ``4 to 9``."""
    parts: list[str] = []
    start = 0
    for place, board in enumerate(boards):
        if place + 1 == len(boards) or boards[place + 1] != board + 1:  # a run of numbers ends here
            run = [str(each + 1) for each in boards[start : place + 1]]
            parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run
            start = place + 1
    return separator.join(parts)
