"""The four uses, pre-training and analysis by their commands on a CUDA device, and what they must share with a CPU."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from foundation.errors import UserError
from litevit_bench.cli import main
from tests.gpu.commands import get_score, read_record, read_records, run_bench
from tests.limits import HANG_SECONDS

BACKBONE = ("--backbone", "vit_nano")
SMOKE = (*BACKBONE, "--tier", "smoke", "--device", "cuda")

TRAININGS = {
    "finetune": ("digits",),
    "finetune bf16": ("digits", "--set", "precision=bf16"),
    "finetune fp16": ("digits", "--set", "precision=fp16"),
    "linear_sgd": ("digits", "--protocol", "linear_sgd"),
    "upernet": ("mini_ade",),
    "upernet fp16": ("mini_ade", "--set", "precision=fp16"),
    "semantic_fpn": ("mini_ade", "--protocol", "semantic_fpn"),
    "vitdet": ("mini_coco",),
    "vitdet fp16": ("mini_coco", "--set", "precision=fp16"),
    "vitdet bf16": ("mini_coco", "--set", "precision=bf16"),
    "frozen": ("mini_coco", "--protocol", "frozen"),
    "tracker": ("mini_lasot",),
    "tracker bf16": ("mini_lasot", "--set", "precision=bf16"),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_training(name: str, tmp_path: Path) -> None:
    task, *words = TRAININGS[name]
    run_bench("run", task, *SMOKE, "--out", str(tmp_path), *words)
    record = read_record(tmp_path)
    assert math.isfinite(get_score(record))
    assert record["cost"]["peak_memory_mib"] > 0


@pytest.mark.parametrize("protocol", ["knn", "linear", "lowshot"])
def test_probe(protocol: str, tmp_path: Path) -> None:
    run_bench("run", "digits", *BACKBONE, "--protocol", protocol, "--device", "cuda", "--out", str(tmp_path))
    assert all(get_score(each) > 12 for each in read_records(tmp_path)), "above chance, 10 %"


METHODS = ("mae", "mae_distill", "mae_distill_d2", "mocov3")


@pytest.fixture(scope="module")
def teacher(one_cache: Path) -> Path:
    """A finished pre-training; a student cannot learn from random weights."""
    out = one_cache.parent / "teacher"
    run_bench("pretrain", "mae", "--data", "digits", *SMOKE, "--out", str(out))
    (folder,) = (path.parent for path in out.rglob("record.json"))
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_pretraining(method: str, teacher: Path, tmp_path: Path) -> None:
    given = ("--teacher", "vit_nano", "--teacher-checkpoint", str(teacher)) if "distill" in method else ()
    run_bench("pretrain", method, "--data", "digits", *SMOKE, "--out", str(tmp_path), *given)
    record = read_record(tmp_path)
    assert math.isfinite(get_score(record)), "the loss, which is the number of a pre-training"
    assert record["cost"]["peak_memory_mib"] > 0


def find_numbers(found: Any) -> list[float]:
    """All numbers of a JSON value, at least one."""
    values, numbers = [found], []
    while values:
        value = values.pop()
        if isinstance(value, (dict, list)):
            values += value.values() if isinstance(value, dict) else value
        elif isinstance(value, (int, float)):
            numbers.append(float(value))
    assert numbers
    return numbers


@pytest.mark.parametrize("words", ["cka vit_nano vit_pico", "attention vit_nano", "spectrum vit_nano"])
def test_analysis(words: str, tmp_path: Path) -> None:
    run_bench(
        "analyze", *words.split(), "--data", "digits", "--images", "64", "--device", "cuda", "--out", str(tmp_path)
    )
    (path,) = tmp_path.rglob("analysis.json")
    found = json.loads(path.read_text())
    assert found["environment"]["device"].startswith("cuda (")
    assert all(math.isfinite(each) for each in find_numbers(found["numbers"]))


def test_profile_measures_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    run_bench("profile", "vit_nano", "--device", "cuda", "--json")
    (found,) = json.loads(capsys.readouterr().out)
    assert found["where"]["device"].startswith("cuda")
    assert found["memory"]["batch_n"] > found["memory"]["batch_1"] > 0
    assert 0 < found["latency"]["minimum"] <= found["latency"]["median"] < math.inf
    assert 0 < found["throughput"]["images_per_second"] < math.inf


def test_device_auto_is_cuda(tmp_path: Path) -> None:
    run_bench("run", "digits", *BACKBONE, "--protocol", "knn", "--out", str(tmp_path))
    read_record(tmp_path)


def run_elsewhere(*words: str, device: str) -> None:
    """Run a command in a process that sees the GPU only if it may use it: CUDA is hidden before torch starts."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "" if device == "cpu" else "0"}
    code = "import sys; from litevit_bench.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words, "--device", device]
    subprocess.run(command, check=True, env=environment, timeout=HANG_SECONDS)


