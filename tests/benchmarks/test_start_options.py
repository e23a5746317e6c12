"""--weights-key, --mean, --std and --label: what of them is in the id, and where each of them is stated."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch

from backbones.create import create_backbone
from benchmarks.cell_record import describe_given_weights
from benchmarks.matrix.cell_command import make_cell_command
from benchmarks.matrix.executors.executor import CellResources
from benchmarks.matrix.suite import Suite, SuiteBlock, expand_suite
from benchmarks.resolve_cell import CellRequest, resolve_cell
from benchmarks.verify.recorded_command import _build_parser
from foundation.errors import BenchError
from litevit_bench import run
from results.leaderboard.table import build_table
from results.records.store import scan_runs

HALF = (0.5, 0.5, 0.5)
OTHER = (0.25, 0.25, 0.25)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with plain weights and their running average."""
    path = tmp_path_factory.mktemp("weights") / "two.pth"
    # two random networks on few digits may score the same by chance, so they are always the same two
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain, average = (create_backbone("vit_pico", checkpoint="random").model.state_dict() for _ in range(2))
    torch.save({"model": plain, "model_ema": average}, path)
    return path


def make_request(weights: Path, **fields: object) -> CellRequest:
    return CellRequest("digits", "vit_pico", "knn", str(weights), tier="smoke", **fields)  # type: ignore[arg-type]


def test_what_changes_the_number_is_in_the_id(weights: Path) -> None:
    def resolve(**fields: object) -> str:
        return resolve_cell(make_request(weights, **fields)).identity.run_id

    ids = [resolve(), resolve(weights_key="model"), resolve(mean=OTHER, std=HALF)]
    assert len(set(ids)) == 3
    assert resolve(label="mine") == ids[0]
    card = resolve_cell(make_request(weights)).request.card
    assert resolve(mean=card.mean, std=card.std) == ids[0], "the card's own values are the same input"


def test_the_start_is_stated(weights: Path) -> None:
    backbone = resolve_cell(make_request(weights, mean=HALF, std=HALF)).backbone
    assert describe_given_weights(backbone) == "weights under 'model_ema' (running average), mean 0.5, std 0.5"
    plain = resolve_cell(make_request(weights, weights_key="model")).backbone
    assert describe_given_weights(plain).startswith("mean ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": HALF}, "--mean needs --std"),
        ({"mean": (0.5,), "std": (0.5,)}, "must have one value per channel, and vit_pico has 3 channels"),
        ({"mean": (127.5,) * 3, "std": (127.5,) * 3}, r"give them for pixels from 0 to 1 \(0.5 0.5 0.5\)"),
        ({"mean": HALF, "std": (0.5, 0.0, 0.5)}, "--std values above 0"),
        ({"mean": (float("nan"),) * 3, "std": HALF}, "must have finite values"),
        ({"label": " "}, "--label is empty"),
        ({"label": "a" * 61}, "61 characters"),
        ({"label": "a\x1b[31m"}, "control characters"),
        ({"weights_key": "ema"}, "no weights under 'ema', but under: model, model_ema"),
    ],
)
def test_wrong_values_are_one_sentence(weights: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        resolve_cell(make_request(weights, **fields))


def test_the_command_of_a_cell_asks_for_the_same(weights: Path) -> None:
    request = make_request(weights, weights_key="model", mean=HALF, std=(0.25, 0.5, 1.0), label="my run")
    options = _build_parser("run").parse_args(shlex.split(shlex.join(make_cell_command(request)[2:])))
    assert (options.weights_key, options.mean, options.std) == ("model", [0.5] * 3, [0.25, 0.5, 1.0])
    assert options.label == "my run"


def test_rows_are_named_and_stay_apart(weights: Path, tmp_path: Path) -> None:
    for seed, fields in enumerate(
        [
            {"label": "mine"},
            {"label": "mine", "weights_key": "model"},
            {"label": "mine", "mean": OTHER, "std": HALF},
        ]
    ):
        shared = {"protocol": "knn", "checkpoint": weights, "tier": "smoke", "out": tmp_path, "device": "cpu"}
        record = run("digits", "vit_pico", seed=0, **shared, **fields)  # type: ignore[arg-type]
        assert record.backbone.label == "mine", seed
    (board,) = build_table(scan_runs([tmp_path])).boards
    assert len(board.rows) == 3, "three starts remain three rows"
    assert all(row.name == "mine" and row.label.startswith("mine (vit_pico, checkpoint ") for row in board.rows)
    assert sum("model_ema" in row.label for row in board.rows) == 2
    assert sum("input normalized with mean [0.25, 0.25, 0.25]" in row.note for row in board.rows) == 1
    # features of one version are not those of the other, although both are of one file
    assert len({row.metrics["top1"] for row in board.rows}) == 3
    # the newest label names the row, whichever seed it was given to
    run("digits", "vit_pico", seed=1, **shared, label="renamed")  # type: ignore[arg-type]
    (board,) = build_table(scan_runs([tmp_path])).boards
    assert sorted(row.name for row in board.rows) == ["mine", "mine", "renamed"]


def test_a_normalization_belongs_to_a_file() -> None:
    with pytest.raises(BenchError, match="starts from random weights"):
        resolve_cell(CellRequest("digits", "vit_pico", "knn", "random", mean=OTHER, std=HALF))


def test_in_a_matrix_the_options_hold_for_files(weights: Path) -> None:
    defaults = CellRequest("", "", weights_key="model", mean=OTHER, std=HALF, label="mine")
    block = SuiteBlock(tasks=["digits"], backbones=[f"vit_pico@{weights}", "vit_nano"])
    cells, notes = expand_suite(Suite(cells=[block]), defaults, CellResources())
    assert [cell.request.weights_key for cell in cells] == ["model", None]
    assert [cell.request.mean for cell in cells] == [OTHER, None]
    assert [cell.request.label for cell in cells] == ["mine", "mine"]
    assert notes == [
        "--weights-key and --mean and --std hold for the backbones that start from a file, and not for vit_nano"
    ]
    with pytest.raises(BenchError, match="no backbone starts from one"):
        expand_suite(Suite(cells=[block.model_copy(update={"backbones": ["vit_nano"]})]), defaults, CellResources())
