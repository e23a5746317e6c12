"""Constants that several cards share, and the weights of wangsr126/MAE-Lite."""

from __future__ import annotations

from backbones.card import PretrainedWeights

ARCHITECTURES_MODULE = "backbones.architectures"
# maps pixel values from 0..1 to -1..1
HALF_MEAN_STD = (0.5, 0.5, 0.5)

# the repository as it was for each of the two papers; the same number may differ between the states
SOURCE_ICML = "arXiv 2205.14443, wangsr126/MAE-Lite at f3090d4"
SOURCE_IJCV = "arXiv 2404.12210, wangsr126/MAE-Lite at a5d1a74"
SOURCE_FIRST_RELEASE = "wangsr126/MAE-Lite at 5bf439a (first release)"
# the teacher of D-MAE and D2-MAE; the card mae_base has its encoder
TEACHER_NAME = "a 1600-epoch MAE ViT-Base"
LASOT_METRIC = "AUC, 41 FPS on an unnamed CPU"


def mae_lite_weights(file: str, recipe: str, page: str, drive_id: str, remark: str = "") -> PretrainedWeights:
    """Describe weights of wangsr126/MAE-Lite, which are on Google Drive and must be downloaded by the user.

    Args:
        file: the file's name in the repository.
        recipe: how the weights were trained.
        page: the page of the repository that links the file.
        drive_id: the file's id on Google Drive, as linked.
        remark: anything unexpected about the file or the page.
    """
    # the id, not an address: the user finds the current link on the page
    source = f"wangsr126/MAE-Lite, linked in {page}: Google Drive file {drive_id}"
    return PretrainedWeights(
        uri=f"file:{file}",
        recipe=recipe,
        source=f"{source}; {remark}" if remark else source,
        licence="Apache-2.0 (the repository's; none is stated for the weights)",
    )
