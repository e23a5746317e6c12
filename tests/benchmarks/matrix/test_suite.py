"""Suites: what a file or the options mean, and that every fault is named at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cli.experiments.run import _make_requests
from benchmarks.cli.main import build_parser
from benchmarks.matrix.cell_command import make_cell_command
from benchmarks.matrix.executors.executor import CellResources
from benchmarks.matrix.share_groups import FEATURE_PROTOCOLS
from benchmarks.matrix.suite import (
    Matrix,
    Suite,
    SuiteBlock,
    expand_suite,
    keep_named_cells,
    list_shipped_suites,
    read_suite,
    replace_fields,
)
from benchmarks.resolve_cell import CellRequest, resolve_cell
from foundation.errors import ConfigError, UserError

DEFAULTS = CellRequest("", "", device="cpu")


def expand(*blocks: SuiteBlock, data_root: Path = Path("data")) -> Matrix:
    """The matrix of some blocks."""
    defaults = CellRequest("", "", device="cpu", data_root=data_root)
    return expand_suite(Suite(cells=list(blocks)), defaults, CellResources())


def write_suite(tmp_path: Path, text: str) -> str:
    """A suite file."""
    path = tmp_path / "suite.toml"
    path.write_text(text)
    return str(path)


def test_a_block_is_the_product_of_its_lists() -> None:
    cells = expand(
        SuiteBlock(
            tasks=["digits", "mini_ade"],
            backbones=["vit_nano", "vit_pico@random"],
            protocols=["knn", "linear", "semantic_fpn"],
            seeds=[0, 1],
        )
    ).cells
    found = [(r.task, r.backbone, r.checkpoint, r.protocol, r.seed) for r in (cell.request for cell in cells)]
    assert len(found) == len(set(found)) == 2 * 2 * (2 + 2)
    assert ("digits", "vit_pico", "random", "linear", 1) in found
    # a protocol runs on the tasks that have it: mini_ade has linear and semantic_fpn, digits knn and linear
    assert {(task, protocol) for task, _, _, protocol, _ in found} == {
        ("digits", "knn"),
        ("digits", "linear"),
        ("mini_ade", "linear"),
        ("mini_ade", "semantic_fpn"),
    }


def test_without_protocols_each_task_runs_its_first() -> None:
    cells = expand(SuiteBlock(tasks=["digits", "mini_ade", "mini_lasot"], backbones=["vit_pico"])).cells
    assert [cell.request.protocol for cell in cells] == ["finetune", "upernet", "fast128"]


def test_a_cell_that_two_blocks_name_is_there_once() -> None:
    block = SuiteBlock(tasks=["digits"], backbones=["vit_pico"], protocols=["knn"])
    assert len(expand(block, block.model_copy(update={"seeds": [0, 1]})).cells) == 2


def test_all_faults_are_named_at_once() -> None:
    first = SuiteBlock(
        tasks=["digitz", "mini_ade"],
        backbones=["vit_nanoo", "timm/resnet51000", "vit_pico", "vit_pico@"],
        protocols=["knn"],
        seeds=[-1],
        data_scale=[0.5, 2.0],
    )
    second = SuiteBlock(domain="tracing", backbones=[])
    with pytest.raises(ConfigError) as error:
        expand(first, second)
    text = str(error.value)
    for part in (
        "cells[1]: ",
        "digits",
        "did you mean vit_nano",
        "resnet51000",
        "backbone 'vit_pico@' names no start weights",
        "mini_ade has none of the protocols knn",
        "seed -1 is negative",
        "data scale 2 is not a fraction",
        "mini_ade has no --data-scale",
        "cells[2]: unknown domain 'tracing'; did you mean tracking?",
        "no backbone is named",
    ):
        assert part in text, (part, text)


def test_a_protocol_that_no_task_has_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="no task of digits has a protocol 'knm'; did you mean knn"):
        expand(SuiteBlock(tasks=["digits"], backbones=["vit_pico"], protocols=["knm", "linear"]))


def test_all_fields_of_a_file_are_checked_at_once(tmp_path: Path) -> None:
    name = write_suite(tmp_path, '[[cells]]\ntasks = "digits"\nbackbone = ["vit_pico"]\nseeds = []\nthreads = 0\n')
    with pytest.raises(ConfigError) as error:
        read_suite(name)
    for part in ("cells.0.tasks", "cells.0.backbone: unknown field", "cells.0.seeds", "cells.0.threads"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("cells = [", "is not TOML"),
        ("", "cells: Field required"),
        ("cells = []", "cells: List should have at least 1 item"),
    ],
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        read_suite(write_suite(tmp_path, text))


def test_an_unknown_file_names_the_shipped_suites() -> None:
    with pytest.raises(
        ConfigError, match="cannot read the suite frozn: No such file or directory; did you mean frozen"
    ):
        read_suite("frozn")


def test_options_replace_the_fields_of_every_block(tmp_path: Path) -> None:
    text = '[[cells]]\ndomain = "classification"\n[[cells]]\ntasks = ["mini_ade"]\nseeds = [3]\n'
    suite = read_suite(write_suite(tmp_path, text))
    changed = replace_fields(suite, {"tasks": ["digits"], "backbones": ["vit_pico"], "tier": "smoke"})
    assert [(b.tasks, b.domain, b.tier, b.seeds) for b in changed.cells] == [
        (["digits"], None, "smoke", [0]),
        (["digits"], None, "smoke", [3]),
    ]


def test_set_replaces_the_settings_that_it_names(tmp_path: Path) -> None:
    """A block's other settings stay: without its batch size the cells would be other runs, and nothing would say so."""
    suite = read_suite(write_suite(tmp_path, '[[cells]]\ntasks = ["digits"]\nset = ["batch_size=8", "epochs=9"]\n'))
    changed = replace_fields(suite, {"set": ["epochs=1", "workers=0"]})
    assert changed.cells[0].set == ["batch_size=8", "epochs=1", "workers=0"]


