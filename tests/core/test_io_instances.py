"""Masks of numbered objects, as one class and back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from src_core.cli import main
from src_core.data.case import IGNORE, Box
from src_core.errors import InputError, MaskValueError
from src_core.io.formats import read
from src_core.io.instances import renumbered
from src_core.store.export import export
from src_core.store.journal import Action, Change, Patch
from src_core.store.project import Project

NUMBERS = np.array(
    [
        [7, 7, 0, 0, 0, 0],
        [7, 0, 0, 9, 9, 0],
        [0, 0, 0, 9, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [3, 3, 4, 4, 0, 0],
    ],
    np.uint16,
)


def test_numbers_stay_grow_go_and_come():
    label = (NUMBERS > 0).astype(np.uint8)
    assert np.array_equal(renumbered(label, NUMBERS), NUMBERS)
    label[0, 2] = 1  # 7 grows
    label[1:3, 3:5] = 0  # 9 goes
    label[2, 5] = 1  # a new one comes
    wanted = np.where(label == 1, NUMBERS, 0)
    wanted[0, 2], wanted[2, 5] = 7, 10
    assert np.array_equal(renumbered(label, NUMBERS), wanted)
    assert renumbered(label, NUMBERS).dtype == np.uint16
    assert not renumbered(np.full_like(label, IGNORE), NUMBERS).any()


def test_what_is_added_between_two_objects_goes_to_the_nearer_one():
    numbers = np.array([[1, 0, 0, 0, 0, 2]], np.uint8)
    assert renumbered(np.ones((1, 6), np.uint8), numbers).tolist() == [[1, 1, 1, 2, 2, 2]]


def test_a_type_that_is_full_is_said():
    numbers = np.array([[255, 0, 0]], np.uint8)
    with pytest.raises(MaskValueError, match="256 objects, more than the type uint8"):
        renumbered(np.array([[1, 0, 1]], np.uint8), numbers)


def test_a_project_of_cells(tmp_path, capsys):
    for folder, pixels in (("images", NUMBERS.astype(np.uint8)), ("masks", NUMBERS)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    words = ["create", str(tmp_path / "p"), "--images", str(tmp_path / "images"), "--masks", str(tmp_path / "masks")]
    assert main([*words, "--instances"]) == 0
    assert "object" in capsys.readouterr().out
    with Project.open(tmp_path / "p", write=True) as project:
        (case,) = project.cases
        assert np.array_equal(project.read_label(case), NUMBERS > 0)
        (back,) = export(project, tmp_path / "one", ["cleaned"])
        assert np.array_equal(read(back, mask=True).pixels, NUMBERS)
        patch = Patch(Box((4, 4), (5, 5)), np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
        project.commit(Change(case.id, Action.EDIT, patch))
        (back,) = export(project, tmp_path / "two", ["cleaned"])
        wanted = NUMBERS.copy()
        wanted[4, 4] = 4
        assert np.array_equal(read(back, mask=True).pixels, wanted)
        (tmp_path / "masks" / "a.png").unlink()
        with pytest.raises(InputError, match="not there any more"):
            export(project, tmp_path / "three", ["cleaned"])
