import json
import statistics

import pytest
import torch

from backbones.cost.flop_counter import compute_complexity
from backbones.cost.profile import TimingConfig, TimingSummary, profile_backbone, profile_model, time_passes
from backbones.create import create_backbone
from foundation.errors import UserError

QUICK = TimingConfig(warmup=1, min_passes=3, max_passes=3, time_budget=0.0)


def test_a_profile_is_whole_and_plain_data():
    found = profile_backbone("vit_pico", batch_size=4, timing=QUICK)
    assert found == json.loads(json.dumps(found, allow_nan=False))
    model = create_backbone("vit_pico", checkpoint="random").model
    assert found["counts"] == compute_complexity(model, [torch.zeros(1, 3, 32, 32)]).as_dict()
    assert found["img_size"] == [32, 32]
    assert found["classes"] == 1000
    assert found["where"]["threads"] == torch.get_num_threads()
    assert found["where"]["dtype"] == "fp32"
    assert found["latency"]["batch"] == 1
    assert len(found["latency"]["raw"]) == len(found["throughput"]["raw"]) == 3
    assert found["throughput"]["images_per_second"] == pytest.approx(
        4000 / statistics.median(found["throughput"]["raw"])
    )
    assert found["memory"]["batch_n"] > found["memory"]["batch_1"] > 4 * found["counts"]["parameters"]


def test_counts_do_not_depend_on_precision_and_batch():
    one = profile_backbone("vit_pico", batch_size=1, timing=QUICK)
    low = profile_backbone("vit_pico", batch_size=2, dtype="bf16", timing=QUICK)
    assert low["counts"] == one["counts"]
    assert low["where"]["dtype"] == "bf16"
    assert low["memory"]["batch_1"] < one["memory"]["batch_1"]


def test_summary_of_timings():
    found = TimingSummary.from_samples([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (found.median, found.minimum, found.maximum, found.mean) == (3.0, 1.0, 100.0, 22.0)
    assert found.p90 == pytest.approx(4 + 0.6 * 96)
    assert found.std == pytest.approx(statistics.stdev(found.raw))


def time_durations(monkeypatch, durations, note_mode=lambda is_inference: None, **limits):
    """The times of passes that take these seconds by the clock."""
    clock, left = [0.0], iter(durations)
    monkeypatch.setattr("backbones.cost.profile.time.perf_counter", lambda: clock[0])

    def call():
        note_mode(torch.is_inference_mode_enabled())
        clock[0] += next(left)

    return time_passes(call, "cpu", TimingConfig(**{"warmup": 0, "warmup_seconds": 0.0, "min_passes": 3} | limits))


def test_warm_up_is_dropped_and_passes_are_timed(monkeypatch):
    modes = []
    limits = {"warmup": 2, "min_passes": 4, "max_passes": 9, "time_budget": 0.0}
    found = time_durations(monkeypatch, [0.2] * 2 + [0.01] * 4 + [9.0] * 5, modes.append, **limits)
    assert modes == [True] * 6, "in inference mode, and no seventh pass"
    assert found.raw == pytest.approx([10.0] * 4)


def test_passes_are_timed_until_the_minimum_is_stable(monkeypatch):
    falling = [1.0, 0.9, 0.8, 0.7, 0.6]
    found = time_durations(monkeypatch, [*falling, *[0.61] * 50], stable_passes=10, time_budget=1e9)
    assert found.raw == pytest.approx([1000 * each for each in [*falling, *[0.61] * 10]])


def test_a_disturbance_is_waited_for_until_the_time_is_up(monkeypatch):
    # the minimum is stable, but most passes take far longer: the machine is busy for now
    busy = [0.5, *[1.0] * 29]
    quiet = time_durations(monkeypatch, [*busy, *[0.5] * 100], stable_passes=10, time_budget=1e9)
    assert len(quiet.raw) == 59  # as many quick passes as slow ones, and then the median is a quick one
    assert quiet.median == pytest.approx(500)
    for limits, expected in (({"time_budget": 20.0}, 21), ({"time_budget": 1e9, "max_passes": 40}, 40)):
        found = time_durations(monkeypatch, [0.5, *[1.0] * 100], stable_passes=10, **limits)
        assert len(found.raw) == expected


def test_the_warm_up_lasts_as_long_as_it_should(monkeypatch):
    found = time_durations(monkeypatch, [0.1] * 50, warmup_seconds=0.95, max_passes=5, time_budget=1e9)
    assert len(found.raw) == 5  # after ten passes of warm-up
    with pytest.raises(StopIteration):
        time_durations(monkeypatch, [0.1] * 14, warmup_seconds=0.95, min_passes=5, time_budget=0.0)


def test_any_module_is_profiled_in_eval_mode():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(12, 2))
    found = profile_model(model, torch.zeros(1, 3, 2, 2), 2, "cpu", "fp32", QUICK)
    assert found["counts"]["macs"] == 24
    assert not model.training


def test_what_does_not_run_is_one_sentence(monkeypatch):
    with pytest.raises(UserError, match="multiples of 8 px"):
        profile_backbone("vit_pico", img_size=30)
    with pytest.raises(UserError, match="did you mean"):
        profile_backbone("vit_pic")

    def unsupported(*_args, **_kwargs):
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'\nand more")

    monkeypatch.setattr("backbones.cost.profile.time_passes", unsupported)
    with pytest.raises(
        UserError, match=r"fp16 on cpu \(\"addmm_impl_cpu_\" not implemented for 'Half'\); try"
    ) as caught:
        profile_backbone("vit_pico", dtype="fp16")
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    found = profile_backbone("vit_pico", device="cuda", dtype="fp16", timing=QUICK)
    assert found["where"]["device"] == "cuda"
    assert found["memory"]["batch_n"] > found["memory"]["batch_1"] > 2 * found["counts"]["parameters"]
