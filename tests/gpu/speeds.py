"""Speeds on a CUDA device: steps of the shipped protocols with their data, and ratios within this process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from mmengine.hooks import IterTimerHook

from tests.gpu.commands import run_bench


class Speed(NamedTuple):
    """A line of the report.

    Attributes:
        name: what was timed.
        value: how much.
        unit: of the value.
        beside: what it is compared with, or the share of the time that waited for data; in words.
    """

    name: str
    value: float
    unit: str
    beside: str


@contextmanager
def _note_steps() -> Iterator[list[tuple[float, float]]]:
    """Collect the seconds of each training step and of its wait for data, as mmengine's timer takes them."""
    steps: list[tuple[float, float]] = []
    after = IterTimerHook._after_iter

    def note(hook: Any, runner: Any, *args: Any, mode: str = "train", **kwargs: Any) -> None:
        after(hook, runner, *args, mode=mode, **kwargs)
        if mode == "train":
            steps.append(
                tuple(runner.message_hub.get_scalar(f"train/{name}").current() for name in ("time", "data_time"))
            )

    with patch.object(IterTimerHook, "_after_iter", note):
        yield steps


def _time_run(name: str, batch: int, words: tuple[str, ...]) -> list[Speed]:
    """Milliseconds an image over the second half of the steps of a real run, and the share that waits for data."""
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as out, _note_steps() as steps:
        run_bench(*words, "--device", "cuda", "--out", out)
    late = steps[len(steps) // 2 :]
    # the mean, since a step waits for the GPU only where a loss is read
    step, wait = (float(np.mean(column)) for column in zip(*late, strict=True))
    peak = torch.cuda.max_memory_allocated() / 2**30
    beside = f"{100 * wait / step:.0f} % waits for data; peak {peak:.1f} GiB; batch {batch}, {len(late)} steps"
    return [Speed(name, 1000 * step / batch, "ms/image", beside)]


def time_runs(data: Path) -> Iterator[list[Speed]]:
    """Steps of the shipped protocols; only their lengths are changed, and the data are small files in real layouts."""
    ours = ("--backbone", "deit_tiny", "--checkpoint", "random")
    short = ("iterations=24", "schedule.warmup=2")
    runs: tuple[tuple[str, int, tuple[str, ...]], ...] = (
        (
            "coco vitdet, 640 px, fp16",
            64,
            ("coco", "--set", *short, "val_interval=24", "schedule.milestones=[20]", "workers=14"),
        ),
        ("ade20k upernet, 512 px, fp32", 16, ("ade20k", "--set", *short, "val_interval=24", "workers=14")),
        (
            "ade20k upernet, 512 px, fp16",
            16,
            ("ade20k", "--set", *short, "val_interval=24", "workers=14", "precision=fp16"),
        ),
    )
    for name, batch, (task, *words) in runs:
        yield _time_run(name, batch, ("run", task, *ours, "--data-root", str(data), "--subset", *words))


def write_data(data: Path) -> None:
    """Small COCO and ADE20K trees of the sizes of real photographs."""
    from tests.detection.make import write_small_coco
    from tests.segmentation.make import save_pair

    write_small_coco(data, 64)
    rng = np.random.default_rng(0)
    for split, stem, count in (("training", "ADE_train", 16), ("validation", "ADE_val", 2)):
        for number in range(1, count + 1):
            save_pair(data, split, f"{stem}_{number:08d}", rng.integers(0, 151, (512, 683)))


def _time_device(call: Callable[[], object], runs: int = 10) -> float:
    """Median seconds of a call that has ended on the device, after three to warm up."""
    times = []
    for _ in range(runs + 3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def time_pretraining(batch: int = 256) -> Iterator[list[Speed]]:
    """A step of MAE and of D-MAE against the straightforward one of ``tests.perf.pretrain``, fp32 and fp16."""
    from tests.perf.pretrain import make_steps

    for name, has_teacher in (("mae", False), ("mae_distill", True)):
        for kind in (torch.float32, torch.float16):
            # fp16 without a scaled loss: the same work, and its gradients are not used for anything
            own, plain = (_time_device(step) for step in make_steps(name, has_teacher, batch, "cuda", kind))
            beside = f"{plain / own:.2f} x the straightforward step ({1000 * plain / batch:.3f} ms/image)"
            yield [Speed(f"{name} step, vit_tiny, batch {batch}, {kind}", 1000 * own / batch, "ms/image", beside)]


def time_attention() -> Iterator[list[Speed]]:
    """What deterministic attention would cost: forward and backward of DeiT-Tiny, fused against explicit products."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from backbones.create import create_backbone

    model = create_backbone("deit_tiny", checkpoint="random", num_classes=10).model.cuda().train()
    images = torch.randn(256, 3, 224, 224, device="cuda")

    def step() -> None:
        with torch.autocast("cuda", kind) if kind != torch.float32 else nullcontext():
            loss = model(images).sum()
        loss.backward()

    for kind in (torch.float32, torch.float16):
        fused = _time_device(step)
        with sdpa_kernel(SDPBackend.MATH):
            plain = _time_device(step)
        beside = f"{plain / fused:.2f} x as long with explicit products, which are deterministic"
        yield [Speed(f"forward and backward, deit_tiny, batch 256, {kind}", 1000 * fused / 256, "ms/image", beside)]


def time_tracker() -> Iterator[list[Speed]]:
    """Frames a second of the whole tracker (crop on the CPU, network on the device), and the network in batches."""
    from backbones.create import create_backbone
    from tests.perf.tracking import FULL_CROPS, MEAN, STD
    from tracking.inference.backend import TorchNetwork
    from tracking.inference.tracker import Tracker
    from tracking.models.tracker_model import TrackerModel

    model = TrackerModel(create_backbone("deit_tiny", checkpoint="random", num_classes=0).model, 128, 256, MEAN, STD)
    tracker = Tracker(TorchNetwork(model.cuda()), FULL_CROPS)
    frame = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    tracker.init(frame, (100, 80, 40, 40))
    seconds = _time_device(lambda: tracker.update(frame), 50)
    yield [
        Speed("tracker at 256 px, one stream, 720p frames", 1 / seconds, "frames/s", f"{1000 * seconds:.2f} ms a frame")
    ]
    for batch in (1, 64):
        template, search = (torch.randn(batch, 3, side, side, device="cuda") for side in (128, 256))
        with torch.inference_mode():
            network = _time_device(lambda: model(template, search, mode="tensor"))  # noqa: B023 - called at once
        yield [
            Speed(f"its network, batch {batch}", batch / network, "crops/s", f"{1000 * network / batch:.3f} ms a crop")
        ]
