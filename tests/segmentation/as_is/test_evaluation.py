"""A finished model has the very number that its own code gives it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.evaluation.contract import AS_IS_VERSION
from engine.evaluation.model_source import ModelSource
from engine.task import TaskOutcome
from foundation.environment import get_cache_dir
from foundation.errors import BenchError, CheckpointError, UserError
from foundation.source_hash import hash_module_sources
from segmentation.data.mini_ade import make_mini_ade
from segmentation.tasks import ADE20K, MINI_ADE
from tests.segmentation.as_is.conftest import MmsegModel
from tests.segmentation.as_is.make import write_config
from tests.segmentation.make import write_small_ade

NOWHERE = Path("nowhere")
RESIZE = 'dict(type="Resize", scale=(170, 110), keep_ratio=True),'
ZERO_LABEL = 'dict(type="LoadAnnotations", reduce_zero_label=True)'
BIAS = "decode_head.conv_seg.bias"


def evaluate(source: ModelSource, out: Path) -> TaskOutcome:
    out.mkdir(parents=True, exist_ok=True)
    return MINI_ADE.open_evaluation(source, NOWHERE).run(out)


def read_labels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def require_same_labels(folder: Path, other: Path) -> None:
    files = sorted(folder.glob("*.png"))
    assert len(files) == 24
    for path in files:
        assert (read_labels(path) == read_labels(other / path.name)).all(), path.name


def test_a_run_evaluates_to_the_number_of_its_record(run_folder: Path, tmp_path: Path) -> None:
    record = json.loads((run_folder / "record.json").read_text())
    opened = MINI_ADE.open_evaluation(ModelSource(run=run_folder, device="cpu"), NOWHERE)
    assert opened.plan.protocol_version == AS_IS_VERSION
    assert opened.plan.config == {"recipe": {"classes": 150, "scored_size": "label file"}}
    assert opened.plan.num_expected_items == 24
    assert opened.data.splits == {"test": 24}
    outcome = opened.run(tmp_path)
    for name, metric in record["result"]["metrics"].items():
        assert outcome.metrics[name].value == metric["value"]
    with (run_folder / "items.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(outcome.item_columns)
    assert rows[1:] == [["" if value is None else str(value) for value in row] for row in outcome.item_rows]
    assert (np.load(tmp_path / "areas.npy") == np.load(run_folder / "areas.npy")).all()
    require_same_labels(tmp_path / "predictions", run_folder / "predictions")
    assert outcome.details["test_mode"] == record["result"]["details"]["test_mode"]
    backbone = opened.backbone
    assert backbone.init == "checkpoint"
    assert backbone.name == "vit_nano"
    assert (backbone.arguments["mode"], backbone.arguments["crop"], backbone.arguments["stride"]) == ("slide", 64, 32)
    cost = opened.measure_cost()
    assert cost is not None
    assert cost.img_size == [64, 64]
    assert cost.parameters == record["result"]["details"]["whole_model"]["parameters"]
    assert cost.latency is not None


def test_a_run_keeps_the_normalization_of_its_images(run_folder: Path, tmp_path: Path) -> None:
    """``--mean`` and ``--std`` of a run stand in its record, and not in today's card."""
    folder = shutil.copytree(run_folder, tmp_path / run_folder.name)
    content = json.loads((folder / "record.json").read_text())
    content["backbone"]["card"] |= {"mean": [0.25, 0.5, 0.75], "std": [0.125, 0.25, 0.5]}
    (folder / "record.json").write_text(json.dumps(content))
    opened = MINI_ADE.open_evaluation(ModelSource(run=folder, device="cpu"), NOWHERE)
    assert opened.backbone.card["mean"] == pytest.approx([0.25, 0.5, 0.75])


def test_a_checkpoint_in_a_runs_folder_needs_no_run(run_folder: Path, tmp_path: Path) -> None:
    (path,) = run_folder.glob("checkpoints/last_00000006.pth")
    by_run = MINI_ADE.open_evaluation(ModelSource(run=run_folder, device="cpu"), NOWHERE)
    by_file = MINI_ADE.open_evaluation(ModelSource(checkpoint=path, device="cpu"), NOWHERE)
    assert by_file.backbone.checkpoint is not None
    assert by_run.backbone.checkpoint is not None
    assert by_file.backbone.checkpoint.sha256 == by_run.backbone.checkpoint.sha256
    assert by_file.backbone.arguments == by_run.backbone.arguments


