"""Names of recordings never lead out of their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmp_sync.storage.media_folders import MediaFolders, NameRefused


@pytest.fixture
def folders(tmp_path: Path) -> MediaFolders:
    virtual = {"/nas": tmp_path / "nas", "/nas/deep": tmp_path / "deep"}
    return MediaFolders(tmp_path / "media", virtual)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("show", "media/live/room/show"),
        ("a/b/show", "media/live/room/a/b/show"),
        ("mp4:show", "media/live/room/show"),
        ("flv:show.flv", "media/live/room/show"),
        ("show.FLV", "media/live/room/show"),
        ("nas/show", "nas/show"),
        ("nas/deep/show", "deep/show"),
        ("nas", "media/live/room/nas"),
        ("nasty/show", "media/live/room/nasty/show"),
        ("Große Show", "media/live/room/Große Show"),
    ],
)
def test_a_name_has_its_place(folders: MediaFolders, tmp_path: Path, name: str, path: str) -> None:
    assert folders.locate("live", "room", name) == tmp_path / path
    assert folders.prove("live", "room", name) == tmp_path / path


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a//b",
        "a/./b",
        "nas/../x",
        "a\0b",
        "a\\..\\b",
        "c:x",
        "a\nb",
        ".hidden",
        "a.rec/b",
        "show.rec",
        "show.REC",
        "a.Rec/b",
        "show.",
        "show ",
        "a./b",
        "a /b",
        "show.flv/x",
        "x" * 201,
        "/".join("x" * 20),
        "\ud800",
        "mp4:../x",
        "mp4:/x",
        "flv:",
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(folders: MediaFolders, name: str) -> None:
    with pytest.raises(NameRefused):
        folders.locate("live", "room", name)


def test_each_instance_has_a_place_of_its_own(folders: MediaFolders, tmp_path: Path) -> None:
    """A client of one asks for streams with slashes, and slashes are in names of instances."""
    asked = [("a", "b/c"), ("a/b", "c"), ("a%2Fb", "c"), ("a%252Fb", "c"), ("a%b", "c")]
    places = [folders.locate("live", instance, name) for instance, name in asked]
    assert places[:2] == [tmp_path / "media/live/a/b/c", tmp_path / "media/live/a%2Fb/c"]
    assert len(set(places)) == len(asked)


@pytest.mark.parametrize(
    "instance", ["..", "a/../..", "/x", "", "/".join("x" * 17), "x" * 150 + "/" + "y" * 150]
)
def test_so_is_an_instance(folders: MediaFolders, instance: str) -> None:
    with pytest.raises(NameRefused):
        folders.locate("live", instance, "show")


@pytest.mark.parametrize("link", ["live", "live/room/sub", "live/room/sub/show.rec"])
def test_a_link_that_leads_out_of_the_folder_is_not_followed(
    folders: MediaFolders, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = tmp_path / "media" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    with pytest.raises(NameRefused):
        folders.prove("live", "room", "sub/show")


def test_a_link_that_stays_inside_is_followed(folders: MediaFolders, tmp_path: Path) -> None:
    (tmp_path / "media" / "archive").mkdir(parents=True)
    (tmp_path / "media" / "live").mkdir()
    (tmp_path / "media" / "live" / "room").symlink_to(tmp_path / "media" / "archive")
    assert folders.prove("live", "room", "show").parent.resolve().name == "archive"


def test_without_a_folder_nothing_is_recorded() -> None:
    folders = MediaFolders(None, {})
    assert not folders.any
    with pytest.raises(NameRefused, match=r"storage\.media"):
        folders.locate("live", "room", "show")
