"""Small files are put in place whole or not at all, and outlast a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from src_core.store import durable
from src_core.store.durable import PARTIAL, put


@pytest.fixture
def done(monkeypatch):
    """What is done to the disk, in order."""
    found, replace, sync = [], Path.replace, durable.sync_file
    monkeypatch.setattr(Path, "replace", lambda self, to: (found.append(("replace", self.name)), replace(self, to))[1])
    monkeypatch.setattr(durable, "sync_file", lambda path: (found.append(("sync", path.name)), sync(path)))
    return found


def test_a_file_is_on_the_disk_before_it_takes_its_place_and_its_folder_after(tmp_path, done):
    path = tmp_path / "about.json"
    path.write_text("old", encoding="utf-8")
    put(path, "neu é")
    assert path.read_text(encoding="utf-8") == "neu é"
    assert done == [("sync", ".about.json" + PARTIAL), ("replace", ".about.json" + PARTIAL), ("sync", tmp_path.name)]
    assert os.listdir(tmp_path) == ["about.json"]


def test_what_a_power_cut_makes_void_is_not_waited_for(tmp_path, done):
    put(tmp_path / "process.json", "1", to_disk=False)
    assert done == [("replace", ".process.json" + PARTIAL)]


@pytest.mark.parametrize("call", ["write_text", "replace"])
def test_a_disk_that_fails_leaves_what_was_there(tmp_path, monkeypatch, call):
    path = tmp_path / "about.json"
    put(path, "old")

    def fail(self, *_args, **_more):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, call, fail)
    with pytest.raises(OSError, match="No space"):
        put(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["about.json"]


def test_a_sync_that_fails_comes_before_the_place_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "about.json"
    put(path, "old")
    monkeypatch.setattr(durable, "sync_file", lambda _path: (_ for _ in ()).throw(OSError(5, "the disk failed")))
    with pytest.raises(OSError, match="disk failed"):
        put(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["about.json"]


def test_what_a_crash_left_is_written_over(tmp_path):
    (tmp_path / (".about.json" + PARTIAL)).write_text("half and longer than the whole", encoding="utf-8")
    put(tmp_path / "about.json", "new")
    assert (tmp_path / "about.json").read_text(encoding="utf-8") == "new"
    assert os.listdir(tmp_path) == ["about.json"]
