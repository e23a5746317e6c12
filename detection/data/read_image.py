"""Read the images of a detection data set as detectron2 does: RGB, upright, at the size that the annotations state."""

from __future__ import annotations

from PIL import Image, ImageOps

from detection.data.ground_truth import DetectionImage
from engine.data.decode import decode_rgb, read_image_file, read_orientation
from foundation.errors import DataError


def read_rgb_image(entry: DetectionImage) -> Image.Image:
    """Read an image, turned as its orientation tag says unless the annotations were made without turning it.

    Args:
        entry: which image; its size decides between the two.

    Raises:
        DataError: the file cannot be decoded, or has another size than the annotations state.
    """
    data = read_image_file(entry.path)
    image = decode_rgb(data, entry.path)
    wanted = (entry.width, entry.height)
    orientation = read_orientation(data, entry.path)
    # tools differ in whether they apply the tag; the stated size says which one the annotator saw
    turned = turn_upright(image, orientation)
    if turned.size == wanted:
        return turned
    if image.size == wanted:
        return image
    raise DataError(
        f"{entry.path} has {image.width} x {image.height} px, and the annotations state {entry.width} x "
        f"{entry.height} (width, height) for image {entry.id}; its boxes would be wrong, so fetch the image that was "
        "annotated, or correct the annotations"
    )


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image turned as an orientation tag says.

    Args:
        image: the image.
        orientation: value of the tag, 1 to 8; 1 is upright.
    """
    if orientation in (0, 1):
        return image
    tagged = image.copy()
    tagged.getexif()[274] = orientation
    return ImageOps.exif_transpose(tagged)
