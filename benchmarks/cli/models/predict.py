"""``bench predict IMAGES``: the classes of images, or of their pixels, by a finished model."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_device_option, add_overrides_option
from benchmarks.cli.output import write_json, write_stdout
from benchmarks.cli.start_options import add_model_options, make_model_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = "image files, or folders whose images are taken, those in subfolders too"
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help=text)
    add_model_options(parser)
    add_overrides_option(parser, "apply the model otherwise than its own settings say, e.g. img_size=256")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the predictions")
    add_device_option(parser)


def main(options: Namespace) -> int:
    """Predict, and write where the predictions are."""
    # imported here, because torch takes seconds and --device must be known before
    from benchmarks.evaluation.predict_images import predict_images

    report = predict_images(make_model_source(options, options.overrides), options.images, options.out)
    if options.json:
        write_json(dict(report.data))
    else:
        write_stdout(report.text)
    return 0
