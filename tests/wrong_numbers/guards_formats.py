"""Guards of image files: pixels and labels that a decoder would make up, cut, or spread without a word."""

from __future__ import annotations

from tests.guards import Guard

DECODE = "tests/engine/data/test_decode.py"
LABELS = "tests/segmentation/data/test_files.py"

GUARDS = {
    "zeros after half a JPEG are no pixels": Guard(
        "engine/data/decode.py",
        "            _require_filled_jpeg(data, name)\n",
        "",
        f"{DECODE} -k whole_preview",
    ),
    "a huge image is refused before it is decoded": Guard(
        "engine/data/decode.py",
        "    if image.width * image.height > MAX_PIXELS:\n",
        "    if False:\n",
        f"{DECODE} -k by_its_header",
        soak=True,
    ),
    "an animation is not its first picture": Guard(
        "engine/data/decode.py",
        "    if count > 1:\n",
        "    if False:\n",
        f"{DECODE} -k several_pictures",
        soak=True,
    ),
    "a cut file does not pass by a switch of Pillow": Guard(
        "engine/data/decode.py",
        "    ImageFile.LOAD_TRUNCATED_IMAGES = False",
        "    ",
        f"{DECODE} -k switch_of_pillow",
        soak=True,
    ),
    "labels are not taken from a JPEG": Guard(
        "segmentation/data/files.py",
        "        if picture.format not in _EXACT_FORMATS:\n",
        "        if False:\n",
        f"{LABELS} -k no_label_file",
    ),
    "labels of four bits are not multiplied": Guard(
        "segmentation/data/files.py",
        "    return labels if factor == 1 else labels // factor\n",
        "    return labels\n",
        f"{LABELS} -k numbers_in_the_file",
    ),
    "labels are turned as their image is": Guard(
        "segmentation/data/files.py",
        "        return ImageOps.exif_transpose(picture)\n",
        "        return picture.copy()\n",
        f"{LABELS} -k turned_alike",
        soak=True,
    ),
    "a TIFF's transparency does not darken its colors": Guard(
        "engine/data/decode.py",
        "        if image.format not in _OPENCV_FORMATS:\n",
        "        if image.format not in (*_OPENCV_FORMATS, 'TIFF'):\n",
        f"{DECODE} -k colour_it_shows",
        soak=True,
    ),
}
