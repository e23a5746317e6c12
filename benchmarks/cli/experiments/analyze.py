"""``bench analyze WHAT ...``: options, requests and output of the analyses.

Nothing heavy is imported before ``main`` is called, because ``bench --help`` reads this module.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.request import (
    DISTANCE_UNITS,
    LAYERS_PARTS,
    READ_POINTS,
    AnalysisCell,
    AnalysisKind,
    AnalysisRequest,
    AttentionRequest,
    BackboneChoice,
    CkaRequest,
    DataScaleRequest,
    LayersRequest,
    NeighboursRequest,
    PcaRequest,
    RunCell,
    SpectrumRequest,
)
from benchmarks.cli.arguments.number_types import (
    parse_batch_size,
    parse_finite,
    parse_nonnegative_int,
    parse_positive_int,
    parse_seed,
    parse_side,
    whole_number,
)
from benchmarks.cli.common_options import (
    add_common_switches,
    add_data_options,
    add_device_option,
    add_overrides_option,
    collect_data_options,
)
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.cli.start_options import add_start_options, choose_starts, get_start_fields, pair_checkpoints
from foundation.environment import resolve_data_root

# only for annotations: both modules import pydantic, and the second one torch
if TYPE_CHECKING:
    from analysis.store import StoredAnalysis
    from benchmarks.run_cell import CellResult


MAX_PICTURES = 1000
"""Largest number of pictures on a side of a figure."""


class _AnalysisCommand(NamedTuple):
    """An analysis on the command line: what it does, an example, its own options, and the request they make."""

    summary: str
    example: str
    add_arguments: Callable[[ArgumentParser], None]
    make_request: Callable[[Namespace], AnalysisRequest]


def add_arguments(parser: ArgumentParser) -> None:
    """Add a sub-command with its own parser for each analysis."""
    kinds = parser.add_subparsers(prog="bench analyze", dest="what", required=True, metavar="WHAT")
    for name, command in ANALYSES.items():
        one = kinds.add_parser(
            name, help=command.summary, description=command.summary, epilog=f"example: {command.example}"
        )
        command.add_arguments(one)
        add_data_options(one)
        text = "do the analysis again although a record exists, and read no cache; the old record is kept"
        one.add_argument("--fresh", action="store_true", help=text)
        text = "folder of the runs; analyses are written to DIR/analysis; default: runs/"
        one.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help=text)
        add_device_option(one)
        add_common_switches(one)


def main(options: Namespace) -> int:
    """Do one analysis, or read it from its record, and write a summary."""
    # imported here: bench --help must be fast, and --device must be known before torch is imported
    from analysis.registry import load_method, run_analysis

    stored = run_analysis(ANALYSES[options.what].make_request(options))
    analysis = stored.analysis
    if options.json:
        content = analysis.model_dump(mode="json")
        write_json({"folder": str(stored.folder), "from_record": stored.from_record, "analysis": content})
        return 0
    summary = load_method(analysis.kind).summarize(analysis)
    write_stdout("\n".join([_format_header(stored), *summary, *_list_files(stored)]))
    return 0


def _format_header(stored: StoredAnalysis) -> str:
    data = stored.analysis.data
    text = stored.analysis.title + (" (not the official data)" if data and data.dataset.deviations else "")
    return text + ("; answered from the record, --fresh does it again" if stored.from_record else "")


def _list_files(stored: StoredAnalysis) -> list[str]:
    return [f"  {stored.folder / name}" for name in ("analysis.json", *sorted(stored.analysis.files))]


def _add_cka_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="registry name or timm/<name>")
    # A against itself shows which of its own layers are similar
    parser.add_argument("second", metavar="B", help="registry name or timm/<name>; may be A again")
    parser.add_argument("--checkpoint-a", metavar="FILE", help="weight file of A, or the word 'random'")
    parser.add_argument("--checkpoint-b", metavar="FILE", help="weight file of B, or the word 'random'")
    add_start_options(parser)
    text = "what to read: papers (first norm of each block and the final norm), or one part of each block"
    parser.add_argument("--at", choices=READ_POINTS, default="papers", help=text)
    # the estimator is unbiased, so the batch size changes CKA only by sampling noise
    text = "maximum images per batch; default: 128"
    parser.add_argument("--batch", type=parse_batch_size, default=128, metavar="N", help=text)
    _add_image_options(parser)


def _make_cka_request(options: Namespace) -> CkaRequest:
    choices = ((options.first, options.checkpoint_a), (options.second, options.checkpoint_b))
    return CkaRequest(
        backbones=choose_starts(choices, options),
        read_point=options.at,
        batch_size=options.batch,
        num_images=options.images,
        **_get_image_fields(options),
    )


def _add_attention_arguments(parser: ArgumentParser) -> None:
    _add_backbone_options(parser)
    text = "pixels per grid step: patch (patch size of the backbone), or papers (always 14)"
    parser.add_argument("--distance", choices=DISTANCE_UNITS, default="patch", help=text)
    # 0 is allowed: maps of a deep backbone take longer to draw than the numbers take to compute
    text = "number of images whose attention maps are drawn; default: 4"
    parser.add_argument("--pictures", type=whole_number(0, MAX_PICTURES), default=4, metavar="N", help=text)
    _add_image_options(parser)


def _make_attention_request(options: Namespace) -> AttentionRequest:
    return AttentionRequest(
        backbones=(BackboneChoice(options.name, options.checkpoint, **get_start_fields(options)),),
        distance_unit=options.distance,
        num_pictures=options.pictures,
        num_images=options.images,
        **_get_image_fields(options),
    )


def _add_layers_arguments(parser: ArgumentParser) -> None:
    _add_backbone_options(parser)
    _add_runs_options(parser, protocol="finetune")
    text = "probe (linear and k-NN probes after each block), finetune (from the first k blocks), or both; default: both"
    parser.add_argument("--parts", choices=LAYERS_PARTS, nargs="+", default=list(LAYERS_PARTS), help=text)
    # 0 is allowed: only the stem keeps its pre-trained weights
    text = "values of k, the number of pre-trained blocks to keep; default: quarters of the depth"
    parser.add_argument("--first", type=parse_nonnegative_int, nargs="+", metavar="K", help=text)


def _make_layers_request(options: Namespace) -> LayersRequest:
    return LayersRequest(
        backbone=BackboneChoice(options.name, options.checkpoint, **get_start_fields(options)),
        protocol=options.protocol,
        parts=tuple(options.parts),
        first_blocks=None if options.first is None else tuple(options.first),
        **_get_runs_fields(options),
    )


def _add_data_scale_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", metavar="A", nargs="+", help="registry names or timm/<name>")
    # a placeholder word is needed: a list of values cannot leave out the second of three
    text = "start weights, one value per backbone in the same order: a file, 'random', or 'card' for the card's weights"
    parser.add_argument("--checkpoint", nargs="+", metavar="FILE", help=text)
    add_start_options(parser)
    _add_runs_options(parser, protocol=None)


def _make_data_scale_request(options: Namespace) -> DataScaleRequest:
    return DataScaleRequest(
        backbones=pair_checkpoints(options),
        protocol=options.protocol,
        **_get_runs_fields(options),
    )


def _add_spectrum_arguments(parser: ArgumentParser) -> None:
    _add_backbone_options(parser)
    _add_image_options(parser)


def _make_spectrum_request(options: Namespace) -> SpectrumRequest:
    return SpectrumRequest(
        backbones=(BackboneChoice(options.name, options.checkpoint, **get_start_fields(options)),),
        num_images=options.images,
        **_get_image_fields(options),
    )


def _add_pca_arguments(parser: ArgumentParser) -> None:
    _add_backbone_options(parser)
    # no --images besides: the components are computed from exactly the images that are drawn
    text = "number of images that are analyzed and drawn; default: 8"
    parser.add_argument("--pictures", type=whole_number(1, MAX_PICTURES), default=8, metavar="N", help=text)
    _add_image_options(parser, with_count=False)


def _make_pca_request(options: Namespace) -> PcaRequest:
    return PcaRequest(
        backbones=(BackboneChoice(options.name, options.checkpoint, **get_start_fields(options)),),
        num_images=options.pictures,
        **_get_image_fields(options),
    )


def _add_neighbours_arguments(parser: ArgumentParser) -> None:
    _add_backbone_options(parser)
    # 6 rows of 8 pictures (the query and 7 neighbours) fit on one sheet
    text = "number of query images; default: 6"
    parser.add_argument("--queries", type=whole_number(1, MAX_PICTURES), default=6, metavar="N", help=text)
    text = "number of nearest images per query; default: 7"
    parser.add_argument("--neighbours", type=whole_number(1, MAX_PICTURES), default=7, metavar="K", help=text)
    _add_image_options(parser)


def _make_neighbours_request(options: Namespace) -> NeighboursRequest:
    return NeighboursRequest(
        backbones=(BackboneChoice(options.name, options.checkpoint, **get_start_fields(options)),),
        num_queries=options.queries,
        num_neighbours=options.neighbours,
        num_images=options.images,
        **_get_image_fields(options),
    )


def _add_backbone_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="A", help="registry name or timm/<name>")
    parser.add_argument("--checkpoint", metavar="FILE", help="weight file, or the word 'random'")
    add_start_options(parser)


def _add_image_options(parser: ArgumentParser, with_count: bool = True) -> None:
    text = "task whose images are analyzed; default: digits (embedded)"
    parser.add_argument("--data", default="digits", metavar="TASK", help=text)
    # val by default, so that test images stay unused until the final evaluation
    parser.add_argument("--split", default="val", help="split of the data; default: val")
    if with_count:
        text = "number of images; default: 1,024, or all if there are fewer"
        parser.add_argument("--images", type=parse_positive_int, metavar="N", help=text)
    text = "side of the input in pixels; default: the card's"
    parser.add_argument("--img-size", type=parse_side, metavar="PIXELS", help=text)
    text = "seed of random weights; default: 0"
    parser.add_argument("--seed", type=parse_seed, default=0, metavar="N", help=text)


def _get_image_fields(options: Namespace) -> dict[str, Any]:
    """Return the fields that every ``ImageRequest`` has; the number of images comes from a different option in pca."""
    fields = {"split": options.split, "img_size": options.img_size, "seed": options.seed}
    return {**_get_common_fields(options, options.data), **fields}


def _add_runs_options(parser: ArgumentParser, protocol: str | None) -> None:
    # The same words as in bench run, so that a run's command line carries over; --data would be the images instead
    parser.add_argument("--task", required=True, metavar="TASK", help="task of the runs (bench list tasks)")
    text = f"protocol of the runs; default: {protocol or 'the first of the task'}"
    parser.add_argument("--protocol", default=protocol, help=text)
    text = "length of the schedule, as in bench run"
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full", help=text)
    text = "seeds of the runs; one run per seed"
    parser.add_argument("--seeds", type=parse_seed, nargs="+", default=[0], metavar="N", help=text)
    text = "fraction of the training items, e.g. 0.01 0.1 1.0; one run per value"
    parser.add_argument("--data-scale", type=parse_finite, nargs="+", default=[1.0], metavar="FRACTION", help=text)
    add_overrides_option(parser, "change the protocol's configuration, e.g. epochs=5")


def _get_runs_fields(options: Namespace) -> dict[str, Any]:
    """Return the fields that every ``RunsRequest`` has; the default protocol differs between the analyses."""
    return {
        **_get_common_fields(options, options.task),
        "run_cell": _make_run_cell(options),
        "tier": options.tier,
        "seeds": tuple(options.seeds),
        "data_scales": tuple(options.data_scale),
        "overrides": tuple(options.overrides),
    }


def _make_run_cell(options: Namespace) -> RunCell:
    """Return a function that does one run as ``bench run`` does, with the options of this command line."""
    from benchmarks.resolve_cell import CellRequest
    from benchmarks.run_cell import run_cell

    # passed into the analysis, because analysis/ is a layer below benchmarks/ and may not import it
    def run_analysis_cell(cell: AnalysisCell) -> CellResult:
        return run_cell(
            CellRequest(
                # force_new is not set: --fresh repeats the analysis, not the runs, whose records still hold
                task=options.task,
                backbone=cell.choice.name,
                protocol=options.protocol,
                checkpoint=cell.choice.checkpoint,
                weights_key=cell.choice.weights_key,
                mean=cell.choice.mean,
                std=cell.choice.std,
                tier=options.tier,
                seed=cell.seed,
                overrides=tuple(options.overrides),
                data_root=resolve_data_root(options.data_root),
                out=options.out,
                device=options.device,
                allow_partial=cell.allow_partial,
                allow_subset=options.subset,
                allow_duplicates=options.allow_duplicates,
                hash_all=options.hash_all,
                data_options=collect_data_options(options),
                data_scale=cell.data_scale,
                command_line=tuple(options.command_line),
            )
        )

    return run_analysis_cell


def _get_common_fields(options: Namespace, task_name: str) -> dict[str, Any]:
    """Return the fields that every request has."""
    # bench --help reads this module, so the task registry is imported only here
    from benchmarks.task_registry import TASKS

    return {
        "task": TASKS.get(task_name),
        "data_root": resolve_data_root(options.data_root),
        "out": options.out,
        "device": options.device,
        "allow_partial": options.allow_partial,
        "allow_subset": options.subset,
        "hash_all": options.hash_all,
        "data_options": collect_data_options(options),
        "force_new": options.fresh,
        "command_line": tuple(options.command_line),
    }


# at the end of the module, because it refers to the functions above
ANALYSES: dict[AnalysisKind, _AnalysisCommand] = {
    "cka": _AnalysisCommand(
        "measure how similar the layers of two backbones are (CKA heat map)",
        "bench analyze cka vit_nano vit_pico",
        _add_cka_arguments,
        _make_cka_request,
    ),
    "attention": _AnalysisCommand(
        "measure how far and how widely each head attends, and draw attention maps",
        "bench analyze attention vit_nano",
        _add_attention_arguments,
        _make_attention_request,
    ),
    "layers": _AnalysisCommand(
        "measure which layers matter: probes after each block, fine-tuning from the first k",
        "bench analyze layers vit_nano --task digits --parts probe",
        _add_layers_arguments,
        _make_layers_request,
    ),
    "data-scale": _AnalysisCommand(
        "measure transfer against the amount of data, several backbones in one figure",
        "bench analyze data-scale vit_nano vit_pico --task digits --protocol linear --data-scale 0.1 1.0",
        _add_data_scale_arguments,
        _make_data_scale_request,
    ),
    "spectrum": _AnalysisCommand(
        "compute the spectrum and effective rank of pooled features",
        "bench analyze spectrum vit_nano",
        _add_spectrum_arguments,
        _make_spectrum_request,
    ),
    "pca": _AnalysisCommand(
        "draw the principal components of patch features as colors",
        "bench analyze pca vit_nano",
        _add_pca_arguments,
        _make_pca_request,
    ),
    "neighbours": _AnalysisCommand(
        "find the nearest images by pooled features",
        "bench analyze neighbours vit_nano",
        _add_neighbours_arguments,
        _make_neighbours_request,
    ),
}
