"""Report scores: as plain data for JSON, and as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracking.scoring.metrics import NORM_PRECISION_THRESHOLDS, PRECISION_THRESHOLDS_PX, compute_curve_metric
from tracking.scoring.score import SequenceScore, TrackerScore, pool_curves

SHOWN_SEQUENCES = 5
"""Number of sequences listed at each end of a difference."""


def rank_trackers(scores: Sequence[TrackerScore]) -> list[TrackerScore]:
    """Sort trackers by the first metric, best first. If any score is partial, the order stays as given.

    Args:
        scores: scores with the same rules.
    """
    if any(score.is_partial for score in scores):
        return list(scores)
    primary = scores[0].rules.metrics[0]
    return sorted(scores, key=lambda score: -score.metric_values()[primary])


def compute_score_differences(first: TrackerScore, second: TrackerScore) -> list[tuple[str, float]]:
    """Compute the differences of two trackers in the first metric, in points, largest first.

    Args:
        first: score of one tracker.
        second: score of the tracker whose values are subtracted.

    Returns:
        Name and difference of each sequence that both have.
    """
    name = first.rules.metrics[0]
    # a partial score may lack sequences; only those of both are compared
    other = {score.name: score.metric_value(name) for score in second.sequences}
    pairs = [
        (score.name, score.metric_value(name) - other[score.name]) for score in first.sequences if score.name in other
    ]
    # equal differences are sorted by name, so that the order is always the same
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def scores_to_dict(set_title: str, scores: Sequence[TrackerScore]) -> dict[str, Any]:
    """Return the scores as plain data. A partial score has ``partial_metrics``, and its ``metrics`` are null.

    Args:
        set_title: name of the test set.
        scores: scores with the same rules.
    """
    rules = scores[0].rules
    data: dict[str, Any] = {
        "set": set_title,
        "rules": rules.as_dict(),
        "conventions": rules.describe_conventions(),
        "unit": "%",
        "partial": any(score.is_partial for score in scores),
        "deviations": list(scores[0].deviations),
        "thresholds": {
            "success": [round(i / (rules.num_thresholds - 1), 4) for i in range(rules.num_thresholds)],
            "precision_px": PRECISION_THRESHOLDS_PX.tolist(),
            "normalised_precision": NORM_PRECISION_THRESHOLDS.tolist(),
        },
        "trackers": [_tracker_to_dict(score) for score in rank_trackers(scores)],
    }
    if len(scores) == 2:
        data["difference"] = {
            "metric": rules.metrics[0],
            "of": f"{scores[0].tracker_name} minus {scores[1].tracker_name}, points",
            "sequences": dict(compute_score_differences(*scores)),
        }
    return data


def _tracker_to_dict(score: TrackerScore) -> dict[str, Any]:
    """Return one tracker's score as plain data."""
    values, curves = score.metric_values(), score.curves
    return {
        "tracker": score.tracker_name,
        "partial": score.is_partial,
        "scored": len(score.sequences),
        "expected": score.expected_sequences,
        # under another key, so that no program takes a partial number for a complete one
        "metrics": None if score.is_partial else values,
        "partial_metrics": values if score.is_partial else None,
        "missing": list(score.missing),
        "wrong_length": list(score.wrong_length),
        "box_faults": list(score.box_faults),
        "notes": list(score.notes),
        # key names are part of the format and keep their spelling
        "curves": {
            "success": curves.success.tolist(),
            "precision": curves.precision.tolist(),
            "normalised_precision": curves.normalized_precision.tolist(),
        },
        "categories": _compute_group_metrics(score, "category"),
        "attributes": _compute_group_metrics(score, "attribute"),
        "sequences": [{"name": one.name, "frames": one.frames, **one.metric_values()} for one in score.sequences],
    }


def _compute_group_metrics(score: TrackerScore, group_by: str) -> dict[str, dict[str, float]]:
    """Return number of sequences and metrics of each category or attribute."""
    return {
        name: {"sequences": len(ones), **_compute_pooled_metrics(ones, score)}
        for name, ones in score.group_sequences(group_by).items()
    }


