"""The images below a folder of a user, by the folders that they lie in. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from engine.data.image_formats import IMAGE_SUFFIXES
from engine.data.split_folders import require_read_formats
from engine.data.tree_files import LITTER_FOLDERS, TreeFiles, is_system_file, list_tree
from foundation.errors import DataError
from foundation.text.user_names import require_text_name


class ImageTree:
    """The images below a folder. Folders are named by their path below it, with forward slashes; the folder by "".

    Args:
        files: every file below the folder.
    """

    def __init__(self, files: TreeFiles) -> None:
        self.files = files
        self.root = files.root
        self.images_in: dict[str, list[str]] = {}
        """The images directly in each folder that has any."""
        self._subfolders: dict[str, set[str]] = {}
        for path in files.files:
            # hidden files are never data, so they end as files that nothing uses
            folder, _, name = path.rpartition("/")
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                self.images_in.setdefault(folder, []).append(path)
        for folder in self.images_in:
            while folder:
                parent, _, name = folder.rpartition("/")
                self._subfolders.setdefault(parent, set()).add(name)
                folder = parent

    @property
    def num_images(self) -> int:
        """Return the number of all images."""
        return sum(map(len, self.images_in.values()))

    def list_folders(self, folder: str) -> list[str]:
        """Return the names of the subfolders of a folder in which, at some depth, there are images; sorted."""
        return sorted(self._subfolders.get(folder, ()))

    def list_images(self, folder: str) -> list[str]:
        """Return the images at or below a folder, in the order in which torchvision lists them."""
        inside = [path for place, paths in self.images_in.items() if is_below(place, folder) for path in paths]
        return sorted(inside, key=os.path.split)

    def get_path(self, folder: str) -> Path:
        """Return the place of a folder on this machine, for messages."""
        return self.root / folder if folder else self.root

    def require_filled_folders(self, folder: str) -> None:
        """Require that no subfolder is empty: it would be a class or a split that is missing without a word.

        Args:
            folder: the folder that holds the splits or the classes.

        Raises:
            DataError: a subfolder has no file at any depth, or only files of the system, as ``.DS_Store``.
        """
        place = self.get_path(folder)
        prefix = f"{folder}/" if folder else ""
        known = {
            path.removeprefix(prefix).partition("/")[0]
            for group in (self.files.files, self.files.litter, self.files.excluded)
            for path in group
            # a Mac writes .DS_Store into an empty folder that somebody looked into
            if path.startswith(prefix) and not (group is self.files.litter and is_system_file(path))
        }
        children = [
            child
            for child in sorted(place.iterdir())
            if child.is_dir() and not child.name.startswith(".") and child.name.lower() not in LITTER_FOLDERS
        ]
        # a link to a folder that is listed under its other name is not empty
        seen = {os.path.realpath(child) for child in children if child.name in known} | {os.path.realpath(place)}
        for child in children:
            if child.name not in known and os.path.realpath(child) not in seen:
                raise DataError(f"{child} holds no image ({', '.join(IMAGE_SUFFIXES)}); fill it or remove it")


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies in it; everything lies in the folder "".

    >>> is_below("train/cat", "train"), is_below("training/cat", "train"), is_below("cat", "")
    (True, False, True)
    """
    return not folder or path == folder or path.startswith(f"{folder}/")


def open_image_tree(root: Path) -> ImageTree:
    """List the images below a user's folder.

    Raises:
        DataError: there is no such folder, an image has a format that cannot be opened here, or a name is not text.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; name your folder of class folders with --data-root")
    files = list_tree(root)
    # text and not Path, because there may be a million of them
    require_read_formats(f"{root}/{path}" for path in files.files)
    for path in files.files:
        require_text_name(f"{root}/{path}")
    return ImageTree(files)
