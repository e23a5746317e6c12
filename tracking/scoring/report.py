"""What a score says: plain data for JSON, and text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracking.scoring.metrics import ERRORS_NORM, ERRORS_PX, metric
from tracking.scoring.score import SequenceScore, TrackerScore, pool

SHOWN = 5
"""Sequences listed at each end of a difference."""


def ranked(scores: Sequence[TrackerScore]) -> list[TrackerScore]:
    """Best first by the first metric; the given order where any score is partial (those are never ranked)."""
    if any(score.partial for score in scores):
        return list(scores)
    primary = scores[0].rules.metrics[0]
    return sorted(scores, key=lambda score: -score.values()[primary])


def difference(first: TrackerScore, second: TrackerScore) -> list[tuple[str, float]]:
    """First minus second in the first metric, in points, by sequence that both have; largest first."""
    name = first.rules.metrics[0]
    other = {score.name: score.value(name) for score in second.sequences}
    pairs = [(score.name, score.value(name) - other[score.name]) for score in first.sequences if score.name in other]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def as_data(title: str, scores: Sequence[TrackerScore]) -> dict[str, Any]:
    """The scores as plain data; a partial one has ``partial_metrics``, and its ``metrics`` are null."""
    rules = scores[0].rules
    data: dict[str, Any] = {
        "set": title,
        "rules": rules.as_dict(),
        "conventions": rules.sentences(),
        "unit": "%",
        "partial": any(score.partial for score in scores),
        "departures": list(scores[0].departures),
        "thresholds": {
            "success": [round(i / (rules.thresholds - 1), 4) for i in range(rules.thresholds)],
            "precision_px": ERRORS_PX.tolist(),
            "normalised_precision": ERRORS_NORM.tolist(),
        },
        "trackers": [_tracker(score) for score in ranked(scores)],
    }
    if len(scores) == 2:
        data["difference"] = {
            "metric": rules.metrics[0],
            "of": f"{scores[0].tracker} minus {scores[1].tracker}, points",
            "sequences": dict(difference(*scores)),
        }
    return data


def _tracker(score: TrackerScore) -> dict[str, Any]:
    values, curves = score.values(), score.curves
    return {
        "tracker": score.tracker,
        "partial": score.partial,
        "scored": len(score.sequences),
        "expected": score.expected,
        "metrics": None if score.partial else values,
        "partial_metrics": values if score.partial else None,
        "missing": list(score.missing),
        "wrong_length": list(score.wrong_length),
        "notes": list(score.notes),
        "curves": {
            "success": curves.success.tolist(),
            "precision": curves.precision.tolist(),
            "normalised_precision": curves.normalised.tolist(),
        },
        "categories": _groups(score, "category"),
        "attributes": _groups(score, "attribute"),
        "sequences": [{"name": one.name, "frames": one.frames, **one.values()} for one in score.sequences],
    }


def _groups(score: TrackerScore, by: str) -> dict[str, dict[str, float]]:
    return {name: {"sequences": len(ones), **_values(ones, score)} for name, ones in score.groups(by).items()}


def _values(ones: Sequence[SequenceScore], score: TrackerScore) -> dict[str, float]:
    curves = pool(ones, score.rules)
    return {name: metric(name, curves, score.rules) for name in score.rules.metrics}


def as_text(title: str, scores: Sequence[TrackerScore], by: str | None = None) -> str:
    """The scores as text: table, what is missing, rules, and, of two trackers, where they differ most."""
    rules = scores[0].rules
    partial = any(score.partial for score in scores)
    heading = f"{title}, %" + (" - PARTIAL, not comparable with any published number, not ranked" if partial else "")
    rows = [["tracker", *rules.metrics, "sequences"]]
    for score in ranked(scores):
        mark = "PARTIAL " if score.partial else ""
        values = [f"{value:.3f}" for value in score.values().values()]
        rows.append([score.tracker, *values, f"{mark}{len(score.sequences)} of {score.expected}"])
    blocks = [heading + "\n\n" + _columns(rows)]
    if by is not None:
        blocks.append(_breakdown(scores, by, partial))
    if len(scores) == 2:
        blocks.append(_difference_text(*scores))
    facts = list(scores[0].departures)
    for score in scores:
        facts += [f"{score.tracker}: {note}" for note in score.notes]
        facts += [f"{score.tracker}: missing: {', '.join(score.missing)}"] if score.missing else []
        facts += [f"{score.tracker}: wrong length: {', '.join(score.wrong_length)}"] if score.wrong_length else []
    blocks += ["\n".join(f"note: {fact}" for fact in facts)] if facts else []
    blocks.append("\n".join(rules.sentences()))
    return "\n\n".join(blocks)


def _breakdown(scores: Sequence[TrackerScore], by: str, partial: bool) -> str:
    """The first metric by sequence, category or attribute, a column a tracker."""
    name = scores[0].rules.metrics[0]
    columns: list[dict[str, float]] = []
    for score in scores:
        if by == "sequence":
            columns.append({one.name: one.value(name) for one in score.sequences})
        else:
            columns.append({group: _values(ones, score)[name] for group, ones in score.groups(by).items()})
    keys = list(dict.fromkeys(key for column in columns for key in column))
    if not keys:
        return f"no {by} is known of these sequences"
    rows = [[f"{name} by {by}{' (PARTIAL)' if partial else ''}", *(score.tracker for score in scores)]]
    rows += [[key, *(f"{column[key]:.3f}" if key in column else "-" for column in columns)] for key in keys]
    return _columns(rows)


def _difference_text(first: TrackerScore, second: TrackerScore) -> str:
    pairs = difference(first, second)
    better = sum(value > 0 for _, value in pairs)
    worse = sum(value < 0 for _, value in pairs)
    shown = pairs if len(pairs) <= 2 * SHOWN else pairs[:SHOWN] + pairs[-SHOWN:]
    head = (
        f"{first.tracker} minus {second.tracker} in {first.rules.metrics[0]}, points: above on {better}, "
        f"below on {worse} of {len(pairs)} sequences"
    )
    return head + "\n" + _columns([["", f"{value:+.3f}", name] for name, value in shown])


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
