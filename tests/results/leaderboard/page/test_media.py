"""The pictures of a page: which are taken, how they are named, and which files a later page removes."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from foundation.errors import UserError
from results.leaderboard.page import media
from results.leaderboard.page.media import PageMedia, read_figures
from results.leaderboard.page.write import PAGE_TITLE, write_page
from results.leaderboard.report import build_report
from results.records.picture_manifest import MAX_PICTURE_BYTES
from results.records.store import scan_runs
from tests.results.leaderboard.page.make_page import add_pictures, make_png
from tests.results.make import write_run

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def test_only_small_real_pictures_go_in_while_the_budget_lasts(tmp_path: Path) -> None:
    home = tmp_path / "pictures"
    home.mkdir()
    (tmp_path / "secret").write_bytes(PNG)
    for name, content in (("a.png", PNG), ("b.png", PNG + b"x"), ("evil.png", b"<svg onload=alert(1)>")):
        (home / name).write_bytes(content)
    (home / "large.png").write_bytes(PNG + bytes(MAX_PICTURE_BYTES))
    (home / "link.png").symlink_to(tmp_path / "secret")
    assert read_figures(home, 10**6) == [("a", PNG), ("b", PNG + b"x")]
    assert read_figures(home, len(PNG) + 21) == [("a", PNG)]
    assert read_figures(tmp_path / "nowhere", 10**6) == []


@pytest.mark.parametrize("content", [b"<svg/>", b"GIF89a", b"", PNG + bytes(MAX_PICTURE_BYTES)])
def test_what_is_no_small_picture_has_no_address(content: bytes) -> None:
    assert PageMedia(embed=False).add_picture(content) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_small_file_with_a_huge_image_is_left_out(kind: str) -> None:
    out = io.BytesIO()
    Image.new("1" if kind == "PNG" else "L", (5_000, 2_500)).save(out, kind, quality=5)
    small = out.getvalue()
    assert len(small) <= MAX_PICTURE_BYTES, "a browser would need 50 MB for it"
    assert PageMedia(embed=False).add_picture(small) is None
    out = io.BytesIO()
    Image.new("L", (500, 5_000)).save(out, kind, progressive=True)
    assert PageMedia(embed=False).add_picture(out.getvalue()) is not None


def test_the_same_content_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_FOLDER_BYTES", len(PNG) + 5)
    found = PageMedia(embed=False)
    first = found.add_picture(PNG)
    assert first is not None and first.startswith("media/") and first.endswith(".png")
    assert found.add_picture(PNG) == first, "and takes no more room"
    assert found.add_picture(PNG + b"x") is None, "the page is full"
    assert list(found.files.values()) == [PNG]


def write_site(runs: Path, folder: Path, single_file: bool = False) -> set[str]:
    page = write_page(build_report(scan_runs([runs])), folder, single_file=single_file)
    assert page == folder / "index.html"
    return {path.name for path in (folder / "media").glob("*")}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs" / "a", "a", [True, False], "1")
    add_pictures(tmp_path / "runs" / "a", 2)
    return tmp_path / "runs"


def test_the_same_records_give_the_same_files(runs: Path, tmp_path: Path) -> None:
    assert write_site(runs, tmp_path / "x") == write_site(runs, tmp_path / "y")
    pages = [(tmp_path / name / "index.html").read_bytes() for name in "xy"]
    assert pages[0] == pages[1]


def test_one_file_holds_its_pictures(runs: Path, tmp_path: Path) -> None:
    assert write_site(runs, tmp_path / "x", single_file=True) == set()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["index.html"]
    assert (tmp_path / "x" / "index.html").read_text().count("data:image/png;base64,iVBOR") == 2
    write_run(runs / "b", "b", [True, False], "2")
    add_pictures(runs / "b", 2)
    write_site(runs, tmp_path / "x", single_file=True)
    page = (tmp_path / "x" / "index.html").read_text()
    assert page.count("data:image/png;base64,iVBOR") == 2, "two runs share a picture of the same content"


def test_a_later_page_removes_the_pictures_of_an_earlier_one_and_nothing_else(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    ours = write_site(runs, folder)
    assert len(ours) == 2
    changed, kept = sorted(ours)
    # what a user may keep there: other names, and a file of ours that was replaced
    (folder / "media" / "holiday.png").write_bytes(PNG)
    (folder / "media" / f"{'0' * 32}.png").write_bytes(PNG)
    (folder / "media" / changed).write_bytes(b"mine")
    shutil.rmtree(runs / "a" / "pictures")
    assert write_site(runs, folder) == {"holiday.png", f"{'0' * 32}.png", changed}
    assert (folder / "media" / changed).read_bytes() == b"mine"
    assert not (folder / "media" / kept).exists()


def test_a_page_without_pictures_leaves_no_empty_folder(runs: Path, tmp_path: Path) -> None:
    assert write_site(runs, tmp_path / "page")
    write_site(runs, tmp_path / "page", single_file=True)
    assert not (tmp_path / "page" / "media").exists()


def test_a_damaged_picture_is_written_again(runs: Path, tmp_path: Path) -> None:
    (name, *_) = sorted(write_site(runs, tmp_path / "page"))
    path = tmp_path / "page" / "media" / name
    before = path.read_bytes()
    path.write_bytes(b"torn")
    write_site(runs, tmp_path / "page")
    assert path.read_bytes() == before


def test_pictures_are_never_written_or_removed_through_a_link(runs: Path, tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "page"
    write_site(runs, folder)
    (folder / "media").rename(elsewhere)
    before = set(elsewhere.iterdir())
    (folder / "media").symlink_to(elsewhere)
    with pytest.raises(UserError, match="symbolic link"):
        write_site(runs, folder)
    write_site(runs, folder, single_file=True)
    assert set(elsewhere.iterdir()) == before


def test_a_foreign_page_cannot_name_files_to_remove(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (tmp_path / "precious.png").write_bytes(make_png())
    names = '["../../precious.png","precious.png",7,null]'
    head = f"<title>{PAGE_TITLE}</title>"
    (folder / "index.html").write_text(f'{head}<script type="application/json" id="media">{names}</script>')
    write_site(runs, folder)
    assert (tmp_path / "precious.png").exists()


@pytest.mark.parametrize("kind", ["file", "pipe", "folder", "link"])
def test_a_page_of_somebody_else_is_never_replaced(runs: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    page = folder / "index.html"
    if kind == "file":
        page.write_text("<title>my home page</title>")
    elif kind == "pipe":
        os.mkfifo(page)
    elif kind == "folder":
        page.mkdir()
    else:
        page.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="was not written by bench, so it is not replaced"):
        write_site(runs, folder)
    assert sorted(folder.iterdir()) == [page], "and no picture was written beside it"
