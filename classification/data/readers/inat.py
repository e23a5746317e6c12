"""Read iNaturalist 2018: images in ``train_val2018``, splits in two JSON files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classification.data.dataset_splits import RawDataset, RawSplit, require_folder
from classification.data.image_collections import ImageFiles
from engine.data.image_formats import MAX_FILE_BYTES
from foundation.errors import DataError
from foundation.text.user_json import read_user_json


def read_inat18(root: Path) -> RawDataset:
    """Read ``inat2018`` with ``train_val2018/``, ``train2018.json`` and ``val2018.json``; val is the test split.

    The classes are the 8,142 species, numbered by the competition's category id. Their names come from
    ``categories.json`` if it is there, because the annotation files of 2018 hide them.

    Raises:
        DataError: a file is missing, damaged, or names an image outside of the data set.
    """
    folder = require_folder(root / "inat2018", "iNaturalist 2018")
    names: dict[int, str] = {}
    splits = {}
    for split, file in (("train", "train2018.json"), ("test", "val2018.json")):
        content = _load_json(folder / file)
        try:
            for category in content["categories"]:
                name = str(category["name"])
                if names.setdefault(category["id"], name) != name:
                    raise DataError(
                        f"category {category['id']} of {folder} is {names[category['id']]!r} in train and {name!r} in "
                        "val; fetch both files again"
                    )
            # annotations refer to images by id: join the two lists
            paths = {image["id"]: image["file_name"] for image in content["images"]}
            pairs = [(paths[item["image_id"]], item["category_id"]) for item in content["annotations"]]
        except (KeyError, TypeError) as error:
            raise DataError(f"{folder / file} is not the competition's file ({error!r}); fetch it again") from error
        # paths come from a downloaded file, so none of them may lead out of the folder
        for path, _ in pairs:
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise DataError(f"{folder / file} names {path}, outside the data set; fetch it again")
        images = ImageFiles(folder, [path for path, _ in pairs], is_official=True)
        splits[split] = RawSplit(images, [label for _, label in pairs])
    if (folder / "categories.json").is_file():
        names |= {category["id"]: str(category["name"]) for category in _load_json(folder / "categories.json")}
    return RawDataset(names, splits)


def _load_json(path: Path) -> Any:
    try:
        return read_user_json(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); fetch it again") from error
