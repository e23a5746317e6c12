"""Where the data of bench's own tasks come from, how large they are, and under which terms. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.task import DataReport, Task
from foundation.errors import DataError


class DataSource(NamedTuple):
    """The origin of a data set.

    Attributes:
        places: names below the data root under which bench looks for it; the first that exists is used. Empty for data
            that come with the packages.
        origin: where it comes from.
        terms: its licence or terms of use, as its authors state them.
        download_bytes: size of what is to be downloaded, as its authors state it; ``None`` where that is not known.
        is_fetched: whether ``bench get data`` downloads it; otherwise it says how to fetch it by hand.
    """

    places: tuple[str, ...]
    origin: str
    terms: str
    download_bytes: int | None = None
    is_fetched: bool = False

    def find_folder(self, root: Path) -> Path | None:
        """Return the folder of the data set below a data root, if there is one; its content is not checked."""
        return next((root / place for place in self.places if (root / place).is_dir()), None)


_RESEARCH = "non-commercial research"
_GOT10K = "got-10k.aitestunion.com", "CC BY-NC-SA 4.0"
_EMBEDDED = DataSource((), "made of what the packages contain", "that of the packages", 0)

# sizes are those of the official archives
DATA_SOURCES = {
    "digits": DataSource((), "part of scikit-learn", "images CC BY 4.0, scikit-learn BSD-3-Clause", 0),
    "mini_ade": _EMBEDDED,
    "mini_lasot": _EMBEDDED,
    "mini_coco": _EMBEDDED,
    "mini_shapes": _EMBEDDED,
    "cifar10": DataSource(
        ("cifar-10-batches-py",), "cs.toronto.edu/~kriz", "none stated; for research", 170_498_071, True
    ),
    "cifar100": DataSource(
        ("cifar-100-python",), "cs.toronto.edu/~kriz", "none stated; for research", 169_001_437, True
    ),
    "flowers": DataSource(
        ("flowers-102",), "robots.ox.ac.uk/~vgg/data/flowers/102", "none stated; for research", 344_878_000, True
    ),
    "pets": DataSource(("oxford-iiit-pet",), "robots.ox.ac.uk/~vgg/data/pets", "CC BY-SA 4.0", 811_092_049, True),
    "aircraft": DataSource(
        ("fgvc-aircraft-2013b",), "robots.ox.ac.uk/~vgg/data/fgvc-aircraft", _RESEARCH, 2_753_340_328, True
    ),
    "cars": DataSource(("stanford_cars",), "Krause et al. 2013; the authors' page is gone", _RESEARCH, 1_956_620_000),
    "inat18": DataSource(
        ("inat2018",), "github.com/visipedia/inat_comp, 2018", f"{_RESEARCH} and education", 120_000_000_000
    ),
    "imagenet": DataSource(("imagenet",), "image-net.org, ILSVRC 2012", _RESEARCH, 154_642_000_000),
    "ade20k": DataSource(
        ("ADEChallengeData2016", "ade20k", "ade"),
        "sceneparsing.csail.mit.edu",
        f"{_RESEARCH} and education",
        967_382_037,
    ),
    "camvid": DataSource(("CamVid", "camvid"), "SegNet's tutorial, 480 x 360 px", "none stated; for research"),
    # train2017 18 GB, val2017 1 GB, annotations 241 MB, as the project's page says
    "coco": DataSource(
        ("coco", "COCO", "coco2017", "COCO2017", "mscoco"),
        "cocodataset.org, 2017",
        "annotations CC BY 4.0; images: the terms of Flickr",
        19_241_000_000,
    ),
    "lasot": DataSource(("lasot",), "LaSOT's project page", "see its project page", 227_000_000_000),
    # sets to test on; their scoring knows further names of their folders
    "lasot_ext": DataSource(
        ("lasot_ext", "LaSOT_ext", "lasot_extension_subset", "LaSOT_extension_subset"),
        "LaSOT's project page",
        "see its project page",
    ),
    "got10k_val": DataSource(("got10k/val", "GOT-10k/val", "GOT10k/val"), *_GOT10K),
    "got10k_test": DataSource(("got10k/test", "GOT-10k/test", "GOT10k/test"), *_GOT10K),
    "trackingnet": DataSource(
        ("trackingnet/TEST", "TrackingNet/TEST", "TEST"), "tracking-net.org", "see its project page"
    ),
    "otb100": DataSource(
        ("otb", "OTB", "otb100", "OTB100", "OTB2015"),
        "cvlab.hanyang.ac.kr/tracker_benchmark",
        "none stated; for research",
    ),
    "uav123": DataSource(("uav123", "UAV123"), "KAUST's page of UAV123", "see its page"),
    "nfs": DataSource(("nfs", "NfS", "Nfs", "NFS"), "the page of Need for Speed (ci2cv.net/nfs)", "see its page"),
}

TRAINING_SOURCES = {
    "lasot": {
        "lasot, training on got10k": DataSource(("got10k",), *_GOT10K),
        "lasot, training on trackingnet": DataSource(("trackingnet",), "tracking-net.org", "see its project page"),
        "lasot, training on coco": DataSource(
            ("coco",), "cocodataset.org, train2017", "annotations CC BY 4.0; images: the terms of Flickr"
        ),
    },
}
"""Further sets that the default protocol of a task trains on, by task and by what they are called in lists."""


def find_task_data(task: Task, root: Path) -> DataReport:
    """Return what a task says of its data, before a run or an analysis.

    Raises:
        DataError: the data are missing or damaged; of a missing set the message says how to get it.
    """
    with explain_missing_data(task.name, root):
        return task.check_data(root)


@contextmanager
def explain_missing_data(task: str, root: Path) -> Iterator[None]:
    """Add to the message of a ``DataError`` how to get the data, if there are none.

    Args:
        task: name of the task.
        root: the data root.

    Raises:
        DataError: as it was raised inside, with the addition.
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}{_describe_sources(task, root)}") from error


def _describe_sources(task: str, root: Path) -> str:
    """Return how to get a data set that is not below a data root, as the end of a sentence; "" if something is there.

    Args:
        task: name of the task.
        root: the data root.
    """
    source = DATA_SOURCES.get(task)
    if source is None or not source.places or source.find_folder(root) is not None:
        return ""
    fetches = "fetches it" if source.is_fetched else "says how to fetch it"
    return (
        f"; bench get data {task} {fetches}, and bench get --pack FILE --tasks {task} --with-data carries it from a "
        "machine that has it"
    )