def test_the_training_images_may_be_missing(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(make_mini_ade(get_cache_dir()), tmp_path / "data")
    for part in ("images", "annotations"):
        shutil.rmtree(tmp_path / "data" / "ADEChallengeData2016" / part / "training")
    source = ModelSource(run=run_folder, device="cpu", overrides=("max_items=3", "mode=whole"))
    opened = ADE20K.open_evaluation(source, tmp_path / "data")
    assert opened.data.splits == {"test": 3}
    assert opened.data.deviations == ("test has 24 of 2,000 pairs",)
    assert opened.plan.config["recipe"]["max_items"] == 3
    outcome = opened.run(tmp_path)
    assert len(outcome.item_rows) == opened.plan.num_expected_items == 3
    assert outcome.details["test_mode"].startswith("whole")
    assert opened.backbone.arguments["mode"] == "whole"
    assert "stride" not in opened.backbone.arguments


def test_mmsegs_model_scores_as_in_mmsegs_own_test(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    outcome = evaluate(mmseg_model.source, tmp_path)
    for name in ("mIoU", "aAcc", "mAcc"):
        # mmseg rounds to two digits
        assert outcome.metrics[name].value == pytest.approx(float(mmseg_model.metrics[name]), abs=0.0051)
    require_same_labels(tmp_path / "predictions", mmseg_model.predictions)
    assert outcome.details["test_mode"] == "slide 64/42, the config's test pipeline, native label size"


def test_the_record_describes_mmsegs_model(mmseg_model: MmsegModel) -> None:
    opened = MINI_ADE.open_evaluation(mmseg_model.source, NOWHERE)
    arguments = dict(opened.backbone.arguments)
    assert len(arguments.pop("config_sha256")) == 64
    assert arguments == {
        "parts": {"segmentor": "EncoderDecoder", "backbone": "ResNetV1c", "decode_head": "UPerHead"},
        "mode": "slide",
        "crop": [64, 64],
        "stride": [42, 42],
        "pipeline": ["LoadImageFromFile", "Resize", "PackSegInputs"],
    }
    assert opened.backbone.name == "mmseg/ResNetV1c-UPerHead"
    assert opened.backbone.card["mean"] == pytest.approx([0.485, 0.456, 0.406])
    cost = opened.measure_cost()
    assert cost is not None
    assert cost.img_size == [64, 64]


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"class": "EncoderDecoder"}, "a model whose code bench does not follow"),
        ({RESIZE: f'{RESIZE} dict(type="Pad", size_divisor=32),'}, "Pad"),
        ({"size=(64, 64),": "size=(64, 64), test_cfg=dict(size_divisor=32),"}, "padding"),
    ],
)  # fmt: skip
def test_what_bench_does_not_follow_goes_through_mmsegs_code(
    changes: dict[str, str], step: str, mmseg_model: MmsegModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "class" in changes:
        monkeypatch.setattr("segmentation.as_is.mmseg_inference._is_plain_model", lambda model: False)
        config = mmseg_model.config
    else:
        config = write_config(tmp_path, changes)
    source = replace(mmseg_model.source, config=config, overrides=("max_items=4",))
    opened: Any = MINI_ADE.open_evaluation(source, NOWHERE)
    assert opened.segmentor.segment_by_itself is not None
    opened.run(tmp_path)
    if "class" in changes:
        for path in (tmp_path / "predictions").glob("*.png"):
            assert (read_labels(path) == read_labels(mmseg_model.predictions / path.name)).all()


def test_several_scales_are_averaged_by_mmseg(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    steps = """
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="TestTimeAug", transforms=[
        [dict(type="Resize", scale_factor=ratio, keep_ratio=True) for ratio in (0.75, 1.0)],
        [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
        [dict(type="LoadAnnotations")],
        [dict(type="PackSegInputs")],
    ]),
]
test_dataloader["dataset"]["pipeline"] = test_pipeline
"""
    config.write_text(config.read_text() + steps)
    source = replace(mmseg_model.source, config=config, overrides=("max_items=2",))
    outcome = evaluate(source, tmp_path)
    assert "test-time augmentation" in outcome.details["test_mode"]


def test_windows_of_the_user(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    def open_with(*overrides: str) -> Any:
        return MINI_ADE.open_evaluation(replace(mmseg_model.source, overrides=overrides), NOWHERE)

    assert open_with("stride=[32, 20]").backbone.arguments["stride"] == [32, 20]
    assert open_with("crop=96").segmentor.windows.size == (96, 96)
    whole = open_with("mode=whole", "max_items=3")
    assert "crop" not in whole.backbone.arguments
    assert whole.run(tmp_path).details["test_mode"].startswith("whole, ")
    for overrides, message in (
        (("mode=whole", "crop=32"), "crop and stride are those of mode slide"),
        (("stride=65",), "a stride above its crop_size"),
        (("mod=whole",), "a finished segmentation model has no setting 'mod'.*mode"),
        (("crop=big",), "crop"),
        (("crop",), "--set takes key=value, not 'crop'"),
    ):
        with pytest.raises(UserError, match=message):
            open_with(*overrides)


def change_checkpoint(path: Path, target: Path, **changes: Any) -> Path:
    """Copy a checkpoint with other class names, or without or with other tensors."""
    content = torch.load(path, weights_only=False)
    if "classes" in changes:
        content["meta"]["dataset_meta"]["classes"] = changes["classes"]
    for name in changes.get("without", ()):
        del content["state_dict"][name]
    content["state_dict"] |= changes.get("tensors", {})
    torch.save({"state_dict": content["state_dict"], "meta": {"dataset_meta": content["meta"]["dataset_meta"]}}, target)
    return target


def test_weights_that_do_not_fit_are_named(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    names = [f"decode_head.lateral_convs.{index}.conv.weight" for index in range(3)]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"without": [*names, BIAS]}, f"lacks {BIAS}, {names[0]}, {names[1]} and 1 more"),
        ({"tensors": {"extra.weight": torch.zeros(2, 2)}}, "has tensors that the model does not have: extra.weight"),
        ({"tensors": {BIAS: torch.zeros(151)}}, rf"{BIAS} \(151 in the file, 150 in the model\)"),
    ]
    for changes, message in cases:
        path = change_checkpoint(mmseg_model.checkpoint, tmp_path / "changed.pth", **changes)
        with pytest.raises(CheckpointError, match=message):
            MINI_ADE.open_evaluation(replace(mmseg_model.source, checkpoint=path), NOWHERE)


def test_other_classes_are_refused(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    names = list(MINI_ADE.get_class_names(MINI_ADE.find_dataset(NOWHERE)))
    swapped = [names[1], names[0], *names[2:]]
    path = change_checkpoint(mmseg_model.checkpoint, tmp_path / "changed.pth", classes=swapped)
    source = replace(mmseg_model.source, checkpoint=path)
    with pytest.raises(
        UserError, match=r"class 0 of the model is 'building' and that of mini_ade is 'wall' \(2 of 150"
    ):
        MINI_ADE.open_evaluation(source, NOWHERE)
    taken = MINI_ADE.open_evaluation(replace(source, overrides=("classes=ignore",)), NOWHERE)
    assert taken.backbone.arguments["classes"] == "other names, ignored", "in the record"
    same = MINI_ADE.open_evaluation(replace(mmseg_model.source, overrides=("classes=ignore",)), NOWHERE)
    assert "classes" not in same.backbone.arguments, "nothing was ignored"
    path = change_checkpoint(mmseg_model.checkpoint, tmp_path / "fewer.pth", classes=names[:19])
    with pytest.raises(UserError, match=r"trained on 19 classes .*has 150; give the config that it was trained with"):
        MINI_ADE.open_evaluation(replace(source, checkpoint=path), NOWHERE)
    config = write_config(tmp_path, {ZERO_LABEL: ZERO_LABEL.replace("True", "False")})
    with pytest.raises(UserError, match=r"first class has the value 0 \(reduce_zero_label\), and in those of mini_ade"):
        MINI_ADE.open_evaluation(replace(mmseg_model.source, config=config), NOWHERE)


def test_a_model_of_other_classes_than_the_data(run_folder: Path, tmp_path: Path) -> None:
    from segmentation.tasks import SEGFOLDER

    (tmp_path / "classes.txt").write_text("dark\nbright\n")
    for part in ("images", "labels"):
        (tmp_path / part / "test").mkdir(parents=True)
    labels = np.eye(8, dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels" / "test" / "a.png")
    Image.fromarray(np.stack([labels * 200] * 3, -1)).save(tmp_path / "images" / "test" / "a.png")
    with pytest.raises(UserError, match="the model has 150 classes and segfolder has 2"):
        SEGFOLDER.open_evaluation(ModelSource(run=run_folder, device="cpu"), tmp_path)


def test_windows_that_mmseg_does_not_take_are_said(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    config = write_config(tmp_path, {"crop_size=(64, 64), stride": "crop_size=64, stride"})
    with pytest.raises(UserError, match="has crop_size 64 in test_cfg; mode slide needs two numbers"):
        MINI_ADE.open_evaluation(replace(mmseg_model.source, config=config), NOWHERE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("value = 1\n", "is not a config of mmsegmentation: it has no model with a type"),
        ('default_scope = "mmdet"\nmodel = dict(type="MaskRCNN")\n', "is a config of mmdet"),
        ("model = dict(type=1 / 0)\n", r"cannot be read \(ZeroDivisionError: division by zero\)"),
        ('model = dict(type="EncoderDecoder"\n', "cannot be read"),
        ('model = dict(type="MaskRCNN")\ntest_pipeline = [dict(type="PackSegInputs")]\n', "cannot be built .*MaskRCNN"),
        ('model = dict(type="EncoderDecoder")\n', "has no test pipeline"),
        ('model = dict(type="EncoderDecoder")\ntest_pipeline = ["Resize"]\n', "is not a list of steps"),
        ('model = dict(type="EncoderDecoder")\ntest_pipeline = dict(type="Resize")\n', "is not a list of steps"),
        ('model = dict(type="EncoderDecoder")\ntest_dataloader = [1]\n', "has no test pipeline"),
        ('model = dict(type="X")\ntest_dataloader = dict(dataset=dict(datasets=[]))\n', "has no test pipeline"),
        ("import sys\nsys.exit(3)\n", r"cannot be read \(SystemExit: 3\)"),
    ],
)
def test_a_config_that_is_not_mmsegs(text: str, message: str, mmseg_model: MmsegModel, tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        MINI_ADE.open_evaluation(replace(mmseg_model.source, config=path), NOWHERE)


def test_the_zero_label_of_a_step_with_a_scope(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    """``mmseg.LoadAnnotations`` is the same class, and says that class 0 has the value 0."""
    step = {'type="LoadAnnotations", reduce_zero_label=True': 'type="mmseg.LoadAnnotations", reduce_zero_label=False'}
    config = write_config(tmp_path, step)
    with pytest.raises(UserError, match="whose first class has the value 0"):
        MINI_ADE.open_evaluation(replace(mmseg_model.source, config=config), NOWHERE)


def test_a_config_is_said_to_be_code(mmseg_model: MmsegModel, capsys: pytest.CaptureFixture[str]) -> None:
    MINI_ADE.open_evaluation(mmseg_model.source, NOWHERE)
    said = capsys.readouterr()
    assert said.out == ""
    assert f"the config {mmseg_model.config} is code and is executed now" in said.err


def test_weights_of_the_config_are_not_read(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    changes = {"pretrained=None,": 'pretrained="http://localhost:1/none.pth",'}
    config = write_config(tmp_path, changes)
    MINI_ADE.open_evaluation(replace(mmseg_model.source, config=config), NOWHERE)


def test_sources_that_are_no_segmentation_model(run_folder: Path, mmseg_model: MmsegModel, tmp_path: Path) -> None:
    cases: list[tuple[ModelSource, str]] = [
        (ModelSource(backbone="vit_nano"), "a backbone alone has no segmentation head"),
        (ModelSource(run=tmp_path), "record"),
        (ModelSource(checkpoint=mmseg_model.checkpoint), r"is not in the folder of a run.*--config"),
        (ModelSource(run=run_folder, runtime="onnxruntime", precision="bf16"), "ONNX Runtime has no bf16"),
        (ModelSource(), "no model is named"),
        (ModelSource(run=run_folder, overrides=("stride=65",)), "test.stride 65 is larger than crop 64"),
        (ModelSource(run=run_folder, overrides=("crop=[64,32]",)), "windows of a run of bench are square"),
    ]
    for source, message in cases:
        with pytest.raises(BenchError, match=message):
            MINI_ADE.open_evaluation(replace(source, device="cpu"), NOWHERE)
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    (copy / "checkpoints" / "last_00000006.pth").unlink()
    with pytest.raises(CheckpointError, match=r"the weights that the run .* tested are not there"):
        MINI_ADE.open_evaluation(ModelSource(run=copy, device="cpu"), NOWHERE)


def test_a_damaged_checkpoint_is_refused(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    path = copy / "checkpoints" / "last_00000006.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="is damaged"):
        MINI_ADE.open_evaluation(ModelSource(run=copy, device="cpu"), NOWHERE)


def test_logits_that_are_not_finite_have_no_score(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    changes = {"tensors": {"decode_head.conv_seg.bias": torch.full((150,), torch.nan)}}
    path = change_checkpoint(mmseg_model.checkpoint, tmp_path / "changed.pth", **changes)
    opened = MINI_ADE.open_evaluation(replace(mmseg_model.source, checkpoint=path), NOWHERE)
    with pytest.raises(BenchError, match="ADE_val_00000001 are not finite"):
        opened.run(tmp_path)


def test_small_ade_is_found_without_training_files(tmp_path: Path) -> None:
    folder = write_small_ade(tmp_path)
    shutil.rmtree(folder / "images" / "training")
    assert ADE20K.check_test_data(tmp_path).splits == {"test": 2}
    assert ADE20K.list_test_items(tmp_path)["name"] == ["ADE_val_00000001", "ADE_val_00000002"]


def test_what_a_test_does_not_use_of_a_config_is_no_part_of_the_id(mmseg_model: MmsegModel, tmp_path: Path) -> None:
    """The same model on another machine is the same row: folders, optimizer and start weights differ there."""
    changes = (
        {
            "WORK": "/elsewhere",
            "DATA_ROOT": "/their/data",
            "lr=0.01": "lr=0.1",
            "pretrained=None": 'pretrained="/a.pth"',
        },
        {"scale=(170, 110)": "scale=(160, 110)"},
        {"align_corners=False": "align_corners=True"},
    )
    digests = []
    for change in ({}, *changes):
        config = write_config(tmp_path, change)
        opened = MINI_ADE.open_evaluation(replace(mmseg_model.source, config=config), NOWHERE)
        digests.append(opened.backbone.arguments["config_sha256"])
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_code_of_the_user_is_part_of_the_id(
    mmseg_model: MmsegModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config names a class and says nothing of its code."""
    monkeypatch.syspath_prepend(str(tmp_path))
    head = 'type="UPerHead"'
    digests = []
    for name, number in (("my_first_head", 1), ("my_second_head", 2)):
        (tmp_path / f"{name}.py").write_text(
            "from mmseg.models.decode_heads import UPerHead\nfrom mmseg.registry import MODELS\n\n\n"
            f"@MODELS.register_module(name={name!r})\nclass MyHead(UPerHead):\n    number = {number}\n"
        )
        config = write_config(tmp_path, {head: f'type="{name}"', "train_cfg=dict(),": "train_cfg=None,"})
        config.write_text(f"custom_imports = dict(imports=[{name!r}])\n{config.read_text()}")
        opened = MINI_ADE.open_evaluation(replace(mmseg_model.source, config=config), NOWHERE)
        digests.append(opened.backbone.arguments["code"])
        found = hash_module_sources(named=[name])
        assert found is not None
        assert digests[-1] == found.sha256
    assert digests[0] != digests[1]
