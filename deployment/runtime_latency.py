"""Measure what an exported model costs: the counts of its PyTorch model, and the durations of the export itself."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from backbones.cost.measure_cost import make_brief_timing, measure_efficiency
from backbones.cost.profile import describe_machine, start_device_load, time_passes
from deployment.formats import ExportRuntime
from deployment.image_models import RuntimeNetwork
from engine.evaluation.model_source import Precision
from foundation.package_versions import find_version


class TimedNetwork(Protocol):
    """What is timed: it computes something for images (N, 3, H, W), in a runtime and a precision, on some threads."""

    @property
    def runtime(self) -> ExportRuntime:
        """The runtime that computes it."""

    @property
    def precision(self) -> Precision:
        """The precision of the computation."""

    @property
    def threads(self) -> int:
        """Number of threads for one call."""

    def __call__(self, images: torch.Tensor) -> Any:
        """Compute."""


def measure_runtime_efficiency(
    model: nn.Module, network: RuntimeNetwork, input_size: tuple[int, int, int], *, with_flip: bool = False
) -> dict[str, Any]:
    """Count the cost of a model, and time its export with one image, on the threads that it was loaded with.

    Args:
        model: the model in PyTorch, whose operations are counted.
        network: the export.
        input_size: channels, height and width of the input, pixels.
        with_flip: whether each image is computed a second time in its mirror image; ``model`` does so by itself.

    Returns:
        The fields of a record's ``cost.efficiency``. The throughput is that of one image at a time, since the graphs
        have a batch of one.
    """
    counts = measure_efficiency(model, input_size, "cpu", with_timing=False)
    return {**counts, **measure_runtime_latency(network, input_size, passes=2 if with_flip else 1)}


def measure_runtime_latency(
    network: TimedNetwork, input_size: tuple[int, int, int], *, passes: int = 1
) -> dict[str, Any]:
    """Time an export with one image, as ``backbones.cost.measure_cost`` times a model in PyTorch.

    Args:
        network: the export.
        input_size: channels, height and width of the input, pixels.
        passes: how often the network computes for one image.

    Returns:
        ``latency`` and ``throughput`` in milliseconds, and ``runtime``, ``precision``, ``threads``, ``chip`` and the
        load of the machine.
    """
    # the graphs have a batch of one, and so compute the images of this batch one after another
    images = torch.randn(passes, *input_size, generator=torch.Generator().manual_seed(0))
    repeats = make_brief_timing()
    measure_load = start_device_load("cpu")
    timings = {"batch": 1, "raw_ms": time_passes(lambda: network(images), "cpu", repeats).raw}
    # the one measurement is both, since a batch takes as long as its images one after another
    return {
        "latency": timings,
        "throughput": timings,
        "chip": describe_machine("cpu")["chip"],
        "threads": network.threads,
        "runtime": f"{network.runtime} {find_version(network.runtime)}",
        # records use the same name as for torch
        "precision": "fp32" if network.precision == "f32" else network.precision,
        **measure_load()._asdict(),
    }
