"""``bench analyze`` as users call it: records, pictures, answers from the record, sentences."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from analysis.inputs.truncated_backbone import count_blocks, select_first_blocks
from analysis.record import read_analysis
from analysis.store import scan_analyses
from backbones.create import create_backbone
from benchmarks.cli.main import main
from foundation.errors import RecordError
from results.records.store import scan_runs

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def asked(capsys: Capture, out: Path, *words: str) -> dict[str, Any]:
    """An analysis's answer as data."""
    assert main(["analyze", *words, "--device", "cpu", "--out", str(out), "--json"]) == 0, capsys.readouterr().err
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def refused(capsys: Capture, *words: str) -> str:
    """The sentence a command line is refused with."""
    assert main(["analyze", *words, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_cka_writes_a_record_and_answers_from_it(capsys: Capture, tmp_path: Path) -> None:
    words = ("cka", "vit_nano", "vit_pico", "--images", "20", "--batch", "10", "--seed", "3")
    first = asked(capsys, tmp_path, *words)
    analysis, folder = first["analysis"], Path(first["folder"])
    assert folder.parent == tmp_path / "analysis"
    assert folder.name == f"cka-vit_nano-vit_pico-digits-{analysis['analysis_id']}"
    assert set(analysis["files"]) == {"cka.csv", "cka.png", "cka.svg"}
    assert Image.open(folder / "cka.png").size[0] > 300
    rows = list(csv.reader((folder / "cka.csv").open()))
    assert rows[0] == ["layer", "norm1 0", "norm1 1", "norm1 2", "final norm"]
    assert [[float(cell) for cell in row[1:]] for row in rows[1:]] == analysis["numbers"]["cka"]
    assert [one["init"] for one in analysis["backbones"]] == ["random", "random"]
    assert analysis["numbers"]["batches"] == 2
    assert scan_runs([tmp_path]).errors == [], "the store's own readers do not stumble over it"
    again = asked(capsys, tmp_path, *words)
    assert again["from_record"]
    assert again["analysis"] == analysis
    fresh = asked(capsys, tmp_path, *words, "--fresh")
    assert fresh["folder"] == f"{folder}.2"
    assert fresh["analysis"]["numbers"] == analysis["numbers"], "same seed, same numbers"
    assert fresh["analysis"]["files"] == analysis["files"], "and the same pictures, byte for byte"
    assert [kept.folder for kept in scan_analyses([tmp_path]).analyses] == [Path(fresh["folder"])], (
        "of attempts the newest"
    )
    (folder / "cka.csv").write_text("")
    assert "cka.csv is missing or was changed" in scan_analyses([tmp_path]).faults[0]
    other = asked(capsys, tmp_path, *words[:-1], "4")
    assert other["folder"] != first["folder"]


def test_the_leaderboards_page_shows_it(capsys: Capture, tmp_path: Path) -> None:
    folder = Path(asked(capsys, tmp_path, "spectrum", "vit_pico", "--images", "8")["folder"])
    assert main(["table", "--runs", str(tmp_path), "--html", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "spectrum: vit_pico (random) on 8 images of digits" in page
    kept = {path.read_bytes() for path in (tmp_path / "page" / "media").iterdir()}
    assert (folder / "spectrum.png").read_bytes() in kept
    (folder / "spectrum.csv").write_text("direction\n")
    capsys.readouterr()
    assert main(["table", "--runs", str(tmp_path), "--html", str(tmp_path / "page")]) == 0
    assert "left out of the page" in capsys.readouterr().err
    assert "spectrum: vit_pico" not in (tmp_path / "page" / "index.html").read_text()


def test_what_was_altered_is_not_answered(capsys: Capture, tmp_path: Path) -> None:
    words = ("spectrum", "vit_pico", "--images", "8", "--out", str(tmp_path))
    folder = Path(asked(capsys, tmp_path, *words[:4])["folder"])
    (folder / "spectrum.csv").write_text("direction\n")
    assert "spectrum.csv is missing or was changed" in refused(capsys, *words)
    record = folder / "analysis.json"
    record.write_text(record.read_text().replace('"method_version"', '"method_versions"'))
    with pytest.raises(RecordError, match="method_versions: unknown field"):
        read_analysis(folder)
    record.write_text(record.read_text().replace('"schema_version": 2', '"schema_version": 7'))
    assert "has schema version 7, this bench reads up to 2" in refused(capsys, *words)
    record.unlink()
    assert not asked(capsys, tmp_path, *words[:4])["from_record"], "a folder that was broken off is filled"


def test_cka_of_a_backbone_with_itself(capsys: Capture, tmp_path: Path) -> None:
    """Near-constant layers of an untrained network too."""
    found = asked(capsys, tmp_path, "cka", "vit_pico", "vit_pico", "--images", "12", "--at", "blocks")
    np.testing.assert_allclose(np.diag(found["analysis"]["numbers"]["cka"]), 1, atol=1e-9)


def test_attention_and_its_maps(capsys: Capture, tmp_path: Path) -> None:
    found = asked(capsys, tmp_path, "attention", "vit_nano", "--images", "6", "--pictures", "2")
    numbers = found["analysis"]["numbers"]
    assert np.shape(numbers["distance"]) == np.shape(numbers["entropy"]) == (4, 4)
    assert set(found["analysis"]["files"]) == {
        "attention.csv",
        "attention.png",
        "attention.svg",
        "map_0.jpg",
        "map_1.jpg",
    }
    assert numbers["pixels_a_step"] == [8, 8]
    assert numbers["uniform"]["entropy"] == pytest.approx(np.log(16))
    papers = asked(capsys, tmp_path, "attention", "vit_nano", "--images", "6", "--distance", "papers")
    ratio = np.array(papers["analysis"]["numbers"]["distance"]) / numbers["distance"]
    np.testing.assert_allclose(ratio, 14 / 8, rtol=1e-6)


def test_extras(capsys: Capture, tmp_path: Path) -> None:
    rank = asked(capsys, tmp_path, "spectrum", "vit_nano", "--images", "50")["analysis"]["numbers"]
    assert 1 <= rank["effective_rank"] <= 49
    pca = asked(capsys, tmp_path, "pca", "hiera_lite", "--pictures", "3", "--img-size", "64")["analysis"]
    assert pca["numbers"]["grid"] == [2, 2]
    assert len(pca["numbers"]["images"]) == 3
    near = asked(capsys, tmp_path, "neighbours", "vit_nano", "--images", "60", "--queries", "2", "--neighbours", "3")
    pairs = near["analysis"]["numbers"]["pairs"]
    assert len(pairs) == 6
    assert all(query != neighbour for query, _, neighbour, *_ in pairs)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vit_pico's weights, as if it had been pre-trained."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "pico.safetensors"
    save_file(create_backbone("vit_pico", num_classes=0).model.state_dict(), path)
    return path


def test_layers(capsys: Capture, tmp_path: Path, weights: Path) -> None:
    words = ("layers", "vit_pico", "--checkpoint", str(weights), "--task", "digits", "--tier", "smoke")
    changes = ("--first", "0", "3", "--data-scale", "0.1", "--set", "epochs=1", "schedule.warmup=0")
    found = asked(capsys, tmp_path, *words, *changes)
    numbers = found["analysis"]["numbers"]
    assert [row[2:4] for row in numbers["probe"]["rows"]] == [[n, d] for d in range(3) for n in ("linear", "knn")]
    assert [row[:2] for row in numbers["finetune"]["points"]] == [["10 % of train", 0], ["10 % of train", 3]]
    records = {record.run_id: record for _, record in scan_runs([tmp_path]).records}
    assert list(records) != [], "its runs are ordinary runs of the store"
    assert sorted(records) == sorted(found["analysis"]["runs"])
    reports = [records[run].backbone.checkpoint for run in found["analysis"]["runs"]]
    assert all(each is not None and each.load_report is not None for each in reports)
    missing = [len(each.load_report.missing) for each in reports]  # type: ignore[union-attr]
    assert missing == [36, 0], "twelve tensors a block are left to chance"
    assert records[found["analysis"]["runs"][0]].config["data_scale"] == 0.1
    again = asked(capsys, tmp_path, *words, *changes)
    assert again["from_record"]
    assert again["folder"] == found["folder"]


def test_the_last_depth_is_the_ordinary_feature(weights: Path) -> None:
    from backbones.features import extract_pooled, extract_pooled_layers

    images = torch.randn(3, 3, 32, 32)
    model = create_backbone("vit_pico", checkpoint=str(weights), num_classes=0).model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(extract_pooled_layers(model, images)[-1], extract_pooled(model, images))
    swin = create_backbone("swin_lite", checkpoint="random", num_classes=0).model.eval()
    with torch.inference_mode():
        assert [each.shape for each in extract_pooled_layers(swin, torch.randn(1, 3, 224, 224))] == [
            (1, width) for width in (48, 96, 192, 384)
        ]


@pytest.mark.parametrize(("name", "blocks"), [("vit_pico", 3), ("swin_lite", 12), ("hiera_lite", 12)])
def test_first_blocks_are_nested_and_end_with_the_whole_trunk(name: str, blocks: int) -> None:
    model = create_backbone(name, checkpoint="random", num_classes=0).model
    assert count_blocks(model) == blocks
    kept = [set(select_first_blocks(model, count)) for count in range(blocks + 1)]
    assert all(less < more for less, more in pairwise(kept))
    everything = {key for key, _ in model.named_parameters() if not key.startswith("head")}
    assert kept[-1] == everything
    assert all("patch_embed" in key or "pos_embed" in key or key == "cls_token" for key in kept[0])


def test_start_files_hold_what_they_say(capsys: Capture, tmp_path: Path, weights: Path) -> None:
    from analysis.inputs.truncated_backbone import write_truncated_weights

    model = create_backbone("vit_pico", checkpoint=str(weights), num_classes=0).model
    path = write_truncated_weights(tmp_path, "vit_pico", model, 2)
    assert path == write_truncated_weights(tmp_path, "vit_pico", model, 2)
    kept, whole = load_file(path), load_file(weights)
    assert {key.split(".")[1] for key in kept if key.startswith("blocks.")} == {"0", "1"}
    assert all(torch.equal(value, whole[key]) for key, value in kept.items())


@pytest.mark.soak
def test_data_scale(capsys: Capture, tmp_path: Path, weights: Path) -> None:
    words = ("data-scale", "vit_pico", "vit_pico", "--checkpoint", "random", str(weights), "--task", "digits")
    more = ("--protocol", "knn", "--data-scale", "0.05", "1.0", "--seeds", "0", "1")
    found = asked(capsys, tmp_path, *words, *more)["analysis"]
    points = found["numbers"]["points"]
    assert [row[:2] for row in points] == [
        [line, x] for line in ("vit_pico, random", "vit_pico, pico.safetensors") for x in (5, 100)
    ]
    records = {record.run_id: record for _, record in scan_runs([tmp_path]).records}
    assert len(records) == len(found["runs"]) == 8
    for line, x, value, low, high, how, seeds, runs in points:
        tops = [records[run].result.metrics["top1"].value for run in runs.split()]  # type: ignore[union-attr]
        assert value == pytest.approx(sum(tops) / 2)
        loaded_and_whole = line.endswith("safetensors") and x == 100  # nothing is left to the seed
        assert (how, seeds) == ("wilson" if loaded_and_whole else "Student's t, n = 2", 2)
        assert low <= value <= high
    lone = asked(capsys, tmp_path, *words, "--protocol", "knn", "--seeds", "0")["analysis"]["numbers"]["points"]
    assert {row[5] for row in lone} == {"wilson"}, "of one run: its own, over images"
    shutil.rmtree(tmp_path / "analysis")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("attention", "swin_lite", "--checkpoint", "random", "--images", "4"), "SwinTransformer is hierarchical"),
        (("cka", "vit_nano", "vit_pico", "--images", "1"), "needs 4 images or more, not 1"),
        (("cka", "vit_nano", "vit_pico", "--batch", "3", "--images", "9"), "batches of 4 images or more, not 3"),
        (("cka", "vit_nano", "vit_pica"), "did you mean"),
        (("cka", "vit_nano", "vit_pico", "--split", "dev"), "no split 'dev'; it has train, val, test"),
        (("cka", "vit_nano", "vit_pico", "--data", "mini_ade"), "choose a classification task"),
        (("cka", "vit_nano", "vit_pico", "--images", "5000"), "more than the split has"),
        (("cka", "vit_nano"), "the following arguments are required: B"),
        (("ckb", "vit_nano"), "invalid choice: 'ckb'"),
        (("spectrum", "vit_nano", "--images", "1"), "needs 2 images or more"),
        (("neighbours", "vit_nano", "--images", "5"), "needs 8 images or more, not 5"),
        (("layers", "vit_nano", "--task", "mini_ade"), "probed on classification tasks"),
        (("layers", "vit_nano", "--task", "digits"), "random weights, so keeping some of its blocks shows nothing"),
        (("data-scale", "vit_nano", "vit_nano", "--task", "digits"), "given twice"),
        (("data-scale", "vit_nano", "--task", "digits", "--checkpoint", "card", "card"), "one file per backbone: 1"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_sentence(
    words: tuple[str, ...], sentence: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, *words)
    assert sentence in said
    assert not list(tmp_path.rglob("analysis"))


@pytest.mark.soak
@pytest.mark.shared_data
def test_real_weights_look_near_first_and_far_last(deit_file: Path, capsys: Capture, tmp_path: Path) -> None:
    """The known shape of a supervised ViT; an untrained one looks everywhere alike."""
    words = ("attention", "deit_tiny", "--images", "8", "--pictures", "0", "--checkpoint")
    real = asked(capsys, tmp_path, *words, str(deit_file))["analysis"]["numbers"]
    none = asked(capsys, tmp_path, *words, "random")["analysis"]["numbers"]
    heads = np.array(real["distance"])
    uniform = real["uniform"]["distance"]
    assert heads[:4].min() < 0.3 * uniform, "local heads in the first third"
    assert heads[:4].mean() < 0.7 * heads[8:].mean()
    np.testing.assert_allclose(none["distance"], uniform, rtol=0.03)
