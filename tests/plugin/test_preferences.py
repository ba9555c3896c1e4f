"""A person's name and keys: kept, checked for collisions, and used."""

from __future__ import annotations

import errno

import pytest

from napari_metadcseg import preferences
from napari_metadcseg.keybindings import KEYS, KeyTable, taken_by_napari
from napari_metadcseg.preferences import Preferences
from napari_metadcseg.widgets.preferences_dialog import problem_of
from src_core.errors import StorageError

FIRST = {entry.action: entry.key for entry in KEYS}


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "deep" / "preferences.json"
    wanted = Preferences(author="Ada Lovelace", scheduler="lab:8786", keys={"accept": "G"})
    preferences.save(wanted, path)
    assert preferences.load(path) == wanted
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"author": 3}', '{"scheduler": 3}', '{"keys": {"accept": 7}}', '{"keys": []}']
)
def test_a_damaged_file_counts_as_not_set(tmp_path, text):
    path = tmp_path / "preferences.json"
    path.write_text(text, encoding="utf-8")
    assert preferences.load(path) == Preferences()


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "preferences.json"
    preferences.save(Preferences(author="Ada"), path)

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(StorageError, match="as they were"):
        preferences.save(Preferences(author="Bob"), path)
    assert preferences.load(path) == Preferences(author="Ada")


def test_our_keys_collide_with_nothing_of_napari():
    taken = taken_by_napari()
    assert taken["p"] == "activate labels paint mode"
    table = KeyTable()
    assert [entry.action for entry in KEYS if table.why_not(entry.action, entry.key)] == []
    assert len({entry.key.casefold() for entry in KEYS}) == len(KEYS)


def test_a_key_that_is_taken_is_refused_with_a_reason():
    table = KeyTable()
    assert "Keep the label" in table.why_not("accept", "K")
    assert "activate labels paint mode" in table.why_not("accept", "P")
    assert "Press the key" in table.why_not("accept", "")
    assert table.why_not("accept", "G") == ""
    assert table.why_not("accept", "Shift+G") == ""


def test_two_keys_may_be_exchanged():
    assert problem_of({**FIRST, "accept": "K", "keep": "A"}) == ""
    assert "choose another" in problem_of({**FIRST, "accept": "K"})


def test_a_table_takes_what_can_be_and_leaves_the_rest():
    table = KeyTable({"accept": "G", "keep": "P", "nonsense": "Y"})
    assert (table.of("accept"), table.of("keep")) == ("G", "K")
    assert table.changed == {"accept": "G"}
    assert "<b>G</b>" in table.help_html()
    table.reset()
    assert table.changed == {}
