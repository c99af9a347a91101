import os

import pytest

from sharpkit._inputs.files import replacing


def test_the_file_appears_whole(tmp_path):
    file = tmp_path / "a.png"
    file.write_text("old")
    with replacing(file) as part:
        part.write_text("new")
        assert part.suffix == ".png"
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.png"
    file.write_text("old")

    def fail():
        with replacing(file) as part:
            part.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_links_are_not_followed(tmp_path):
    other = tmp_path / "other.png"
    other.write_text("of others")
    file = tmp_path / "a.png"
    file.symlink_to(other)
    (tmp_path / f".a.{os.getpid()}.part.png").symlink_to(other)
    with replacing(file) as part:
        part.write_text("new")
    assert other.read_text() == "of others"
    assert file.read_text() == "new"
    assert not file.is_symlink()
