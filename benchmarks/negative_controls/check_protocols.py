"""Negative controls: run a protocol on data without signal, and require that no score is left.

A protocol runs on the data as they are and on two variants whose signal was destroyed. No variant may beat the best
answer that needs no image (``labels_only``) beyond the confidence interval of the difference, and the intact run must.
All of it happens in a temporary folder: no record and no feature is left from which a real run could be answered.

A single order of shuffled labels can agree with the truth for a whole cluster of similar images. On digits the score
therefore varies by 2.5 points from order to order, where independent images would vary by 1.6. So a control that beats
the baseline is repeated with other seeds, and all of its runs decide together, like the seeds of a backbone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.resolve_cell import CellRequest, require_training_protocol
from benchmarks.run_cell import CellResult, run_cell
from classification.probes.feature_cache import use_feature_folder
from engine.data.data_options import NO_OPTIONS, DataOptions
from engine.device import get_dist_info
from engine.progress_bar import log_message
from engine.task import ControlKind, MetricSpec, Task
from foundation.errors import RecordError, UserError
from foundation.storage.leftovers import open_scratch_folder
from foundation.suggest import did_you_mean
from results.records.record import Tier
from results.statistics.estimates import IntervalEstimate, MetricSample, compute_difference
from results.statistics.ranking import build_row_sample, compute_row_interval

NUM_SEEDS = 5
"""Runs of a control that beat the baseline with its first seed."""

ALL_PROTOCOLS = "all"

RUN_LABELS: dict[ControlKind, str] = {
    "labels_only": "labels only",
    "intact": "intact",
    "shuffled_labels": "shuffled labels",
    "noise_images": "noise images",
}
RANDOM_LABEL = "random weights"
DESTROYING_KINDS: tuple[ControlKind, ...] = ("shuffled_labels", "noise_images")

Verdict = Literal["baseline", "ok", "FAILED", "inconclusive", "not judged"]


@dataclass(frozen=True)
class ControlRequest:
    """What to check.

    Attributes:
        task: the task.
        backbone: a name of the registry, or ``timm/<name>``.
        protocol: name of a protocol, ``all``, or ``None`` for the task's default one.
        tier: length of the schedule.
        overrides: settings that differ from the protocol's file, as ``key=value``.
        data_root: folder of the data sets.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        data_options: how data of the user's own are laid out and labeled.
    """

    task: Task
    backbone: str
    protocol: str | None = None
    tier: Tier = "smoke"
    overrides: tuple[str, ...] = ()
    data_root: Path = Path("data")
    device: str = "auto"
    data_options: DataOptions = NO_OPTIONS

    def list_protocols(self) -> tuple[str, ...]:
        """Return the protocols to check.

        Raises:
            UserError: the task has no such protocol.
        """
        require_training_protocol(self.task, self.protocol)
        known = self.task.protocols
        if self.protocol is None or self.protocol == ALL_PROTOCOLS:
            return known[:1] if self.protocol is None else known
        if self.protocol not in known:
            close = did_you_mean(self.protocol, known, hint=f"it has {', '.join(known)}, or {ALL_PROTOCOLS}")
            raise UserError(f"task {self.task.name} has no protocol {self.protocol!r}{close}")
        return (self.protocol,)


class ControlLine(NamedTuple):
    """One metric of one run, or of several runs of a control that differ in the seed.

    Attributes:
        protocol: the protocol.
        metric: name of the metric.
        unit: its unit.
        run: what was run, in words.
        num_runs: number of runs.
        value: the score; the mean over the runs.
        low, high: its confidence interval.
        gain: how much better it is than the baseline; ``None`` for the baseline itself.
        gain_low, gain_high: the confidence interval of the gain, items paired.
        verdict: ``ok``, ``FAILED`` (a control beats the baseline), ``inconclusive`` (the intact run does not), or
            nothing to judge.
    """

    protocol: str
    metric: str
    unit: str
    run: str
    num_runs: int
    value: float
    low: float
    high: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    verdict: Verdict


def run_negative_controls(request: ControlRequest) -> list[ControlLine]:
    """Run the controls of one or all protocols of a task and judge them.

    Raises:
        UserError: the task has no controls, or no such protocol; or several processes were started.
        BenchError: a run failed.
    """
    if get_dist_info()[1] > 1:
        raise UserError("negative controls run in one process; start bench check without torchrun")
    lines: list[ControlLine] = []
    for protocol in request.list_protocols():
        with _open_store() as store:
            lines += _ProtocolCheck(request, protocol, store).yield_lines()
    return lines


def summarize_verdicts(lines: Sequence[ControlLine]) -> dict[str, Verdict]:
    """Return the verdict of each protocol: ``FAILED``, ``inconclusive`` or ``ok``.

    Args:
        lines: all lines of all protocols.
    """
    found: dict[str, Verdict] = {}
    for line in lines:
        # a failure counts whether or not the intact run learned anything
        if line.verdict == "FAILED" or found.get(line.protocol) == "FAILED":
            found[line.protocol] = "FAILED"
        elif line.verdict == "inconclusive" or found.get(line.protocol) == "inconclusive":
            found[line.protocol] = "inconclusive"
        else:
            found[line.protocol] = "ok"
    return found


class _ControlRuns(NamedTuple):
    """The runs of one line, one per seed."""

    label: str
    results: list[CellResult]


@dataclass(frozen=True)
class _ProtocolCheck:
    """The check of one protocol: runs its variants in a temporary store and compares them."""

    request: ControlRequest
    protocol: str
    store: Path

    def yield_lines(self) -> Iterator[ControlLine]:
        """Run everything, then yield the lines, metric by metric."""
        metrics = self.request.task.make_control("intact").metrics
        baseline, intact = self._run_variant("labels_only", 1), self._run_variant("intact", 2)
        if intact.results[0].record.backbone.init == "random":
            intact = intact._replace(label=f"{intact.label}, {RANDOM_LABEL}")
        rows = [intact]
        if intact.results[0].record.backbone.init != "random":
            rows.append(_ControlRuns(RANDOM_LABEL, [self._run_cell("intact", 0, f"3 of 5: {RANDOM_LABEL}", "random")]))
        for place, kind in enumerate(DESTROYING_KINDS, 4):
            rows.append(self._run_control(kind, place, baseline, metrics))
        learned = any(_compute_gain(intact, baseline, spec).low > 0 for spec in metrics)
        for spec in metrics:
            yield self._make_line(spec, baseline, None, "baseline")
            for row in rows:
                gain = _compute_gain(row, baseline, spec)
                verdict: Verdict = "ok" if gain.low > 0 else "not judged" if learned else "inconclusive"
                if row.label == RANDOM_LABEL:
                    verdict = "not judged"
                elif row is not intact:
                    verdict = "FAILED" if gain.low > 0 else "ok"
                yield self._make_line(spec, row, gain, verdict)

    def _run_control(
        self, kind: ControlKind, place: int, baseline: _ControlRuns, metrics: Sequence[MetricSpec]
    ) -> _ControlRuns:
        """Run a control with one seed, and with several if the first beats the baseline in a metric."""
        runs = self._run_variant(kind, place)
        if not any(_compute_gain(runs, baseline, spec).low > 0 for spec in metrics):
            return runs
        others = [
            self._run_cell(kind, seed, f"{place} of 5: {runs.label} beat the baseline; run {seed + 1} of {NUM_SEEDS}")
            for seed in range(1, NUM_SEEDS)
        ]
        return _ControlRuns(f"{runs.label}, {NUM_SEEDS} runs", [*runs.results, *others])

    def _run_variant(self, kind: ControlKind, place: int) -> _ControlRuns:
        return _ControlRuns(RUN_LABELS[kind], [self._run_cell(kind, 0, f"{place} of 5: {RUN_LABELS[kind]}")])

    def _run_cell(self, kind: ControlKind, seed: int, progress: str, checkpoint: str | None = None) -> CellResult:
        """Run one variant as ``bench run`` runs a task."""
        asked = self.request
        log_message(f"{asked.task.name} {self.protocol}, {progress}")
        return run_cell(
            CellRequest(
                asked.task.make_control(kind, seed),
                asked.backbone,
                protocol=self.protocol,
                checkpoint=checkpoint,
                tier=asked.tier,
                overrides=asked.overrides,
                data_root=asked.data_root,
                out=self.store,
                device=asked.device,
                data_options=asked.data_options,
                # nothing is published from here, so any data will do
                allow_subset=True,
                allow_duplicates=True,
            )
        )

    def _make_line(
        self, spec: MetricSpec, runs: _ControlRuns, gain: IntervalEstimate | None, verdict: Verdict
    ) -> ControlLine:
        stored = [(result.folder, result.record) for result in runs.results]
        sample = build_row_sample(stored, spec.name)
        interval = compute_row_interval(sample, stored, spec.name)
        return ControlLine(
            self.protocol,
            spec.name,
            spec.unit,
            runs.label,
            len(stored),
            sample.sample.mean,
            interval.low,
            interval.high,
            gain.value if gain else None,
            gain.low if gain else None,
            gain.high if gain else None,
            verdict,
        )


@contextmanager
def _open_store() -> Iterator[Path]:
    """Make a temporary folder for records and features, and remove it at the end."""
    with open_scratch_folder("controls") as folder, use_feature_folder(folder / "features"):
        yield folder / "runs"


def _compute_gain(runs: _ControlRuns, baseline: _ControlRuns, spec: MetricSpec) -> IntervalEstimate:
    """Return how much better the runs are than the baseline on the same items, with its confidence interval."""
    ours, theirs = (
        build_row_sample([(result.folder, result.record) for result in each.results], spec.name)
        for each in (runs, baseline)
    )
    if ours.item_ids != theirs.item_ids:
        raise RecordError(
            f"{runs.label} and {baseline.label} were not scored on the same items; compare the two tables"
        )
    found = compute_difference(ours.sample, _repeat_sample(theirs.sample, ours.sample.num_seeds))
    if spec.higher_is_better:
        return found
    return found._replace(value=-found.value, low=-found.high, high=-found.low)


def _repeat_sample(sample: MetricSample, num_seeds: int) -> MetricSample:
    """Return the sample of a baseline as if it had several seeds: without them, those of the other would not count."""
    return sample._replace(
        seed_estimates=np.tile(sample.seed_estimates, num_seeds),
        item_values=np.tile(sample.item_values, (num_seeds, 1)),
        scaled_deviations=np.tile(sample.scaled_deviations, (num_seeds, 1)),
    )
