"""The simulated annotator: by hand, its orders, its slips, and that the project stays as it is."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from src_core.cli import main
from src_core.data.noise import overlap
from src_core.review.simulated import SimulatedAnnotator, by_suspicion
from src_core.store.copy import copy_project
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.core.test_cli_review import scored  # noqa: F401  a fixture

SQUARE = 36


@pytest.fixture
def half_true(scored, tmp_path):  # noqa: F811
    """True masks by which, of the two squares of an image, the upper proposal is right and the lower one wrong."""
    folder = tmp_path / "truth"
    folder.mkdir()
    with Project.open(scored) as project:
        for case in project.cases:
            truth = project.read_label(case).copy()
            upper = (slice(2, 8), slice(2, 8))
            truth[upper] = project.run().read_map(case.id, "proposed")[upper]
            Image.fromarray(truth * 255).save(folder / f"{case.name}.png")
    return folder


def rows_of(capsys, *words):
    capsys.readouterr()
    assert main(["simulate", *map(str, words)]) == 0
    table = csv.DictReader(io.StringIO(capsys.readouterr().out))
    return [{name: float(value) for name, value in row.items()} for row in table]


def test_by_hand(scored, half_true, capsys):  # noqa: F811
    with Project.open(scored) as project:
        waiting = len(project.run().regions())
        before = project.version()
    rows = rows_of(capsys, scored, "--truth", half_true)
    assert list(rows[0]) == [
        *(
            "regions",
            "pixels_reviewed",
            "pixels_fixed",
            "wrong_pixels_left",
            "dice",
            "good_pixels_damaged",
            "regions_painted",
        )
    ]
    assert [row["regions"] for row in rows] == list(range(waiting + 1))
    # half of the regions are put right, the others are kept, and nothing is damaged
    assert rows[0]["wrong_pixels_left"] - rows[-1]["wrong_pixels_left"] == waiting / 2 * SQUARE
    assert rows[-1]["pixels_fixed"] == waiting / 2 * SQUARE
    assert rows[-1]["pixels_reviewed"] == waiting * SQUARE
    assert rows[-1]["good_pixels_damaged"] == 0
    assert rows[-1]["dice"] > rows[0]["dice"]
    with Project.open(scored) as project:
        assert project.version() == before
        assert project.decisions() == {}


def test_dice_is_the_mean_over_images(scored, half_true):  # noqa: F811
    with Project.open(scored) as project:
        truth = {
            case.id: (np.array(Image.open(half_true / f"{case.name}.png")) > 0).astype(np.uint8)
            for case in project.cases
        }
        first = next(SimulatedAnnotator(project, project.run(), truth, rng=np.random.default_rng(0)).review([]))
        slow = np.mean([overlap(project.read_label(case) > 0, truth[case.id] > 0) for case in project.cases])
    assert first.dice == pytest.approx(slow)


def test_orders_and_limits(scored, half_true, capsys):  # noqa: F811
    full = rows_of(capsys, scored, "--truth", half_true)
    for order in ("random", "entropy"):
        rows = rows_of(capsys, scored, "--truth", half_true, "--order", order)
        assert len(rows) == len(full)
        assert rows[-1]["wrong_pixels_left"] == full[-1]["wrong_pixels_left"]
    again = rows_of(capsys, scored, "--truth", half_true, "--order", "random", "--seed", "3")
    assert again == rows_of(capsys, scored, "--truth", half_true, "--order", "random", "--seed", "3")
    assert len(rows_of(capsys, scored, "--truth", half_true, "--regions", "2")) == 3
    assert main(["simulate", str(scored), "--truth", str(half_true), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["regions"] == 0


def test_the_order_by_cleanlab(scored, half_true, capsys):  # noqa: F811
    pytest.importorskip("cleanlab")
    rows = rows_of(capsys, scored, "--truth", half_true, "--order", "cleanlab")
    assert rows[-1]["good_pixels_damaged"] == 0


def test_where_neither_will_do_the_brush_is_taken(scored, half_true, tmp_path, capsys):  # noqa: F811
    for path in half_true.iterdir():  # one row of the upper square is as labelled, the rest as proposed
        truth = np.array(Image.open(path))
        with Project.open(scored) as project:
            truth[2, 2:8] = project.read_label(project.case(path.stem))[2, 2:8] * 255
        Image.fromarray(truth).save(path)
    painting = rows_of(capsys, scored, "--truth", half_true)[-1]
    images = painting["regions"] / 2
    assert painting["regions_painted"] == images
    assert painting["pixels_fixed"] == images * 30
    assert painting["good_pixels_damaged"] == 0
    without = rows_of(capsys, scored, "--truth", half_true, "--no-painting")[-1]
    assert (without["regions_painted"], without["good_pixels_damaged"]) == (0, images * 6)
    assert without["pixels_fixed"] == images * 30


def test_slips_do_damage(scored, half_true, capsys):  # noqa: F811
    always = rows_of(capsys, scored, "--truth", half_true, "--sloppiness", "1")
    assert always[-1]["pixels_fixed"] == 0
    assert always[-1]["good_pixels_damaged"] == always[-1]["pixels_reviewed"] / 2


def test_another_suspicion_sorts_by_its_sum(scored):  # noqa: F811
    with Project.open(scored) as project:
        run = project.run()
        regions = run.regions()
        favourite = regions[-1]
        maps = {case.id: np.zeros(case.shape) for case in project.cases}
        maps[favourite.case_id][favourite.box.slices] = 1
        assert by_suspicion(regions, run, maps)[0].id == favourite.id


def test_bad_input_is_said(scored, half_true, tmp_path, capsys):  # noqa: F811
    for words in (["--regions", "0"], ["--sloppiness", "2"]):
        assert main(["simulate", str(scored), "--truth", str(half_true), *words]) == 2
    gone = next(half_true.iterdir())
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(gone)
    next(path for path in half_true.iterdir() if path != gone).unlink()
    capsys.readouterr()
    assert main(["simulate", str(scored), "--truth", str(half_true)]) == 2
    said = capsys.readouterr().err
    assert "has no true mask" in said
    assert f"mask {gone.name} 3 x 3 px; expected the same size" in said


def test_a_copy_is_whole_and_apart(scored, tmp_path):  # noqa: F811
    with Project.open(scored, write=True) as project:
        copy = copy_project(project, tmp_path / "copy.metadcseg")
        with Project.open(copy, write=True) as work:
            assert problems_of(work) == []
            assert work.version() == project.version()
            assert [case.name for case in work.cases] == [case.name for case in project.cases]
            assert work.runs() == []
