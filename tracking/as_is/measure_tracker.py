"""Measure briefly what one frame costs a finished tracker, for the record of its evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from backbones.cost.measure_cost import make_brief_timing
from backbones.cost.profile import describe_machine, start_device_load, time_passes
from foundation.package_versions import find_version
from results.records.measurements import EfficiencyRecord
from tracking.data.crops import ImageArray
from tracking.data.pair import CropSizes
from tracking.deployment.load import ExportedTrackerFactory
from tracking.inference.backend import TorchNetwork, TrackerNetwork
from tracking.inference.tracker_factory import TrackerFactory
from tracking.models.tracker_model import TrackerModel
from tracking.profile import count_tracker_cost


def measure_tracker(model: TrackerModel, sizes: CropSizes, factory: TrackerFactory, device: str) -> EfficiencyRecord:
    """Count and time the whole network on one frame: backbone and head, template and search region.

    A frame follows from the box of the frame before, so a tracker works with one image at a time, and no throughput of
    larger batches is measured. With asymmetric attention the template is encoded once, and is no part of a frame.

    Args:
        model: the network on the CPU.
        sizes: sizes of its crops.
        factory: the factory that tracked; it names the runtime.
        device: ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The counts, and the times of one frame with all threads, as ``backbones.cost.measure_cost`` measures a backbone.
    """
    counts = count_tracker_cost(model, sizes)
    counts.pop("template", None)  # once per sequence, not per frame
    network = _load_network(model, factory, device)
    # numpy's own generator: the random numbers of torch stay where they are
    drawn = np.random.default_rng(0)
    template, search = (_draw_crop(drawn, side) for side in (sizes.template_size, sizes.search_size))
    encoded = network.encode_template(template)
    # the same budget as for a backbone, so that the times of a board are measured alike
    repeats = make_brief_timing()
    # begins here, so that the load while the network was compiled does not count
    measure_load = start_device_load(device)
    latency = time_passes(lambda: network.predict_maps([encoded], [search]), device, repeats)
    machine = describe_machine(device)
    return EfficiencyRecord.model_validate(
        {
            # the larger of the two crops, which decides the cost
            "img_size": [sizes.search_size, sizes.search_size],
            **counts,
            "latency": {"batch": 1, "raw_ms": latency.raw},
            "chip": machine["chip"],
            "threads": machine["threads"],
            "runtime": f"{network.runtime} {find_version(network.runtime)}",
            "precision": network.precision,
            **measure_load()._asdict(),
        }
    )


def _load_network(model: TrackerModel, factory: TrackerFactory, device: str) -> TrackerNetwork:
    """Return the network that tracked, with as many threads as torch uses."""
    if isinstance(factory, ExportedTrackerFactory):
        # the test set was tracked by single-threaded processes
        return replace(factory, threads=torch.get_num_threads()).load_network()
    return TorchNetwork(model.to(device))


def _draw_crop(drawn: np.random.Generator, side: int) -> ImageArray:
    return drawn.integers(0, 256, (side, side, 3), np.uint8)
