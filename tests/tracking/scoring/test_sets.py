"""The other sets: small synthetic ones in the genuine layout, scored against got10k's own experiments."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # got10k's experiments import pyplot

from got10k.datasets import OTB, UAV123, NfS
from got10k.experiments import ExperimentGOT10k, ExperimentNfS, ExperimentOTB, ExperimentUAV123

from foundation.errors import ConfigError, DataError
from tests.tracking.lasot_root import zip_categories
from tests.tracking.scoring.conftest import random_boxes, write_sequence
from tracking.scoring import TrackerScore, score_tracker
from tracking.scoring.results import read_tracker_results
from tracking.scoring.sets import PUBLIC_TEST_SETS


def scored(name: str, root: Path, results: Path, rules: str, expected: int) -> TrackerScore:
    """A small set scored by the real path, as if it had ``expected`` sequences and no official list."""
    test_set = replace(PUBLIC_TEST_SETS[name], expected_sequences=expected)
    loaded = test_set.load_ground_truth(root, partial=True)
    boxes = read_tracker_results(
        results, loaded.ground_truths, test_set.truncated_sequences, test_set.has_repetitions
    ).boxes
    return score_tracker("a", boxes, loaded.ground_truths, test_set.select_rules(rules), partial=True)


def save(path: Path, boxes: np.ndarray, delimiter: str = ",", form: str = "%.3f") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, boxes, fmt=form, delimiter=delimiter)


def by_got10k(experiment: type, dataset: Any, root: Path, results: Path, folder: str) -> dict[str, Any]:
    """The report of a got10k experiment over a data set object of its own."""
    it = experiment.__new__(experiment)
    it.dataset, it.result_dir, it.report_dir = dataset, str(results), str(root / "reports" / folder)
    it.nbins_iou, it.nbins_ce = 21, 51
    it.plot_curves = lambda names: None
    report: dict[str, Any] = it.report(["a"])["a"]
    return report


def same(score: TrackerScore, report: dict[str, Any]) -> None:
    whole, values = report["overall"], score.metric_values()
    assert score.curves.success == pytest.approx(np.array(whole["success_curve"]), abs=1e-12)
    assert score.curves.precision == pytest.approx(np.array(whole["precision_curve"]), abs=1e-12)
    assert values["AUC"] == pytest.approx(100 * whole["success_score"])
    assert values["P"] == pytest.approx(100 * whole["precision_score"])
    assert values["OP50"] == pytest.approx(100 * whole["success_rate"])
    for one in score.sequences:
        assert one.metric_value("AUC") == pytest.approx(100 * report["seq_wise"][one.name]["success_score"])


def test_got10k_val(tmp_path: Path) -> None:
    names = [f"GOT-10k_Val_{i:06d}" for i in range(1, 5)]
    root, results = tmp_path / "got10k", tmp_path / "results" / "GOT-10k" / "a"
    for i, name in enumerate(names):
        frames, folder = 12 + 9 * i, root / "val" / name
        truth = random_boxes(i, frames)
        truth[:, 0] += 150 * (i == 2)  # partly out of the image, where clipping tells
        save(folder / "groundtruth.txt", truth)
        cover = np.random.default_rng(i).integers(0, 9, frames)
        for label, values in (("cover", cover), ("absence", cover == 0), ("cut_by_image", cover < 4)):
            (folder / f"{label}.label").write_text("".join(f"{int(value)}\n" for value in values))
        (folder / "meta_info.ini").write_text("[METAINFO]\nurl: none\nresolution: (320, 240)\n")
        for frame in range(frames):
            (folder / f"{frame + 1:08d}.jpg").touch()
        for run in range(1, 4 if i else 2):
            save(results / name / f"{name}_{run:03d}.txt", random_boxes(90 * run + i, frames, truth))
        save(results / name / f"{name}_time.txt", np.full((frames, 1), 0.1), form="%.8f")
    (root / "val" / "list.txt").write_text("\n".join(names) + "\n")
    experiment = ExperimentGOT10k(str(root), "val", str(tmp_path / "results"), str(tmp_path / "reports"))
    experiment.plot_curves = lambda *names: None
    report = experiment.report(["a"])["a"]
    score = scored("got10k_val", root, results, "official", 4)
    assert score.metric_values()["AO"] == pytest.approx(100 * report["overall"]["ao"])
    assert score.metric_values()["SR50"] == pytest.approx(100 * report["overall"]["sr"])
    assert score.metric_values()["SR75"] == pytest.approx(100 * report["overall"]["succ_curve"][75])
    assert score.curves.success == pytest.approx(np.array(report["overall"]["succ_curve"]), abs=1e-12)
    for one in score.sequences:
        assert one.metric_value("AO") == pytest.approx(100 * report["seq_wise"][one.name]["ao"])
    assert score.metric_values()["AO"] != pytest.approx(
        np.mean([one.metric_value("AO") for one in score.sequences]), abs=0.01
    )
    with pytest.raises(DataError, match="has ground truth of 4 sequences, GOT-10k val has 180"):
        PUBLIC_TEST_SETS["got10k_val"].load_ground_truth(root, partial=False)
    (root / "val" / names[0] / "meta_info.ini").unlink()
    with pytest.raises(DataError, match="has no resolution"):
        PUBLIC_TEST_SETS["got10k_val"].load_ground_truth(root, partial=True)


def test_frames_are_pooled_as_a_mean_of_frames(tmp_path: Path) -> None:
    """4 frames at .512 and 9 at .294 (the first frames are left out)."""
    for name, frames, overlap in (("a", 5, 0.512), ("b", 10, 0.294)):
        save(tmp_path / "val" / name / "groundtruth.txt", np.tile([10.0, 10, 100, 100], (frames, 1)))
        save(tmp_path / "r" / f"{name}.txt", np.tile([10, 10, 100, 100 * overlap], (frames, 1)))
        (tmp_path / "val" / name / "cover.label").write_text("8\n" * frames)
        (tmp_path / "val" / name / "meta_info.ini").write_text("resolution: (640, 480)\n")
    (tmp_path / "val" / "list.txt").write_text("a\nb\n")
    assert scored("got10k_val", tmp_path, tmp_path / "r", "official", 2).metric_values()["AO"] == pytest.approx(
        100 * (4 * 0.512 + 9 * 0.294) / 13
    )


def test_otb100(tmp_path: Path) -> None:
    root, results = tmp_path / "OTB", tmp_path / "r"
    filled = {"Basketball": ",", "Crossing": "\t", "Walking2": "  "}
    for i, (name, delimiter) in enumerate(filled.items()):
        truth = random_boxes(i, 30 + i)
        save(root / name / "groundtruth_rect.txt", truth, delimiter)
        save(results / "a" / f"{name}.txt", random_boxes(60 + i, 30 + i, truth))
    (root / "Human4").mkdir()
    (root / "Human4" / "groundtruth_rect.1.txt").write_text("\n")
    for name, folder, number in (("Human4", "Human4", 2), ("Jogging.1", "Jogging", 1), ("Jogging.2", "Jogging", 2)):
        truth = random_boxes(number, 25)
        save(root / folder / f"groundtruth_rect.{number}.txt", truth)
        save(results / "a" / f"{name}.txt", random_boxes(70 + number, 25, truth))
    for path in root.glob("*/groundtruth*.txt"):
        (path.parent / "img").mkdir(exist_ok=True)
        for frame in range(len(path.read_text().split("\n")) - 1 if path.stat().st_size > 1 else 0):
            (path.parent / "img" / f"{frame:04d}.jpg").touch()
    report = by_got10k(ExperimentOTB, OTB(str(root), 2015, download=False), tmp_path, results, "otb")
    score = scored("otb100", root, results / "a", "got10k", 6)
    same(score, report)
    assert {one.name for one in score.sequences} == {*filled, "Human4", "Jogging.1", "Jogging.2"}
    assert "P_norm" in scored("otb100", root, results / "a", "official", 6).metric_values()
    (results / "a" / "Jogging.1.txt").rename(results / "a" / "Jogging-1.txt")
    assert scored("otb100", root, results / "a", "got10k", 6).metric_values() == score.metric_values()
    assert len(PUBLIC_TEST_SETS["otb100"].list_sequences(root)) == 100


def test_names_of_the_field() -> None:
    """As in uavdataset.py, nfsdataset.py and otbdataset.py of pytracking, which OSTrack has too."""
    named = {
        "uav123": ("uav1_2", "uav_uav1_2"),
        "nfs": ("bird_2", "nfs_bird_2"),
        "otb100": ("Skating2.1", "Skating2_1"),
    }
    for name, (ours, theirs) in {**named, "lasot": ("bird-1", "bird-1")}.items():
        assert PUBLIC_TEST_SETS[name].get_field_name(ours) == theirs


def test_uav123_by_both_rules(tmp_path: Path) -> None:
    root, results = tmp_path / "UAV123", tmp_path / "r"
    lengths = {"bike2": 553, "car9": 1879}  # the real numbers of frames, which got10k demands
    for i, (name, frames) in enumerate(lengths.items()):
        truth = random_boxes(i, frames)
        boxes = random_boxes(80 + i, frames, truth)
        truth[20 : 20 + 100 * (i + 1)] = np.nan
        save(root / "anno" / "UAV123" / f"{name}.txt", truth)
        save(results / "a" / f"{name}.txt", boxes)
    for folder in ("data_seq", "a", "b", "c"):
        (root / folder).mkdir()
    report = by_got10k(ExperimentUAV123, UAV123(str(root)), tmp_path, results, "uav")
    dropped = scored("uav123", root, results / "a", "got10k", 2)
    same(dropped, report)
    counted = scored("uav123", root, results / "a", "official", 2)
    assert "pytracking" in counted.rules.name
    for one, other in zip(counted.sequences, dropped.sequences, strict=True):
        total, absent = one.frames, one.frames - other.frames
        assert absent in (100, 200)
        assert one.metric_value("AUC") == pytest.approx(other.metric_value("AUC") * other.frames / total)
        assert one.metric_value("P") == pytest.approx((other.metric_value("P") * other.frames + 100 * absent) / total)
    assert len(PUBLIC_TEST_SETS["uav123"].list_sequences(root)) == 123


def test_nfs_at_30_fps(tmp_path: Path) -> None:
    root, results = tmp_path / "nfs", tmp_path / "r"
    for i, (name, rows, images) in enumerate((("bird", 240, 30), ("cup", 243, 30), ("dog", 200, 25))):
        boxes = random_boxes(i, rows)
        with_images = root / name / "30" / name
        with_images.mkdir(parents=True)
        corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        lines = [
            f'0 {" ".join(f"{value:.2f}" for value in row)} {frame} 0 0 0 "{name}"\n'
            for frame, row in enumerate(corners)
        ]
        (root / name / "30" / f"{name}.txt").write_text("".join(lines))
        for frame in range(images):
            (with_images / f"{frame:05d}.jpg").touch()
        save(results / "a" / f"{name}.txt", random_boxes(40 + i, images, boxes[::8][:images]))
    report = by_got10k(ExperimentNfS, NfS(str(root), 30), tmp_path, results, "nfs")
    score = scored("nfs", root, results / "a", "got10k", 3)
    same(score, report)
    for frame in range(5):
        (root / "dog" / "30" / "dog" / f"{frame:05d}.jpg").unlink()
    with pytest.raises(DataError, match="25 boxes at 30 fps for 20 images"):
        PUBLIC_TEST_SETS["nfs"].load_ground_truth(root, partial=True)


def test_the_lasot_extension(tmp_path: Path) -> None:
    names = PUBLIC_TEST_SETS["lasot_ext"].list_sequences(tmp_path)
    assert len(set(names)) == PUBLIC_TEST_SETS["lasot_ext"].expected_sequences == 150
    for i, name in enumerate(names):
        truth = random_boxes(i, 12)
        write_sequence(tmp_path / "LaSOT_ext", name, truth, np.arange(12) == 5)
        save(tmp_path / "r" / f"{name}.txt", truth)
    whole = PUBLIC_TEST_SETS["lasot_ext"].load_ground_truth(tmp_path, partial=False)
    boxes = read_tracker_results(tmp_path / "r", whole.ground_truths, frozenset(), has_repetitions=False).boxes
    values = score_tracker(
        "itself", boxes, whole.ground_truths, expected_sequences=150, sequence_names=whole.sequence_names
    ).metric_values()
    assert values["AUC"] == pytest.approx(100 * 20 / 21 * 11 / 12)
    assert values["P"] == pytest.approx(100 * 11 / 12)


def test_official_sequences_are_found_before_any_others(tmp_path: Path) -> None:
    """A folder of another set in the same layout is never taken for LaSOT where LaSOT is there."""
    write_sequence(tmp_path, "mine-1", random_boxes(0, 12))
    write_sequence(tmp_path / "lasot", "bird-2", random_boxes(1, 12))
    loaded = PUBLIC_TEST_SETS["lasot"].load_ground_truth(tmp_path, partial=True)
    assert [truth.name for truth in loaded.ground_truths] == ["bird-2"]
    assert len(loaded.sequence_names) == 280


def test_ground_truth_in_zips_is_that_of_the_folders(tmp_path: Path) -> None:
    names = PUBLIC_TEST_SETS["lasot"].list_sequences(tmp_path)[:12]
    plain = tmp_path / "plain" / "lasot"
    for i, name in enumerate(names):
        write_sequence(plain, name, random_boxes(i, 12 + i), np.arange(12 + i) == 5)
    expected = PUBLIC_TEST_SETS["lasot"].load_ground_truth(plain.parent, partial=True)
    zipped = zip_categories(plain, tmp_path / "zipped" / "lasot")
    assert len({name.rpartition("-")[0] for name in names}) > 1 and not any(path.is_dir() for path in zipped.iterdir())
    (zipped / "att").mkdir()
    (zipped / "att" / f"{names[0]}.txt").write_text("1" + ",0" * 13)
    for state in ("zips alone", "one category unpacked"):
        found = PUBLIC_TEST_SETS["lasot"].load_ground_truth(zipped.parent, partial=True)
        assert found.ground_truths[0].attributes == ("IV",)
        assert [truth.name for truth in found.ground_truths] == list(names), state
        for ours, theirs in zip(found.ground_truths, expected.ground_truths, strict=True):
            assert np.array_equal(ours.boxes, theirs.boxes) and np.array_equal(ours.absent, theirs.absent)
            assert ours.category == theirs.category
        category = names[0].rpartition("-")[0]
        shutil.copytree(plain / category, zipped / category, dirs_exist_ok=True)
    damaged = zipped / f"{names[-1].rpartition('-')[0]}.zip"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"{damaged.name} cannot be read as a zip"):
        PUBLIC_TEST_SETS["lasot"].load_ground_truth(zipped.parent, partial=True)


def test_other_zips_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other.zip").write_bytes(b"half of another data set")
    write_sequence(tmp_path / "lasot", "bird-2", random_boxes(1, 12))
    with zipfile.ZipFile(tmp_path / "lasot" / "notes.zip", "w") as archive:
        archive.writestr("bird-3/readme.txt", "not a sequence: it has no boxes")
    assert len(PUBLIC_TEST_SETS["lasot"].load_ground_truth(tmp_path, partial=True).ground_truths) == 1


def test_unknown_rules_and_no_ground_truth(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose from: official, got10k"):
        PUBLIC_TEST_SETS["lasot"].select_rules("vot")
    with pytest.raises(DataError, match="no ground truth of UAV123"):
        PUBLIC_TEST_SETS["uav123"].load_ground_truth(tmp_path, partial=True)