def _compute_pooled_metrics(sequence_scores: Sequence[SequenceScore], score: TrackerScore) -> dict[str, float]:
    """Return the metrics over some sequences of a tracker, pooled in the same way as over all."""
    curves = pool_curves(sequence_scores, score.rules)
    return {name: compute_curve_metric(name, curves, score.rules) for name in score.rules.metrics}


def format_scores(set_title: str, scores: Sequence[TrackerScore], group_by: str | None = None) -> str:
    """Return the scores as text: a table, a breakdown, the difference of two trackers, notes, and the rules.

    Args:
        set_title: name of the test set.
        scores: scores with the same rules.
        group_by: ``sequence``, ``category`` or ``attribute`` for a breakdown.
    """
    rules = scores[0].rules
    partial = any(score.is_partial for score in scores)
    heading = f"{set_title}, %" + (
        " - PARTIAL, not comparable with any published number, not ranked" if partial else ""
    )
    rows = [["tracker", *rules.metrics, "sequences"]]
    for score in rank_trackers(scores):
        mark = "PARTIAL " if score.is_partial else ""
        values = [f"{value:.3f}" for value in score.metric_values().values()]
        rows.append([score.tracker_name, *values, f"{mark}{len(score.sequences)} of {score.expected_sequences}"])
    blocks = [heading + "\n\n" + _align_columns(rows)]
    if group_by is not None:
        blocks.append(_format_breakdown(scores, group_by, partial))
    if len(scores) == 2:
        blocks.append(_format_differences(*scores))
    # deviations concern the ground truth, which all trackers share
    facts = list(scores[0].deviations)
    for score in scores:
        facts += [f"{score.tracker_name}: {note}" for note in (*score.box_faults, *score.notes)]
        facts += [f"{score.tracker_name}: missing: {', '.join(score.missing)}"] if score.missing else []
        facts += [f"{score.tracker_name}: wrong length: {', '.join(score.wrong_length)}"] if score.wrong_length else []
    blocks += ["\n".join(f"note: {fact}" for fact in facts)] if facts else []
    # the rules are always printed, since two numbers are comparable only under the same rules
    blocks.append("\n".join(rules.describe_conventions()))
    return "\n\n".join(blocks)


def _format_breakdown(scores: Sequence[TrackerScore], group_by: str, partial: bool) -> str:
    """Return the first metric by sequence, category or attribute, with one column per tracker."""
    name = scores[0].rules.metrics[0]
    columns: list[dict[str, float]] = []
    for score in scores:
        if group_by == "sequence":
            columns.append({one.name: one.metric_value(name) for one in score.sequences})
        else:
            columns.append(
                {
                    group: _compute_pooled_metrics(ones, score)[name]
                    for group, ones in score.group_sequences(group_by).items()
                }
            )
    # the union over trackers, because a partial score may lack a group
    keys = list(dict.fromkeys(key for column in columns for key in column))
    if not keys:
        return f"these sequences have no known {group_by}"
    rows = [[f"{name} by {group_by}{' (PARTIAL)' if partial else ''}", *(score.tracker_name for score in scores)]]
    rows += [[key, *(f"{column[key]:.3f}" if key in column else "-" for column in columns)] for key in keys]
    return _align_columns(rows)


def _format_differences(first: TrackerScore, second: TrackerScore) -> str:
    """Return the sequences with the largest differences in both directions."""
    pairs = compute_score_differences(first, second)
    better = sum(value > 0 for _, value in pairs)
    worse = sum(value < 0 for _, value in pairs)
    # pairs are sorted, so the largest gains are at the start and the largest losses at the end
    shown = pairs if len(pairs) <= 2 * SHOWN_SEQUENCES else pairs[:SHOWN_SEQUENCES] + pairs[-SHOWN_SEQUENCES:]
    head = (
        f"{first.tracker_name} minus {second.tracker_name} in {first.rules.metrics[0]}, points: above on {better}, "
        f"below on {worse} of {len(pairs)} sequences"
    )
    return head + "\n" + _align_columns([["", f"{value:+.3f}", name] for name, value in shown])


def _align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text with aligned columns."""
    # the widest cell of each column
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
