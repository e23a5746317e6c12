import json

import pytest

from backbones.profile import TimingConfig
from benchmarks.cli.main import main


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(
        "backbones.profile.TimingConfig", lambda: TimingConfig(warmup=1, min_passes=2, max_passes=2, time_budget=0.0)
    )


def test_several_names_give_one_table(capsys):
    assert main(["profile", "vit_nano", "vit_pico", "--batch", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["backbone", "vit_nano", "vit_pico"]
    assert lines[1].index("32x32") == lines[2].index("32x32") == lines[0].index("pixels")
    assert "thread" in lines[4]


def test_json_keeps_raw_timings(capsys):
    assert main(["profile", "vit_pico", "--img-size", "40", "--batch", "2", "--dtype", "bf16", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["img_size"] == [40, 40]
    assert len(found["latency"]["raw"]) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vit_pico", "--batch", "-1"], "--batch: must be a whole number above 0, not '-1'"),
        (["vit_pico", "--batch", "0"], "above 0"),
        (["vit_pico", "--img-size", "big"], "--img-size: must be a whole number"),
        (["vit_pico", "--img-size", "30"], "multiples of 8 px"),
        (["vit_pico", "vit_pcio"], "did you mean vit_pico"),
        (["timm/vit_tny_patch16_224"], "timm has no model"),
        (["vit_pico", "--dtype", "int8"], "invalid choice"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, capsys):
    assert main(["profile", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1


def test_a_whole_tracker_is_profiled(capsys, monkeypatch):
    monkeypatch.setattr(
        "tracking.profile.TimingConfig", lambda: TimingConfig(warmup=1, min_passes=2, max_passes=2, time_budget=0.0)
    )
    monkeypatch.setattr("tracking.profile.BENCHMARK_FRAMES", 12)
    words = ["profile", "vit_pico", "--task", "tracking", "--protocol", "fast64", "--device", "cpu"]
    assert main([*words, "--json", "--set", "head_channels=16"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["crops"]["search_size"] == 64 and found["protocol"] == "fast64"
    assert len(found["network"]["raw"]) == 2 and len(found["end_to_end"]["raw"]) == 12 - 5
    assert found["end_to_end"]["median"] > 0 and found["where"]["synchronised"] is True
    assert (found["where"]["runtime"], found["where"]["precision"], found["where"]["batch"]) == ("torch", "fp32", 1)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["vit_pico", "fast64", "32", "/", "64"]
    assert "1 thread" in lines[3] or "threads" in lines[3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vit_pico", "--protocol", "fast64"], "--protocol belongs to the protocol of a task; add --task tracking"),
        (["vit_pico", "--set", "head_channels=16"], "--set belongs to the protocol of a task"),
        (["vit_pico", "--task", "tracking", "--batch", "4"], "--batch has no meaning for --task tracking"),
        (["vit_pico", "--task", "tracking", "--protocol", "fast46"], "did you mean fast64"),
        (["vit_pico", "--task", "tracking", "--protocol", "fast64", "--set", "hedd=1"], "unknown configuration key"),
    ],
)
def test_a_tracker_s_bad_options_are_one_sentence(words, sentence, capsys):
    assert main(["profile", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and sentence in captured.err and captured.err.count("\n") == 1