def test_cpu_and_cuda_predict_alike(tmp_path: Path) -> None:
    """The same classes, and probabilities within 0.01: the network computes in TF32 where that is switched on."""
    import cv2
    import numpy as np

    run_bench("run", "digits", *SMOKE, "--out", str(tmp_path / "run"))
    (folder,) = (path.parent for path in (tmp_path / "run").rglob("record.json"))
    images = tmp_path / "images"
    images.mkdir()
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 255, (32, 32, 3), np.uint8)
        cv2.imwrite(str(images / f"{number}.png"), noise)
    rows = {}
    for device in ("cuda", "cpu"):
        run_elsewhere("predict", str(images), "--run", str(folder), "--out", str(tmp_path / device), device=device)
        with (tmp_path / device / "predictions.csv").open() as file:
            rows[device] = list(csv.DictReader(file))
    assert len(rows["cuda"]) == len(rows["cpu"]) == 5
    for found, expected in zip(rows["cuda"], rows["cpu"], strict=True):
        assert found["class"] == expected["class"]
        assert float(found["probability"]) == pytest.approx(float(expected["probability"]), abs=0.01)


@pytest.mark.parametrize("task", ["digits", "mini_ade", "mini_coco"])
def test_cpu_and_cuda_score_the_same_weights_alike(task: str, tmp_path: Path) -> None:
    """Within 0.5 points: float32 products differ in the last digits, and so do a few near ties."""
    run_bench("run", task, *SMOKE, "--out", str(tmp_path / "run"))
    (folder,) = (path.parent for path in (tmp_path / "run").rglob("record.json"))
    for device in ("cuda", "cpu"):
        words = ("evaluate", task, "--run", str(folder), "--out", str(tmp_path / device))
        run_elsewhere(*words, device=device)
    scores = {device: get_score(read_records(tmp_path / device)[0]) for device in ("cuda", "cpu")}
    trained = get_score(read_record(tmp_path / "run"))
    assert scores["cuda"] == pytest.approx(trained, abs=0.5)
    assert scores["cpu"] == pytest.approx(scores["cuda"], abs=0.5)


def require_repeated(first: dict[str, Any], again: dict[str, Any]) -> None:
    """Equal scores; or the record names the operations without a deterministic form, and 3 points at most differ."""
    if get_score(first) == get_score(again):
        return
    assert first["environment"]["nondeterministic_operations"], "no bit may differ without a sentence in the record"
    assert get_score(again) == pytest.approx(get_score(first), abs=3)


@pytest.mark.parametrize("task", ["digits", "mini_ade", "mini_coco", "mini_lasot"])
def test_a_repeat_has_the_same_number(task: str, tmp_path: Path) -> None:
    """See ``require_repeated``."""
    for name in ("first", "again"):
        run_bench("run", task, *SMOKE, "--out", str(tmp_path / name))
    first, again = (read_record(tmp_path / name) for name in ("first", "again"))
    require_repeated(first, again)


def test_nccl_with_one_process(tmp_path: Path) -> None:
    """torchrun sets the environment of a group of one; bench joins no group then, and the number is that of a run."""
    alone = {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "29511",
    }
    code = "import sys; from litevit_bench.cli import main; sys.exit(main())"
    words = ["run", "digits", *SMOKE, "--out", str(tmp_path), "--launcher", "torchrun"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, env={**os.environ, **alone}, timeout=HANG_SECONDS)
    read_record(tmp_path)


