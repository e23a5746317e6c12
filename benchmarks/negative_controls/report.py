"""The outcome of negative controls in words: a table for each metric of each protocol, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from benchmarks.cli.output import align_columns
from benchmarks.negative_controls.check_protocols import ControlLine, ControlRequest, summarize_verdicts


def format_controls(request: ControlRequest, lines: Sequence[ControlLine]) -> str:
    """Return the tables and the verdict of each protocol.

    Args:
        request: what was checked.
        lines: the outcome of all runs.
    """
    blocks = []
    for (protocol, metric), group in groupby(lines, lambda line: (line.protocol, line.metric)):
        rows = list(group)
        unit = f" in {rows[0].unit}" if rows[0].unit else ""
        head = f"{request.task.name} {protocol}, {request.backbone}, {request.tier}: {metric}{unit}, 95 % intervals"
        columns = [("run", "score", "better than the baseline by", "verdict"), *map(_format_row, rows)]
        blocks.append(f"{head}\n{align_columns(columns)}")
    verdicts = summarize_verdicts(lines)
    sentences = [
        f"{request.task.name} {protocol}: {_explain_verdict(request, protocol, lines)}" for protocol in verdicts
    ]
    return "\n\n".join([*blocks, "\n".join(sentences)])


def _format_row(line: ControlLine) -> tuple[str, str, str, str]:
    score = f"{line.value:.2f} ({line.low:.2f} to {line.high:.2f})"
    if line.gain is None:
        return line.run, score, "", line.verdict
    return line.run, score, f"{line.gain:+.2f} ({line.gain_low:+.2f} to {line.gain_high:+.2f})", line.verdict


def _explain_verdict(request: ControlRequest, protocol: str, lines: Sequence[ControlLine]) -> str:
    """Return the verdict of a protocol and what it means."""
    verdict = summarize_verdicts(lines)[protocol]
    if verdict == "FAILED":
        found = [line for line in lines if line.protocol == protocol and line.verdict == "FAILED"]
        runs = " and ".join(dict.fromkeys(line.run for line in found))
        return (
            f"FAILED: {runs} beat what the labels alone give, so the score comes from something other than the "
            "relation of images and labels"
        )
    if verdict == "inconclusive":
        longer = {"smoke": "use --tier short", "short": "use --tier full"}.get(request.tier, "use another backbone")
        return (
            "inconclusive: the intact run does not beat what the labels alone give, so controls of this length prove "
            f"nothing; {longer}"
        )
    return "ok: the score is gone with the signal"
