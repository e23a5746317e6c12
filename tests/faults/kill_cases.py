"""The commands that write, and where each of them is killed.

Each chain is one folder: the command is killed at its points, one after the other, each time begun again, and then it
may end. Each link of a chain is one kill. A chain has one kill for each kind of file and each kind of step of its
command; ``tests.faults.soak_kills`` kills at every step.
"""

from __future__ import annotations

from typing import NamedTuple

from foundation.files import SETTLED_SECONDS
from tests.faults.kill_points import KillPoint

Chain = tuple[KillPoint, ...]


class KillCase(NamedTuple):
    """A command that is killed.

    Attributes:
        name: for the report.
        words: the words after ``bench``; a star in a path stands for what the folder holds.
        after: name of the case in whose folder it is run; empty for one with prepared data alone.
        chains: where it is killed.
        pause: seconds for which files must be left alone before bench keeps what it read of them.
    """

    name: str
    words: str
    after: str = ""
    chains: tuple[Chain, ...] = ()
    pause: float = 0.0


def at(step: str, count: int = 1) -> KillPoint:
    """Die before a step, at its how manieth time."""
    return KillPoint(step, count)


def half(step: str, count: int = 1) -> KillPoint:
    """Die with half of the file written, just before a step."""
    return KillPoint(step, count, is_torn=True)


RUN = "--backbone vit_nano --tier smoke --device cpu --out runs --set loggers=[]"
STORE = "pretrain"
"""The case in whose folder those are run that need a store with finished runs."""

FINETUNE: tuple[Chain, ...] = (
    (
        half("fsync *.record.json.*"),
        half("fsync *.jsonl"),
        half("fsync *.best_00000001.pth.tmp"),
        at("renamed *best_00000001.pth"),
        half("open *.step_00000001.pth.tmp", 2),
        at("renamed *step_00000001.json"),
        at("renamed *step_00000001.pth"),
        half("fsync *.best_00000002.json.*"),
        at("renamed *step_00000002.pth"),
        half("fsync *.items.csv.*"),
        half("fsync *.record.json.*", 2),
    ),
    (at("renamed */record.json", 2),),
    (half("fsync *.wrong_1.png.*"),),
)

REAL_COMMANDS = {
    "finetune": "runs/digits/*finetune*/checkpoints/step_00000001.pth",
    "page": "page/media/*",
}
"""Commands that are also killed as real ones: the file that they are killed at, by the name of the case."""
SLOW_REAL_COMMANDS = {"predict": ".predictions.*/labels/*"}
"""The same for ``make soak``."""

