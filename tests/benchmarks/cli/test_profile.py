import importlib
import json

import pytest

from backbones.cost.profile import TimingConfig
from backbones.registry import get_card
from benchmarks.cli.main import main
from foundation.machine.machine_load import MachineLoad
from results.records.record import Record, dump_record
from tests.results.make import make_cost, write_digits_run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    # a module that is first imported while the name is replaced would keep the replacement for good
    importlib.import_module("backbones.cost.measure_cost")
    monkeypatch.setattr(
        "backbones.cost.profile.TimingConfig",
        lambda: TimingConfig(warmup=1, min_passes=2, max_passes=2, time_budget=0.0),
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


def test_a_saved_timing_renews_that_of_a_board(tmp_path, capsys, monkeypatch):
    record = write_digits_run(
        tmp_path / "runs" / "digits" / "vit_pico-run",
        "vit_pico",
        [True] * 10,
        cost=make_cost(44_928, 69.4, macs=780_480, other_load=0.9),
    )[1]
    card = get_card("vit_pico").as_dict()
    changed = record.model_dump() | {"backbone": record.backbone.model_dump() | {"card": card}}
    (tmp_path / "runs" / "digits" / "vit_pico-run" / "record.json").write_text(
        dump_record(Record.model_validate(changed))
    )
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "runs" / "digits" / "vit_pico-run" / "record.json").read_bytes()

    def read_costs():
        assert main(["table", "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out)["boards"][0]["rows"][0]["cost"]

    assert (read_costs()["latency_ms"], read_costs()["is_busy"]) == (69.4, True)
    command = read_costs()["renewal"].split()
    assert command[:4] == ["OMP_NUM_THREADS=1", "bench", "profile", "vit_pico"]
    # what the test's machine is doing is not part of the test
    monkeypatch.setattr("backbones.cost.profile.is_machine_busy", lambda *_, **__: False)
    monkeypatch.setattr("backbones.cost.profile.start_load_meter", lambda: MachineLoad)
    monkeypatch.setattr("foundation.machine.machine_load.BUSY_RATIO", 1e9)
    assert main(command[2:]) == 0
    assert "saved: runs/timings/vit_pico-32x32-" in capsys.readouterr().out
    cost = read_costs()
    assert (cost["is_busy"], cost["renewal"], cost["batch_size"]) == (False, "", 16)
    assert cost["latency_ms"] < 69.4 or cost["timing_setup"] != "a chip, 1 thread, torch 2, fp32"
    # no run and no ledger was touched, and the other commands go on as before
    assert (tmp_path / "runs" / "digits" / "vit_pico-run" / "record.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits", "timings"]
    assert main(["list", "runs"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if "vit_pico" in line]) == 1
    main(["verify", "runs"])
    assert "timings" not in capsys.readouterr().out


def test_a_busy_machine_is_named_with_the_profile(capsys, monkeypatch):
    monkeypatch.setattr("backbones.cost.profile.is_machine_busy", lambda *_, **__: True)
    assert main(["profile", "vit_pico", "--batch", "2"]) == 0
    assert "Busy machine: something else slowed down vit_pico. Repeat" in capsys.readouterr().out


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


def test_a_timing_that_cannot_be_saved_does_not_cost_the_table(capsys, tmp_path):
    (tmp_path / "timings").touch()
    assert main(["profile", "vit_pico", "--batch", "2", "--device", "cpu", "--save", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "vit_pico" in said.out and "saved:" not in said.out
    assert "cannot keep the timing" in said.err