def test_nccl_adds_across_processes() -> None:
    """The backend itself, in a group of one: what several GPUs would use."""
    code = (
        "import torch, torch.distributed as d; torch.cuda.set_device(0);"
        "d.init_process_group('nccl', init_method='tcp://localhost:29512', rank=0, world_size=1);"
        "x = torch.ones(8, device='cuda'); d.all_reduce(x); assert x.sum().item() == 8; d.destroy_process_group()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG_SECONDS)


def test_attention_kernels_agree() -> None:
    """Flash (fp16), memory-efficient and plain attention on the shape of ViT-Tiny, against float64."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    generator = torch.Generator("cuda").manual_seed(0)
    parts = [torch.randn(8, 3, 197, 64, device="cuda", generator=generator) for _ in range(3)]
    query, key, value = (part.double() for part in parts)
    truth = (query @ key.transpose(-1, -2) / 8).softmax(-1) @ value
    for kernel, kind, tolerance in (
        (SDPBackend.MATH, torch.float32, 1e-3),  # products in TF32 where that is switched on
        (SDPBackend.EFFICIENT_ATTENTION, torch.float32, 1e-3),
        (SDPBackend.FLASH_ATTENTION, torch.float16, 3e-3),
    ):
        with sdpa_kernel(kernel):
            found = torch.nn.functional.scaled_dot_product_attention(*(part.to(kind) for part in parts))
        assert (found.double() - truth).norm() / truth.norm() < tolerance, kernel


def test_too_little_memory_is_one_sentence() -> None:
    from engine.device import translate_oom_error

    with pytest.raises(UserError, match="out of memory: split each batch"), translate_oom_error():
        torch.empty(1 << 44, device="cuda")


def test_a_command_with_too_little_memory_ends_with_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A tenth of a GiB is left to this process: less than a detector's step takes."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 1e8) / total))
    try:
        assert main(["run", "mini_coco", *SMOKE, "--out", str(tmp_path)]) == 2
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    said = capsys.readouterr().err
    assert "out of memory: split each batch" in said and "Traceback" not in said


def test_export_of_a_run_trained_here(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    run_bench("run", "digits", *SMOKE, "--out", str(tmp_path / "run"))
    (folder,) = (path.parent for path in (tmp_path / "run").rglob("record.json"))
    run_bench("export", str(folder), "--format", "onnx", "--out", str(tmp_path / "export"))
    assert list((tmp_path / "export").rglob("*.onnx"))


def test_resume_after_a_stop(tmp_path: Path) -> None:
    """A run that is stopped between two steps goes on to the number of a run that was not."""
    from tests.gpu.stopped_run import run_with_stop

    run_bench("run", "digits", *SMOKE, "--out", str(tmp_path / "whole"))
    run_with_stop(("run", "digits", *SMOKE, "--out", str(tmp_path / "stopped")))
    whole, stopped = read_record(tmp_path / "whole"), read_record(tmp_path / "stopped")
    assert stopped["cost"]["attempts"] == 2
    require_repeated(whole, stopped)


def test_track_on_frames(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    run_bench("run", "mini_lasot", *SMOKE, "--out", str(tmp_path / "run"))
    (folder,) = (path.parent for path in (tmp_path / "run").rglob("record.json"))
    frames = tmp_path / "frames"
    frames.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(frames / f"{number:04d}.png"), rng.integers(0, 255, (120, 160, 3), np.uint8))
    words = ("--init", "40,30,30,40", "--run", str(folder), "--device", "cuda", "--out", str(tmp_path / "track"))
    run_bench("track", str(frames), *words)
    boxes = np.loadtxt(tmp_path / "track" / "boxes.txt", delimiter=",")
    assert boxes.shape == (5, 4), "a box for each frame"
    assert boxes[0].tolist() == [40, 30, 30, 40]
    assert np.isfinite(boxes).all() and (boxes >= 0).all() and (boxes[:, 2:] > 0).all()
    # written with three decimals, so that a sum can be 0.001 too large
    assert (boxes[:, :2] + boxes[:, 2:] <= np.array([160, 120]) + 0.0011).all()
    found = json.loads((tmp_path / "track" / "track.json").read_text())
    assert found["frames"] == 5 and found["device"].startswith("cuda")
