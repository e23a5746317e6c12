"""What cards share: where the authors' weights stand, and the names of sources."""

from __future__ import annotations

from backbones.card import PretrainedWeights

ARCHITECTURES_MODULE = "backbones.architectures"
HALF_MEAN_STD = (0.5, 0.5, 0.5)

SOURCE_ICML = "arXiv 2205.14443, wangsr126/MAE-Lite at f3090d4"
SOURCE_IJCV = "arXiv 2404.12210, wangsr126/MAE-Lite at a5d1a74"
SOURCE_FIRST_RELEASE = "wangsr126/MAE-Lite at 5bf439a (first release)"
TEACHER_NAME = "a 1600-epoch MAE ViT-Base"
LASOT_METRIC = "AUC, 41 FPS on an unnamed CPU"


def mae_lite_weights(file: str, recipe: str, page: str, drive_id: str, remark: str = "") -> PretrainedWeights:
    """Weights of wangsr126/MAE-Lite, which stand on a file-sharing site and are fetched by hand.

    Args:
        file: the name the repository gives the file.
        recipe: how they were made.
        page: the page of the repository that links them.
        drive_id: the file's id on Google Drive, as linked.
        remark: what to look out for.
    """
    source = f"wangsr126/MAE-Lite, linked in {page}: Google Drive file {drive_id}"
    return PretrainedWeights(
        uri=f"file:{file}",
        recipe=recipe,
        source=f"{source}; {remark}" if remark else source,
        licence="Apache-2.0 (the repository's; none is stated for the weights)",
    )
