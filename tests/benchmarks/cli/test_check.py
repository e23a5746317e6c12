import json

from backbones.conformance.suite import CheckResult
from benchmarks.cli.main import main


def test_a_sound_backbone(capsys):
    assert main(["check", "backbone", "vit_pico"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok")
    assert lines[-1] == "vit_pico: keeps the contract"
    assert any(line.startswith("skipped  torch.compile") for line in lines)


def test_a_failure_gives_exit_code_1_and_stands_in_the_table(capsys, monkeypatch):
    outcomes = [
        CheckResult("determinism", "passed", "fine"),
        CheckResult("gradients", "failed", "no gradient reaches x"),
    ]
    monkeypatch.setattr("backbones.conformance.suite.check_backbone", lambda *_args, **_kwargs: outcomes)
    assert main(["check", "backbone", "vit_pico"]) == 1
    out = capsys.readouterr().out
    assert "FAILED  gradients    no gradient reaches x" in out
    assert "1 of 2 checks failed" in out
    assert main(["check", "backbone", "vit_pico", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[1] == outcomes[1]._asdict()


def test_bad_input_is_one_sentence(capsys):
    for words, sentence in (
        (["backbone", "vit_pcio"], "did you mean vit_pico"),
        (["backbone", "vit_pico", "--img-size", "30"], "multiples of 8 px"),
        (["data", "digtis"], "did you mean digits"),
    ):
        assert main(["check", *words]) == 2
        err = capsys.readouterr().err
        assert sentence in err
        assert err.count("\n") == 1