CASES = (
    KillCase(
        "knn",
        f"run digits --protocol knn {RUN}".removesuffix(" --set loggers=[]"),
        "",
        (
            (
                at("rename runs/ledger/*"),
                half("fsync *.features.npy.*"),
                at("renamed *.features.npy"),
                half("fsync cache/features/.*.json.*"),
            ),
        ),
    ),
    KillCase(
        "linear",
        f"run digits --protocol linear {RUN} grid.count=3".replace("loggers=[] ", ""),
        "",
        ((at("renamed *cache/features/*.json", 2), half("fsync *.items.csv.*")),),
    ),
    KillCase("finetune", f"run digits {RUN} epochs=2 schedule.warmup=0 max_items=200", "knn", FINETUNE),
    KillCase(
        "mini_ade",
        f"run mini_ade --protocol linear {RUN} crop=32 test.stride=32 test.scale=none batch_size=4 iterations=2 "
        "val_interval=1 schedule.warmup=0 workers=0 max_items=8",
        "finetune",
        (
            (
                half("fsync *.last_00000001.pth.tmp"),
                at("renamed *step_00000001.pth"),
                half("fsync *ADE_val_*.png*", 3),
                half("fsync *.areas.npy.*"),
            ),
        ),
    ),
    KillCase(
        STORE,
        f"pretrain mae --data digits {RUN} epochs=2 schedule.warmup=0 val_interval=1 knn_monitor.interval=2 "
        "max_items=200",
        "mini_ade",
        (
            (
                half("open *.step_00000001.pth.tmp", 2),
                at("renamed *step_00000001.pth"),
                half("fsync *.encoder.pth.*"),
            ),
        ),
    ),
    KillCase(
        "mini_coco",
        f"run mini_coco {RUN} size=64 model.channels=8 model.box_channels=8 iterations=2 val_interval=1 "
        "schedule.warmup=0 workers=0 test.min_score=0 test.per_image=5",
        "",
        (
            (
                half("open *.step_00000001.pth.tmp", 1),
                at("renamed *step_00000001.pth"),
                half("fsync *.detections.json.*"),
                half("fsync *.matches.npy.*"),
            ),
        ),
    ),
    KillCase(
        "mini_lasot",
        f"run mini_lasot --protocol fast64 {RUN} epochs=2 pairs=8 val_pairs=4 batch_size=8 head_channels=16 "
        "schedule.warmup=0 dataset_weights.photos=0 dataset_weights.mini_lasot=1 workers=0 "
        "use_ce=true ce.blocks=[1] ce.begin=0 ce.end=1 max_frames=20",
        "",
        (
            (
                at("renamed *step_00000001.pth"),
                half("open *.step_00000002.pth.tmp", 2),
                half("fsync *tracked/.*.txt.*", 8),
                at("renamed *tracked/drift-3.txt"),
            ),
        ),
    ),
    KillCase(
        "evaluate",
        "evaluate digits --run runs/digits/*finetune* --out runs --device cpu",
        STORE,
        ((half("fsync *.items.csv.*"), at("rename *.record.json.*", 2)),),
    ),
    KillCase(
        "cka",
        "analyze cka vit_nano vit_pico --data digits --images 64 --device cpu --out runs",
        STORE,
        (
            (
                half("fsync *.csv.*"),
                half("fsync *.analysis.json.*"),
            ),
        ),
    ),
    KillCase(
        "page",
        "table --html page",
        STORE,
        (
            (
                half("fsync cache/statistics/*", 2),
                at("renamed cache/statistics/*"),
                at("rename page/media/.*", 3),
                half("fsync page/.index.html.*"),
            ),
        ),
    ),
    KillCase(
        "list",
        "list runs",
        STORE,
        ((at("create cache/store_index/*"), at("insert cache/store_index/*", 2), at("commit cache/store_index/*")),),
        SETTLED_SECONDS + 0.5,
    ),
    KillCase(
        "sweep",
        "sweep --backbones vit_nano --tasks digits --protocols knn --tier smoke --out runs --device cpu "
        "--no-calibration --slots 1",
        STORE,
        ((at("open runs/sweeps/*/.lock"), half("fsync cache/statistics/*")),),
    ),
    KillCase("table", "table --out table.md", STORE, ((half("fsync .table.md.*"),),)),
    KillCase("items", "items --out items.csv", STORE, ((half("fsync .items.csv.*"),),)),
    KillCase(
        "onnx",
        "export runs/digits/*finetune* --format onnx --out exported",
        STORE,
        (
            (
                half("fsync *.onnx.*"),
                at("rename exported/.onnx-f32.[*].tmp"),
            ),
        ),
    ),
    KillCase(
        "onnx again",
        "export runs/digits/*finetune* --format onnx --out exported",
        "onnx",
        (
            (
                at("rename exported/.onnx-f32.[*].tmp"),
                at("rename exported/onnx-f32"),
                at("renamed exported/.onnx-f32.[*].tmp/old"),
            ),
        ),
    ),
    KillCase(
        "predict",
        "predict cache/mini_ade-1/ADEChallengeData2016/images/validation --run runs/mini_ade/* "
        "--out predictions --device cpu",
        STORE,
        ((half("fsync *.png.*", 3), at("rename .predictions*")),),
    ),
    KillCase(
        "pack", "pack runs --out runs.tar.gz", STORE, ((at("open .runs.tar.gz.*"), half("fsync .runs.tar.gz.*")),)
    ),
    KillCase("submit", "submit runs -o submission.tar.gz", STORE, ((half("fsync .submission.tar.gz.*"),),)),
    KillCase("merge", "merge runs --out union", STORE, ((at("open .union.merge/*", 9), at("rename .union.merge/*")),)),
    KillCase("profile", "profile vit_nano --device cpu --save", STORE, ((half("fsync *timings*"),),)),
    KillCase(
        "add", "add backbone my_mae --from runs/pretrain/*", STORE, ((half("fsync cache/*"), at("rename cache/*", 2)),)
    ),
    KillCase(
        "check",
        "check data mini_ade",
        "",
        (
            (
                at("create cache/file_hashes.sqlite"),
                at("insert cache/file_hashes.sqlite", 70),
                at("commit cache/file_hashes.sqlite"),
                at("insert cache/label_summaries.sqlite", 5),
                at("commit cache/label_summaries.sqlite"),
                half("fsync *.mini_ade.png.*"),
            ),
        ),
        SETTLED_SECONDS + 0.5,
    ),
)
