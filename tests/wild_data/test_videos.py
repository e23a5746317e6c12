"""Folders of sequences as people have them: OTB, VOT, GOT-10k, MOT, annotations beside folders, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.data.data_options import make_data_options
from engine.task import DataReport
from foundation.run_scope import open_run_scope
from tests.tracking.data.readers import make_sets
from tests.wild_data.wild_folder import WildFolder, check_wild_folder
from tracking.tasks import TRACKFOLDER

WIDTH, HEIGHT = 40, 30
BOXES = [(4, 5, 10, 8), (5, 5, 10, 8), (6, 5, 10, 8), (7, 5, 10, 8)]
Write = Callable[[Path], None]
Check = Callable[[DataReport, Path], None]


def frames(folder: Path, names: Sequence[str] = ("0001", "0002", "0003", "0004"), suffix: str = ".png") -> None:
    """Write frames that can be told apart: each is as bright as its place in ``names``."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        cv2.imwrite(str(folder / f"{name}{suffix}"), np.full((HEIGHT, WIDTH, 3), 20 + 40 * place, np.uint8))


def lines(rows: Sequence[Sequence[Any]], separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def write(tree: dict[str, str | bytes | None], *names: str) -> Write:
    """Return a function that writes files: text, bytes, or (``None``) a folder of four frames."""

    def write_tree(root: Path) -> None:
        for path, content in tree.items():
            if content is None:
                frames(root / path, names or ("0001", "0002", "0003", "0004"))
                continue
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write_tree


def expect(
    boxes: Sequence[Sequence[float]] | None = None,
    visible: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    first: str | None = None,
    **options: Any,
) -> Check:
    """Return a check of the first sequence: its boxes, where the target is seen, its first frame; and of all names."""

    def check(report: DataReport, root: Path) -> None:
        with open_run_scope(data_options=make_data_options(options)):
            videos = TRACKFOLDER.read_test_videos(root)
        if boxes is not None:
            np.testing.assert_allclose(videos[0].boxes, np.array(boxes, float))
        if visible is not None:
            assert videos[0].visible.tolist() == list(visible)
        if names is not None:
            assert [video.name for video in videos] == list(names)
        if first is not None:
            assert Path(str(videos[0].frames[0])).name == first

    return check


NAN = [float("nan")] * 4
POLYGONS = [(9, 5, 14, 9, 9, 13, 4, 9)] * 4
# two targets; the second is in frames 2 and 4 alone, and fully hidden in the last
MOT_ROWS = [(n, 1, 4 + n, 5, 10, 8, 1, 1, 1) for n in range(1, 5)]
MOT_ROWS += [(2, 2, 20, 5, 9, 9, 1, 1, 0.5), (4, 2, 22, 5, 9, 9, 1, 1, 0)]
MOT: dict[str, str | bytes | None] = {
    "MOT-04/img1": None,
    "MOT-04/gt/gt.txt": lines(MOT_ROWS),
    "MOT-04/det/det.txt": lines([(1, -1, 4, 5, 10, 8, 0.9, -1, -1, -1)]),
    "MOT-04/seqinfo.ini": "[Sequence]\nname=MOT-04\nimDir=img1\nseqLength=4\n",
}
PLAIN: dict[str, str | bytes | None] = {"cat/img": None, "cat/groundtruth.txt": lines(BOXES)}


def spoiled(text: str | bytes) -> Write:
    return write({"cat/img": None, "cat/groundtruth.txt": text})


def used(name: str, tree: Write, check: Check | None = None, notes: tuple[str, ...] = (), **options: Any) -> WildFolder:
    return WildFolder(name, "trackfolder", tree, options, {"test": 1}, notes, check=check)


def refused(name: str, tree: Write, *words: str, **options: Any) -> WildFolder:
    return WildFolder(name, "trackfolder", tree, options, refused=words)


def moved(make: Callable[[Path], object], *moves: tuple[str, str]) -> Write:
    """Return a function that writes a public set in its own layout, and then renames folders of it."""

    def write_set(root: Path) -> None:
        make(root)
        for old, new in moves:
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            (root / old).rename(root / new)

    return write_set


CASES = [
    # layouts
    used(
        "OTB with tabs",
        write({"Car4/img": None, "Car4/groundtruth_rect.txt": lines(BOXES, "\t")}),
        expect(BOXES, names=["Car4"]),
    ),
    used(
        "OTB with two targets",
        write(
            {
                "Jogging/img": None,
                "Jogging/groundtruth_rect.1.txt": lines([(1, 1, 5, 5)] * 4),
                "Jogging/groundtruth_rect.2.txt": lines(BOXES),
            }
        ),
        expect(BOXES, target="2"),
        ("target 2, one of 2 (Jogging)",),
        target="2",
    ),
    refused(
        "OTB with two targets and no choice",
        write(
            {
                "Jogging/img": None,
                "Jogging/groundtruth_rect.1.txt": lines(BOXES),
                "Jogging/groundtruth_rect.2.txt": lines(BOXES),
            }
        ),
        "Jogging has 1 (4 frames), 2 (4 frames)",
        "--target 1",
    ),
    used(
        "OTB with an empty file beside the numbered one",
        write({"Human4/img": None, "Human4/groundtruth_rect.txt": "", "Human4/groundtruth_rect.2.txt": lines(BOXES)}),
        expect(BOXES),
    ),
    used(
        "VOT with rotated boxes",
        write(
            {"bag/color": None, "bag/groundtruth.txt": lines(POLYGONS), "bag/occlusion.tag": "0\n", "list.txt": "bag"}
        ),
        expect([(4, 5, 10, 8)] * 4),
        ("the smallest upright box",),
    ),
    used(
        "VOT with frames without a target",
        write({"bag/color": None, "bag/groundtruth.txt": lines([*POLYGONS[:2], ["nan"] * 8, [0]])}),
        expect([(4, 5, 10, 8)] * 2 + [NAN] * 2, [True, True, False, False]),
    ),
    used(
        "VOT with masks",
        write({"bag/color": None, "bag/groundtruth.txt": "m10,20,4,3,5,2,2,2\n" * 3 + "m0,0,1,1,1\n"}),
        expect([(11, 21, 2, 2)] * 3 + [NAN], [True] * 3 + [False]),
    ),
    refused(
        "a tracker's answers and no annotation",
        write({"sequences/cat": None, "results/ostrack/cat.txt": lines(BOXES)}),
        "there is no sequence",
        "groundtruth.txt",
    ),
    refused(
        "VOT with depth images",
        write({"bag/color": None, "bag/depth": None, "bag/groundtruth.txt": lines(BOXES)}),
        "bag/depth/0001.png",
        "--exclude bag/depth",
    ),
    used(
        "VOT without its depth images",
        write({"bag/color": None, "bag/depth": None, "bag/groundtruth.txt": lines(BOXES)}),
        expect(BOXES, exclude=["bag/depth"]),
        exclude=["*/depth"],
    ),
    refused(
        "VOT with boxes among the polygons",
        write({"bag/color": None, "bag/groundtruth.txt": lines([*POLYGONS[:3], BOXES[0]])}),
        "groundtruth.txt, line 4, is not four corners",
    ),
    used(
        "GOT-10k",
        write(
            {
                "v1": None,
                "v1/groundtruth.txt": lines(BOXES),
                "v1/absence.label": "0\n1\n0\n0\n",
                "v1/cover.label": "8\n8\n0\n8\n",
                "v1/cut_by_image.label": "0\n0\n0\n0\n",
                "v1/meta_info.ini": "[METAINFO]\n",
                "list.txt": "v1\n",
            }
        ),
        expect(BOXES, [True, False, False, True]),
    ),
    refused(
        "a list that names more sequences",
        write({**PLAIN, "list.txt": "cat\ndog\n"}),
        "list.txt names 2 sequences, of which dog is not there",
        "--exclude list.txt",
    ),
    *(
        refused(name, write({**PLAIN, "dog/img": None, "dog/groundtruth.txt": lines(BOXES), path: text}), *words)
        for name, path, text, words in (
            ("a list that names fewer sequences", "list.txt", "cat\n", ("not name the sequence dog", "--exclude dog")),
            ("LaSOT's list of the test", "testing_set.txt", "cat\nhorse\n", ("not name the sequence dog", "tested")),
            ("LaSOT's list of the training", "training_set.txt", "dog\n", ("names the sequence dog", "tested")),
        )
    ),
    used(
        "LaSOT's lists, and the test sequences alone",
        write({**PLAIN, "testing_set.txt": "cat\nhorse\n", "training_set.txt": "dog\n"}),
        expect(BOXES),
    ),
    refused(
        "GOT-10k test, which has the first box only",
        spoiled("1,2,3,4\n"),
        "4 frames and 1 boxes",
        "the first one only",
    ),
    used(
        "MOT with a chosen target",
        write(MOT),
        expect([(20, 5, 9, 9), NAN, (22, 5, 9, 9)], [True, False, False], ["MOT-04"], "0002.png", target="2"),
        ("target 2, one of 2, from its first frame 0002.png on (MOT-04)",),
        target="2",
    ),
    refused("MOT without a choice", write(MOT), "gt.txt has 1 (4 frames), 2 (2 frames)", "--target 1"),
    refused(
        "MOT with an unknown target",
        write(MOT),
        "has no target 7, but 1 (4 frames)",
        "or leave the sequence out",
        target="7",
    ),
    used(
        "MOT with one target",
        write({**MOT, "MOT-04/gt/gt.txt": lines(MOT_ROWS[:4])}),
        expect([row[2:6] for row in MOT_ROWS[:4]]),
    ),
    used(
        "MOT as CVAT writes it: images from 0, rows from 1",
        write(
            {"img1": None, "gt/gt.txt": lines(MOT_ROWS), "gt/labels.txt": "cat"}, *(f"frame_{n:06d}" for n in range(4))
        ),
        expect([row[2:6] for row in MOT_ROWS[:4]], target="1"),
        target="1",
    ),
    refused(
        "MOT whose images are numbered from 0 and whose rows could be",
        write({**MOT, "MOT-04/gt/gt.txt": lines(MOT_ROWS[:2])}, "0", "1", "2", "3"),
        "numbered from 0 on",
        "number the images from 1 on",
    ),
    refused(
        "MOT with rows of other frames",
        write({**MOT, "MOT-04/gt/gt.txt": lines([(9, *MOT_ROWS[0][1:])])}),
        "has a row of frame 9",
    ),
    refused(
        "MOT with a lost frame",
        write({**MOT, "MOT-04/seqinfo.ini": "[Sequence]\nseqLength=5\n"}),
        "has 4 frames",
        "seqinfo.ini says 5",
        target="1",
    ),
    refused(
        "MOT's detections as ground truth",
        write({**MOT, "MOT-04/gt/gt.txt": lines([(1, -1, 4, 5, 10, 8, 0.9, -1, -1, -1)] * 2)}),
        "gt.txt, line 1, has the target -1",
    ),
    used(
        "MOT with seven digits in its targets",
        write(
            {
                **MOT,
                "MOT-04/gt/gt.txt": lines(
                    [(n, t, 3 + t % 2, 5, 10, 8, 1) for t in (1000001, 1000002) for n in (1, 2, 3, 4)]
                ),
            }
        ),
        expect([(3, 5, 10, 8)] * 4, target="1000002"),
        ("target 1000002, one of 2",),
        target="1000002",
    ),
    used(
        "a list of paths, with a space",
        write({"a/big cat/img": None, "a/big cat/groundtruth.txt": lines(BOXES), "list.txt": "a/big cat\r\n"}),
        expect(BOXES),
    ),
    refused(
        "MOT in fractions",
        write({**MOT, "MOT-04/gt/gt.txt": "1,1,0.4,0.5,0.1,0.1,1,1,1\n"}),
        "gt.txt, line 1",
        "fractions",
    ),
    refused(
        "MOT with corners",
        write({**MOT, "MOT-04/gt/gt.txt": lines([(n, 1, 20, 15, 30, 22, 1, 1, 1) for n in range(1, 5)])}),
        "gt.txt, line 1, ends outside of its image",
        "corners x1,y1,x2,y2",
    ),
    refused(
        "MOT with images of another size",
        write({**MOT, "MOT-04/gt/gt.txt": lines([(n, 1, 400, 500, 50, 40, 1, 1, 1) for n in range(1, 5)])}),
        "images of another size",
    ),
    used(
        "MOT whose images have a number and a time",
        write({**MOT, "MOT-04/gt/gt.txt": lines(MOT_ROWS[:4])}, "1_1520", "2_1553", "3_1587", "4_1620"),
        expect([row[2:6] for row in MOT_ROWS[:4]], first="1_1520.png"),
    ),
    refused(
        "MOT whose one image has no number",
        write({**MOT, "MOT-04/gt/gt.txt": lines(MOT_ROWS[:2]), "MOT-04/seqinfo.ini": "[Sequence]\n"}, "a"),
        "row of frame 2",
        "000001.jpg",
    ),
    *(
        refused(
            f"MOT's rows of eight numbers under another name, {name}",
            spoiled(lines([(frame, target, 9, 8, 6, 5, 1, 1) for frame, target in order])),
            "line 1, has 8 numbers, as rows of MOT",
        )
        for name, order in {
            "sorted by target": ((1, 1), (2, 1), (1, 2), (2, 2)),
            "of a later part": ((5, 1), (6, 1), (7, 1), (8, 1)),
        }.items()
    ),
    refused(
        "MOT's rows under another name",
        spoiled(lines(MOT_ROWS)),
        "groundtruth.txt, line 1, has 9 numbers, as rows of MOT",
        "gt/gt.txt",
    ),
    WildFolder(
        "annotations in a folder beside the sequences",
        "trackfolder",
        write(
            {
                "sequences/cat": None,
                "sequences/dog": None,
                "anno/cat.txt": lines(BOXES),
                "anno/dog.txt": lines([(1, 1, 5, 5)] * 4),
            }
        ),
        splits={"test": 2},
        check=expect(BOXES, names=["cat", "dog"]),
    ),
    used("an annotation beside its folder", write({"cat/img": None, "cat.txt": lines(BOXES)}), expect(BOXES)),
    used("TempleColor's names", write({"Ball_ce/img": None, "Ball_ce/Ball_ce_gt.txt": lines(BOXES)}), expect(BOXES)),
    used(
        "litter of systems",
        write(
            {
                **PLAIN,
                "cat/img/Thumbs.db": b"x",
                "cat/img/._0001.png": b"x",
                "__MACOSX/cat/a.txt": "1",
                "runs/check/trackfolder.png": b"x",
                "README.md": "",
            }
        ),
        expect(BOXES),
    ),
    # what is left over
    refused(
        "one of two sequences has no annotation",
        write({**PLAIN, "dog/img": None}),
        "1 of 2 sequences",
        "dog (with 4 images) has none",
        "--exclude dog",
    ),
    used(
        "the other one is left out", write({**PLAIN, "dog/img": None}), expect(BOXES, exclude=["dog"]), exclude=["dog"]
    ),
    refused("an archive in the folder", write({**PLAIN, "dog.zip": b"x"}), "dog.zip", "unpack the archive"),
    refused("a video beside its frames", write({**PLAIN, "cat/cat.mp4": b"x"}), "cat/cat.mp4", "bench track"),
    refused(
        "two annotations of one sequence",
        write({**PLAIN, "cat/groundtruth_rect.txt": lines(BOXES)}),
        "both annotate the sequence cat",
        "--exclude",
    ),
    refused("images in two places", write({**PLAIN, "cat": None}), "has images in cat and in cat/img", "--exclude"),
    refused(
        "a sequence beside the folder test",
        write(
            {f"test/{path}": content for path, content in PLAIN.items()}
            | {"dog/img": None, "dog/groundtruth.txt": lines(BOXES)}
        ),
        "only test/ and train/ are read",
        "--exclude dog",
    ),
    refused(
        "an annotation without frames",
        write({**PLAIN, "dog/groundtruth.txt": lines(BOXES)}),
        "sequence dog has no frames",
    ),
    refused(
        "one label file for each image",
        write({"cat": None, **{f"cat/000{n}.txt": "0 0.5 0.5 0.1 0.1" for n in range(1, 5)}}),
        "cat/0001.txt is a file for one image",
        "groundtruth.txt",
    ),
    refused("a target where there is only one", write(PLAIN), "leave --target out", target="1"),
    # the order of the frames
    used(
        "numbers without zeros",
        write({"cat": None, "cat/groundtruth.txt": lines(BOXES)}, "frame_9", "frame_10", "frame_11", "frame_12"),
        expect(first="frame_9.png"),
    ),
    used(
        "every fifth frame",
        write({"cat": None, "cat/groundtruth.txt": lines(BOXES)}, "0", "5", "10", "15"),
        expect(first="0.png"),
        ("frames are numbered in steps of 5",),
    ),
    refused(
        "a missing frame and its missing box",
        write({"cat": None, "cat/groundtruth.txt": lines(BOXES)}, "01", "02", "04", "05"),
        "no frame between cat/02.png and 04.png",
        "consecutive numbers",
    ),
    refused(
        "a frame that was put in later",
        write({"cat": None, "cat/groundtruth.txt": lines(BOXES)}, "0001", "0001a", "0002", "0003"),
        "cat/0001.png and cat/0001a.png are named in different ways",
        "--exclude",
    ),
    refused(
        "one number twice",
        write({"cat": None, "cat/groundtruth.txt": lines(BOXES)}, "1", "01", "2", "3"),
        "have the same frame number",
    ),
    # the lines of the annotation
    used("a byte order mark and DOS lines", spoiled(("\ufeff" + lines(BOXES)).replace("\n", "\r\n")), expect(BOXES)),
    refused("UTF-16, as PowerShell writes", spoiled(lines(BOXES).encode("utf-16")), "UTF-16, not UTF-8", "iconv"),
    used(
        "empty boxes where there is no target",
        spoiled(lines([BOXES[0], (0, 0, 0, 0), ["nan"] * 4, BOXES[3]])),
        expect(visible=[True, False, False, True]),
    ),
    refused(
        "a header", spoiled("x,y,w,h\n" + lines(BOXES)), "groundtruth.txt, line 1, is a header: 'x,y,w,h'; delete it"
    ),
    refused("semicolons", spoiled(lines(BOXES, ";")), "line 1, is separated by semicolons"),
    refused("decimal commas", spoiled("1,5 2,5 3,0 4,0\n" * 4), "line 1, has four pairs with a comma"),
    refused(
        "a confidence last, and x that counts up",
        spoiled(lines([(*box, 0.9) for box in BOXES])),
        "ends with a number from 0 to 1",
        "delete the last column",
    ),
    refused(
        "no target in the first frame",
        spoiled(lines([NAN, *BOXES[1:]])),
        "no box in the first frame",
        "remove the frames before",
    ),
    refused("a mask of huge numbers", spoiled("m1e30,0,1e30,1e30,5,1e30\n" * 4), "line 1, is not a mask of VOT"),
    refused(
        "the frame's number first",
        spoiled(lines([(n, *box) for n, box in enumerate(BOXES)])),
        "delete the first column",
    ),
    refused(
        "a negative size",
        spoiled(lines([*BOXES[:2], (9, 9, -3, 4), BOXES[3]])),
        "line 3, has a negative width",
        "x2 - x1",
    ),
    refused("-1 where there is no target", spoiled(lines([*BOXES[:3], [-1] * 4])), "line 4", "nan,nan,nan,nan"),
    refused(
        "corners instead of sizes",
        spoiled(lines([(20 + n, 15, 30 + n, 22) for n in range(4)])),
        "line 1, ends outside of its image of 40 x 30 px, as 4 of 4 boxes do",
        "corners x1,y1,x2,y2",
    ),
    refused("boxes of larger images", spoiled(lines([(100, 90, 40, 30)] * 4)), "images of another size"),
    refused("fractions of the image", spoiled("0.5,0.5,0.25,0.2\n" * 4), "fractions of the image", "multiply x and w"),
    refused("labels of YOLO", spoiled("0 0.5 0.5 0.25 0.2\n" * 4), "line 1, is a label of YOLO"),
    # public sets as they end up on disks
    WildFolder(
        "another case, and no list",
        "got10k_val",
        moved(make_sets.make_got10k_val, ("got10k", "GOT-10K"), ("GOT-10K/val/list.txt", "list.txt")),
        splits={"test": 2},
    ),
    WildFolder(
        "a folder around it",
        "lasot_ext",
        moved(make_sets.make_lasot_ext, ("LaSOT_extension_subset", "x"), ("x", "lasot_ext/LaSOT_extension_subset")),
        splits={"test": 2},
    ),
    WildFolder(
        "a data root of another name, and a folder around it",
        "otb100",
        moved(make_sets.make_small_otb100, ("OTB100", "Tracker_Benchmark")),
        splits={"test": 4},
    ),
    WildFolder(
        "a folder around each video",
        "otb100",
        moved(
            make_sets.make_small_otb100,
            *((f"OTB100/{name}", f"otb/{name}/{name}") for name in ("Basketball", "Crossing", "Jogging")),
        ),
        splits={"test": 4},
    ),
    WildFolder(
        "frames that are still packed",
        "trackingnet",
        write({"TEST/anno/a_0.txt": "1,2,3,4", "TEST/zips/a_0.zip": b"x"}),
        refused=("sequence a_0 are still packed", "unpack", "zips/a_0.zip"),
    ),
    WildFolder("another case", "nfs", moved(make_sets.make_nfs, ("Nfs", "nFS")), splits={"test": 2}),
    WildFolder(
        "an archive", "uav123", write({"UAV123/data.zip": b"x"}), refused=("no ground truth", "unpack", "data.zip")
    ),
    refused("a lost line", spoiled(lines(BOXES[:3])), "4 frames and 3 boxes"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.task}: {case.name}")
def test_a_wild_folder_of_videos(case: WildFolder, tmp_path: Path) -> None:
    check_wild_folder(case, tmp_path)
