"""The example of the page on Python runs as it stands there, and what cannot be meant is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import litevit_bench as bench
from backbones.memory_modules.memory_module import make_memory_card
from engine.data.digits import DigitsDataset, load_digits_data
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
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 50), (200, 30, 30)).save(tmp_path / "photos" / "red.png")
    found: dict[str, object] = {"torch": torch}
    exec(compile(read_example(), "docs/reference/python.md", "exec"), found)
    run = found["run"]
    assert isinstance(run, bench.LoadedRun) and len(run.items["label"]) == run.record.done
    # its model says what pixels it is for, so that it has the same number when it is handed over as a module
    handed = bench.evaluate(run.load_model(), "digits", out="runs")
    assert handed.result and run.record.result
    assert handed.result.metrics["top1"].value == run.record.result.metrics["top1"].value
    logits = found["logits"]
    assert isinstance(logits, torch.Tensor) and logits.shape == (1, 10)
    assert "red.png" in capsys.readouterr().out
    # the page keeps its runs in a folder of their own, and the module was evaluated into another
    assert {row["protocol"] for row in bench.list_runs("trained")} == {"finetune", "as_is"}
    assert [row["protocol"] for row in bench.list_runs("runs")] == ["as_is"]


def test_an_evaluation_has_items_and_no_model_of_its_own(tmp_path: Path) -> None:
    folder, record = write_evaluation(tmp_path / "digits/a", "vit_nano", [True, False, True])
    run = bench.load_run(folder)
    assert run.record == record and run.items["place"] == [0, 1, 0]
    with pytest.raises(bench.UserError, match="trained no model of its own"):
        run.load_model()


def make_module(num_classes: int) -> torch.nn.Module:
    """A small classifier of timm as a user has it in a notebook, for 32 x 32 pixels."""
    torch.manual_seed(0)
    module: torch.nn.Module = bench.create_backbone("vit_pico", num_classes=num_classes, checkpoint="random").model
    for name, value in {"name": "mine", "mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": (3, 32, 32)}.items():
        setattr(module, name, value)
    return module


def test_a_module_from_memory_is_evaluated_with_its_head(tmp_path: Path) -> None:
    module = make_module(10)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    record = bench.evaluate(module, "digits", out=tmp_path / "runs", device="cpu")
    assert (record.backbone.init, record.backbone.name, record.status) == ("memory", "mine", "complete")
    assert record.backbone.checkpoint is not None and record.backbone.checkpoint.uri == "memory:mine"
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    # its answers are those of the module itself
    images = DigitsDataset(load_digits_data(), "test", 32, (0.5,) * 3, (0.5,) * 3)
    with torch.inference_mode():
        logits = module.eval()(torch.stack([torch.as_tensor(images[item]["images"]) for item in range(8)]))
    (row,) = bench.list_runs(tmp_path / "runs")
    items = bench.load_run(row["folder"]).items
    assert items["prediction"][:8] == logits.argmax(1).tolist()
    # another network of the same name is another run
    with torch.no_grad():
        next(iter(module.parameters())).add_(1.0)
    assert bench.evaluate(module, "digits", out=tmp_path / "runs", device="cpu").run_id != record.run_id


def test_a_backbone_that_was_created_says_the_normalization_of_its_card() -> None:
    # timm's own entry for the architecture has that of ImageNet
    card = make_memory_card(bench.create_backbone("vit_pico", img_size=64).model)[0]
    assert (card.mean, card.std, card.input_size) == ((0.5,) * 3, (0.5,) * 3, (3, 64, 64))


def test_settings_may_be_paths_and_arrays(tmp_path: Path) -> None:
    """A class map was once looked for under its name in quotes."""
    for number, name in enumerate(("0", "7")):
        path = tmp_path / "data" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (40, 50), (200, 30 * number, 30)).save(path)
    (tmp_path / "map.csv").write_text("0,0\n7,7\n")
    mean = np.full(3, 0.5)
    ids = {
        bench.evaluate(
            make_module(10),
            "imagefolder",
            settings={"class_map": given, "mean": mean, "std": mean, "real_labels": None},
            data_root=tmp_path / "data",
            out=tmp_path / "runs",
            device="cpu",
            allow_subset=True,
        ).backbone.arguments["class_map"]
        for given in ("index", str(tmp_path / "map.csv"), tmp_path / "map.csv")
    }
    assert len(ids) == 2 and "index" in ids


def test_no_images_are_no_predictions(tmp_path: Path) -> None:
    with pytest.raises(bench.UserError, match="there are no images"):
        bench.predict(make_module(10), [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_names_no_model_is_refused(tmp_path: Path) -> None:
    out = {"out": tmp_path / "runs", "device": "cpu"}
    with pytest.raises(bench.UserError, match="or a torch module, not int"):
        bench.evaluate(3, "digits", **out)  # type: ignore[arg-type]
    with pytest.raises(bench.UserError, match="this Linear does not say its name, mean, std, input_size"):
        bench.evaluate(torch.nn.Linear(1, 1), "digits", **out)  # type: ignore[arg-type]
    with pytest.raises(bench.UserError, match="20"):
        bench.evaluate(make_module(20), "digits", **out)  # type: ignore[arg-type]
    with pytest.raises(bench.UserError, match="precision int8 is one of an exported model"):
        bench.evaluate("vit_nano", "digits", precision="int8", **out)  # type: ignore[arg-type]
    with pytest.raises(bench.UserError, match="runtime cannot be 'onnx'"):
        bench.evaluate("vit_nano", "digits", runtime="onnx", **out)  # type: ignore[arg-type]
    (tmp_path / "a.pth").touch()
    with pytest.raises(bench.UserError, match="are two files; give one of them"):
        bench.predict(tmp_path / "a.pth", tmp_path, tmp_path / "out", checkpoint=tmp_path / "b.pth")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda out: bench.evaluate("runs/digits/nope", "digits", out=out), "no run, checkpoint or config at runs/"),
        (lambda out: bench.evaluate(Path("nope"), "digits", out=out), "no run, checkpoint or config at nope"),
        (lambda out: bench.evaluate("nope.py", "mini_ade", checkpoint="x", out=out), "or config at nope.py"),
        (lambda out: bench.evaluate("vit_pico", None, out=out), "a task has a name, which is a text, not None"),
        (lambda out: bench.evaluate("vit_pico", "digits", settings=["img_size=64"], out=out), "are a dictionary"),
        (lambda out: bench.run("digits", "vit_pico", overrides="k=5", out=out), "are a dictionary"),
        (lambda out: bench.evaluate("vit_pico", "digits", out=None), "out must be a path, .* not NoneType"),
        (lambda out: bench.evaluate("vit_pico", "digits", data_root=3, out=out), "data_root must be a path"),
        (lambda out: bench.predict("vit_pico", [Image.new("RGB", (8, 8))], out), "images must be a path, .* not Image"),
        (lambda out: bench.predict("vit_pico", Image.new("RGB", (8, 8)), out), "images must be a path, .* not Image"),
        (lambda out: bench.predict("vit_pico", [], out), "there are no images"),
        (lambda out: bench.load_run("15ab07"), "there is no folder of a run at 15ab07"),
        (lambda out: bench.load_run(None), "folder must be a path"),
    ],
)
def test_what_a_notebook_hands_over_by_mistake_is_named(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(bench.UserError, match=message):
        call(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
