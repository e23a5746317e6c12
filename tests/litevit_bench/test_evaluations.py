"""The example of the page on Python runs as it stands there, and what cannot be meant is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import litevit_bench as bench
from tests.conftest import ROOT
from tests.results.make_evaluations import write_evaluation


def read_example() -> str:
    """The code block of the page that evaluates a model."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "bench.evaluate" in block)
    return example


def test_the_example_of_the_page_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 50), (200, 30, 30)).save(tmp_path / "images" / "red.png")
    found: dict[str, object] = {"torch": torch}
    exec(compile(read_example(), "docs/reference/python.md", "exec"), found)
    run = found["run"]
    assert isinstance(run, bench.LoadedRun) and len(run.items["label"]) == run.record.done
    logits = found["logits"]
    assert isinstance(logits, torch.Tensor) and logits.shape == (1, 10)
    assert "red.png" in capsys.readouterr().out
    assert {row["protocol"] for row in bench.list_runs("runs")} == {"finetune", "as_is"}


def test_an_evaluation_has_items_and_no_model_of_its_own(tmp_path: Path) -> None:
    folder, record = write_evaluation(tmp_path / "digits/a", "vit_nano", [True, False, True])
    run = bench.load_run(folder)
    assert run.record == record and run.items["place"] == [0, 1, 0]
    with pytest.raises(bench.UserError, match="trained no model of its own"):
        run.load_model()


def test_what_names_no_model_is_refused(tmp_path: Path) -> None:
    out = {"out": tmp_path / "runs", "device": "cpu"}
    with pytest.raises(bench.UserError, match="not by a Linear; save its weights"):
        bench.evaluate(torch.nn.Linear(1, 1), "digits", **out)  # type: ignore[arg-type]
    with pytest.raises(bench.UserError, match="precision int8 is one of an exported model"):
        bench.evaluate("vit_nano", "digits", precision="int8", **out)  # type: ignore[arg-type]
    with pytest.raises(bench.UserError, match="runtime cannot be 'onnx'"):
        bench.evaluate("vit_nano", "digits", runtime="onnx", **out)  # type: ignore[arg-type]
    (tmp_path / "a.pth").touch()
    with pytest.raises(bench.UserError, match="are two files; give one of them"):
        bench.predict(tmp_path / "a.pth", tmp_path, tmp_path / "out", checkpoint=tmp_path / "b.pth")
    assert not (tmp_path / "runs").exists()
