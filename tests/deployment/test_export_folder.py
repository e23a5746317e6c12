"""An exported model's folder: whole or not at all, unchanged or refused, with the fields that a task adds."""

from __future__ import annotations

import json
import shutil
import stat
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from deployment import export_folder
from deployment.export_folder import hash_files, is_export_outdated, read_export, write_export
from deployment.manifest import MANIFEST_FILENAME, Calibration
from foundation.errors import UserError
from tests.deployment.make import ORIGIN, ClassifierManifest

FILES = {"classifier.onnx": b"a graph"}


def make_manifest(files: dict[str, bytes] = FILES, calibration: Calibration | None = None) -> ClassifierManifest:
    return ClassifierManifest(
        format="onnx", runtime="onnxruntime", precision="f32", origin=ORIGIN, files=hash_files(files),
        versions={"onnx": "1.0"}, calibration=calibration, created="2026-01-01T00:00:00+00:00",
        num_classes=7, logit_difference=1e-6,
    )  # fmt: skip


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_export(tmp_path / "onnx-f32", FILES, make_manifest())
    manifest, files = read_export(tmp_path / "onnx-f32", ClassifierManifest)
    assert (manifest, files) == (make_manifest(), FILES)
    assert manifest.num_classes == 7
    assert [path.name for path in tmp_path.iterdir()] == ["onnx-f32"], "nothing is left beside it"
    (tmp_path / "plain").mkdir()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("onnx-f32", "plain")]
    assert modes[0] == modes[1], "others may read it as any folder"


def test_an_older_export_is_replaced_whole(tmp_path: Path) -> None:
    write_export(tmp_path / "out", {"classifier.onnx": b"old"}, make_manifest({"classifier.onnx": b"old"}))
    (tmp_path / "out" / "left over").write_text("of the older one")
    write_export(tmp_path / "out", FILES, make_manifest())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classifier.onnx", MANIFEST_FILENAME]
    assert read_export(tmp_path / "out", ClassifierManifest)[1] == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_no_export_is_not_replaced(tmp_path: Path) -> None:
    """``bench export --out`` removed a folder of the user, or a file, that had the name of its format."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file"):
        with pytest.raises(UserError, match="is there already and is no export"):
            write_export(tmp_path / name, FILES, make_manifest())
    assert (tmp_path / "folder" / "notes").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    write_export(tmp_path / "empty", FILES, make_manifest())


def test_two_exports_at_once_leave_one_whole_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one replaces an older export, another one moves it first, and writes its own."""
    folder, opened, moments = tmp_path / "out", export_folder.open_partial_folder, []

    def interfere(target: Path) -> AbstractContextManager[Path]:
        # the new export has its folder; this one is for the old export
        if any(tmp_path.glob(".out.*.tmp")) and len(moments) < 2:
            moments.append(target)
            shutil.rmtree(folder)
            # the second time it has written its own in the meantime
            if len(moments) == 2:
                shutil.copytree(tmp_path / "theirs", folder)
        return opened(target)

    write_export(tmp_path / "theirs", FILES, make_manifest())
    write_export(folder, FILES, make_manifest())
    monkeypatch.setattr(export_folder, "open_partial_folder", interfere)
    for _ in range(2):
        write_export(folder, FILES, make_manifest())
        assert read_export(folder, ClassifierManifest)[1] == FILES
    assert len(moments) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "theirs"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_export(tmp_path / "out", FILES, make_manifest())

    def full(path: Path, content: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(export_folder, "write_atomic", full)
    for name in ("out", "new"):
        with pytest.raises(OSError, match="disk full"):
            write_export(tmp_path / name, FILES, make_manifest())
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert read_export(tmp_path / "out", ClassifierManifest)[1] == FILES


def test_changed_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no exported model"):
        read_export(tmp_path, ClassifierManifest)
    write_export(tmp_path / "out", FILES, make_manifest())
    model, path = tmp_path / "out" / "classifier.onnx", tmp_path / "out" / MANIFEST_FILENAME
    model.write_bytes(b"another graph")
    with pytest.raises(UserError, match=r"classifier\.onnx is not the file that was exported"):
        read_export(tmp_path / "out", ClassifierManifest)
    model.unlink()
    with pytest.raises(UserError, match=r"classifier\.onnx cannot be read"):
        read_export(tmp_path / "out", ClassifierManifest)
    model.write_bytes(FILES["classifier.onnx"])
    text = path.read_text()
    for before, after, said in (
        ('"classifier.onnx"', '"../classifier.onnx"', "the files are not those of classifier in the format onnx"),
        ('"runtime": "onnxruntime"', '"runtime": "openvino"', "the format onnx is not that of the runtime openvino"),
        ('"num_classes"', '"classes"', "classes: unknown field"),
        ('"schema_version": 2', '"schema_version": 3', "schema_version"),
        ("{", "", "is not a valid manifest"),
    ):
        assert before in text
        path.write_text(text.replace(before, after, 1))
        with pytest.raises(UserError, match=said):
            read_export(tmp_path / "out", ClassifierManifest)
    path.write_text(text)
    assert read_export(tmp_path / "out", ClassifierManifest)[0] == make_manifest()


def test_version_1_is_upgraded_when_it_is_read(tmp_path: Path) -> None:
    calibration = Calibration(source="s", fingerprint="f", samples=64, seed=1, method="m", float_parts="the head")
    write_export(tmp_path / "out", FILES, make_manifest(calibration=calibration))
    path = tmp_path / "out" / MANIFEST_FILENAME
    content = json.loads(path.read_text()) | {"schema_version": 1}
    content["calibration"]["kept"] = content["calibration"].pop("float_parts")
    content["calibration"]["pairs"] = content["calibration"].pop("samples")
    path.write_text(json.dumps(content))
    assert read_export(tmp_path / "out", ClassifierManifest)[0] == make_manifest(calibration=calibration)


def test_an_export_of_other_weights_is_outdated(tmp_path: Path) -> None:
    weights = tmp_path / "last.pth"
    weights.write_bytes(b"weights")
    digest = hash_files({"last.pth": b"weights"})["last.pth"]
    manifest = make_manifest().model_copy(update={"origin": ORIGIN.model_copy(update={"checkpoint_sha256": digest})})
    assert not is_export_outdated(manifest, weights)
    weights.write_bytes(b"other weights")
    assert is_export_outdated(manifest, weights)
