"""Guards of users' own label files: which label, color and prediction means which class."""

from __future__ import annotations

from tests.guards import Guard

FOLDER = "tests/segmentation/data/own_folder/test_read_folder.py"
MASKS, RESULTS = "tests/wild_data/test_masks.py", "tests/wild_data/test_results.py"

GUARDS = {
    "the colors of masks are part of the fingerprint": Guard(
        "segmentation/data/dataset_layout.py",
        "        if self.label_space.colors:\n",
        "        if False:\n",
        f"{FOLDER} -k colors_of_a_table",
    ),
    "a stored summary belongs to one table of colors": Guard(
        "segmentation/data/label_summaries.py",
        'hexdigest()[:MAP_DIGITS]}" if label_space.colors else ""',
        'hexdigest()[:MAP_DIGITS]}" if False else ""',
        f"{FOLDER} -k under_another_table",
        soak=True,
    ),
    "a color that the table lacks is not the nearest one": Guard(
        "segmentation/data/label_colors.py",
        "    if (numbers < 0).any():\n",
        "    if False:\n",
        f"{MASKS} -k lacks",
        soak=True,
    ),
    "palettes agree": Guard(
        "segmentation/data/label_headers.py",
        "        if color != palette[value]:\n",
        "        if False:\n",
        f"{MASKS} -k contradict",
        soak=True,
    ),
    "every file of a user's folder of masks is used": Guard(
        "segmentation/data/own_folder/read_folder.py",
        "    if not test_only:\n        require_all_used(",
        "    if False:\n        require_all_used(",
        f"{MASKS} -k polygons",
    ),
    "images of one year do not get the labels of another": Guard(
        "segmentation/data/own_folder/file_roles.py",
        "    cuts = [len(wrap) if is_one_sided else shared for wrap in wraps]\n",
        "    cuts = [len(wrap) for wrap in wraps]\n",
        f"{MASKS} -k year",
        soak=True,
    ),
    "a folder that looks like a split is not mixed with the others": Guard(
        "segmentation/data/own_folder/file_roles.py",
        "        if is_nearly_split and not split",
        "        if False",
        f"{MASKS} -k looks",
        soak=True,
    ),
    "predictions that are shifted by one are noticed": Guard(
        "segmentation/scoring.py",
        "    if shifted := trial.describe_shift():\n",
        "    if shifted := None:\n",
        f"{RESULTS} -k scored_or_refused",
    ),
    "a class has one name": Guard(
        "segmentation/data/own_folder/class_lists.py",
        "    if (twin := _find_twin(found.names)) is not None:\n",
        "    if (twin := None) is not None:\n",
        f"{MASKS} -k twice",
        soak=True,
    ),
}
