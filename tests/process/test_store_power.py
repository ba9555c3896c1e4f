"""A power cut at every step: what was confirmed is there, though the disk holds only what it was told to sync."""

from __future__ import annotations

import shutil

import pytest

from src_core.errors import ProjectError
from src_core.store.create import build_project
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.process.crash_server import CLASSES, cases

pytestmark = pytest.mark.process

SEQUENCE = [
    {"do": "write", "case": "a", "start": [0, 0], "stop": [20, 5], "label": 0},
    {"do": "accept", "case": "b", "start": [1, 1], "stop": [7, 7]},
    {"do": "write", "case": "b", "start": [4, 4], "stop": [12, 12], "label": 0},
    {"do": "undo"},
    {"do": "skip", "case": "b", "start": [8, 8], "stop": [9, 9]},
    {"do": "verify_image", "case": "b", "in_pieces": True},
    {"do": "undo"},
    {"do": "redo"},
    {"do": "write", "case": "b", "start": [0, 0], "stop": [24, 24], "label": 1},
]


@pytest.fixture(autouse=True)
def _traced(server):
    if not server.traces:
        pytest.skip("children cannot be traced here, so nothing is known of what they sync")


@pytest.fixture
def made(quick_folder):
    path = quick_folder / "work" / "p.metadcseg"
    build_project(path, cases("ab", 0), CLASSES).close()
    return path


def masks(path, *, write):
    """Row, and masks at that row; the project must be whole."""
    with Project.open(path, write=write) as project:
        assert problems_of(project) == []
        found = [plane.tobytes() for case in project.cases for plane in project.read_labels(case)]
        return project.version()[0], found


def images_of(server, path, what, **order):
    """Images that a power cut would leave: how the disk worked, confirmed until then, folder."""
    images = path.parents[1] / "images"
    shutil.rmtree(images, ignore_errors=True)
    ended = server(what, path, images=str(images), **order)
    for image in sorted(images.iterdir()):
        _, mode, said = image.name.split(".")
        yield mode, int(said), image
    assert ended["said"] == int(said)


def told_by_row(server, path):
    """Masks at each row of the sequence, from a run that nothing happens to."""
    told = dict([masks(path, write=False)])
    for number in range(1, len(SEQUENCE) + 1):
        copy = shutil.copytree(path, path.parents[1] / f"{number}.metadcseg")
        server("change", copy, changes=SEQUENCE[:number])
        told |= [masks(copy, write=False)]
    assert len(told) == len(SEQUENCE) + 1
    return told


@pytest.mark.parametrize("batch", [1, 3])
def test_changes_with_a_power_cut_at_every_step(server, made, batch):
    told = told_by_row(server, made)
    first, seen = min(told), {"strict": 0, "names": 0, "masks": 0}
    for mode, said, image in images_of(server, made, "change", changes=SEQUENCE, batch=batch):
        row, found = masks(image / made.name, write=True)
        assert first + said <= row <= first + said + 1
        assert found == told[row]
        seen[mode] += 1
    assert min(seen.values()) > len(SEQUENCE)


def test_repeating_what_was_cut_with_a_power_cut_at_every_step(server, made):
    assert server("change", made, changes=SEQUENCE, die=True)["said"] == len(SEQUENCE)
    told = masks(shutil.copytree(made, made.parents[1] / "told.metadcseg"), write=True)
    for _, _, image in images_of(server, made, "change", changes=[]):
        assert masks(image / made.name, write=True) == told


def test_making_a_project_with_a_power_cut_at_every_step(server, quick_folder):
    path = quick_folder / "work" / "p.metadcseg"
    path.parent.mkdir()
    there = []
    for _, said, image in images_of(server, path, "create"):
        there.append((image / path.name).exists())
        if there[-1]:
            assert masks(image / path.name, write=True)[0] == 1
        assert there[-1] or not said
    assert 0 < sum(there) < len(there)


def test_these_tests_would_notice(server, made):
    """Without syncs of the masks, some of these power cuts lose a change."""
    told = told_by_row(server, made)
    lost = 0
    for _, _, image in images_of(server, made, "change", changes=SEQUENCE, batch=1, lie=True):
        try:
            with Project.open(image / made.name, write=True) as project:
                row = project.version()[0]
                lost += [plane.tobytes() for case in project.cases for plane in project.read_labels(case)] != told[row]
        except ProjectError:
            lost += 1
    assert lost