def test_a_domain_means_the_tasks_whose_data_are_here(tmp_path: Path) -> None:
    (tmp_path / "flowers-102").mkdir()
    matrix = expand(SuiteBlock(domain="classification", backbones=["vit_pico"]), data_root=tmp_path)
    assert {cell.request.task for cell in matrix.cells} == {"digits", "flowers"}
    (note,) = matrix.notes
    assert "no data below" in note
    assert "imagenet" in note


def test_the_shipped_suites_name_what_exists() -> None:
    assert set(list_shipped_suites()) == {"frozen", "papers"}
    papers = expand_suite(read_suite("papers"), DEFAULTS, CellResources()).cells
    assert len(papers) == 6 * 4 + 3 + 3
    assert {cell.request.protocol for cell in papers} == {"finetune", "semantic_fpn", "ostrack256_ce"}
    frozen = replace_fields(read_suite("frozen"), {"backbones": ["vit_pico"]})
    assert {cell.request.protocol for cell in expand_suite(frozen, DEFAULTS, CellResources()).cells} == {
        "knn",
        "linear",
        "lowshot",
    }


def test_the_command_of_a_cell_has_its_id(tmp_path: Path) -> None:
    blocks = [
        SuiteBlock(
            tasks=["digits"],
            backbones=["vit_pico", "vit_nano@random"],
            protocols=["linear", "finetune"],
            seeds=[0, 3],
            data_scale=[1.0, 0.1],
            tier="short",
        ),
        SuiteBlock(tasks=["digits"], backbones=["vit_pico"], protocols=["lowshot"], set=["shots=2", "draws=3"]),
    ]
    cells = expand(*blocks, data_root=tmp_path).cells
    assert len(cells) == 17
    for cell in cells:
        command = make_cell_command(cell.request)
        assert cell.request.command_line == tuple(command)
        options = build_parser(["run"]).parse_args(command[1:])
        options.command_line = command
        (request,) = _make_requests(options)
        assert resolve_cell(request).identity.run_id == resolve_cell(cell.request).identity.run_id
        assert request.out == cell.request.out


def test_paths_of_start_weights_hold_in_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    block = SuiteBlock(tasks=["digits"], backbones=["vit_pico@w.pth", "vit_pico@random", "vit_pico"])
    suite = Suite(cells=[block])
    defaults = CellRequest("", "", checkpoint="other.pth")
    found = [cell.request.checkpoint for cell in expand_suite(suite, defaults, CellResources()).cells]
    assert found == [str(tmp_path / "w.pth"), "random", str(tmp_path / "other.pth")]


def test_a_part_of_a_suite_is_named_by_tasks_and_protocols() -> None:
    blocks = [
        SuiteBlock(tasks=["digits", "mini_ade"], backbones=["vit_nano"], protocols=["knn", "finetune", "linear"]),
        SuiteBlock(tasks=["digits"], backbones=["vit_pico"]),
    ]

    def keep(*names: str) -> set[tuple[str, str | None, str]]:
        kept = keep_named_cells(expand(*blocks), names).cells
        return {(str(r.task), r.protocol, str(r.backbone)) for r in (cell.request for cell in kept)}

    assert keep("mini_ade") == {("mini_ade", "linear", "vit_nano")}
    assert keep("linear") == {("mini_ade", "linear", "vit_nano"), ("digits", "linear", "vit_nano")}
    assert keep("digits", "knn", "finetune") == {
        ("digits", "knn", "vit_nano"),
        ("digits", "finetune", "vit_nano"),
        ("digits", "finetune", "vit_pico"),
    }
    with pytest.raises(UserError, match="--only lineer: no cell has such a task or protocol; did you mean linear"):
        keep("digits", "lineer")
    with pytest.raises(UserError, match="--only mini_ade knn: no cell is of such a task and of such a protocol"):
        keep("mini_ade", "knn")


@pytest.mark.parametrize("is_named", [False, True], ids=["BENCH_DATA", "data/"])
def test_a_command_holds_no_folder_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_named: bool
) -> None:
    """The words stand in the record, which is published."""
    home, data = tmp_path / "home", tmp_path / ("home/data" if is_named else "elsewhere")
    home.mkdir()
    monkeypatch.chdir(home)
    if not is_named:
        monkeypatch.setenv("BENCH_DATA", str(data))
    block = SuiteBlock(tasks=["digits"], backbones=["vit_pico@runs/pretrain/a"], protocols=["knn"])
    defaults = CellRequest("", "", data_root=data, out=home / "runs")
    (cell,) = expand_suite(Suite(cells=[block]), defaults, CellResources()).cells
    words = "bench run digits --backbone vit_pico --protocol knn --checkpoint runs/pretrain/a"
    assert " ".join(cell.request.command_line) == words
    # where bench would not look by itself, the folder has to be named
    other = replace(cell.request, data_root=tmp_path / "other", out=tmp_path / "out")
    assert make_cell_command(other)[-4:] == ["--data-root", str(tmp_path / "other"), "--out", str(tmp_path / "out")]


def test_the_protocols_that_share_features_are_those_of_frozen_backbones() -> None:
    from classification.protocols import FROZEN_PROTOCOLS

    assert set(FEATURE_PROTOCOLS) == set(FROZEN_PROTOCOLS)
