"""From a tool to one row of the journal, in images, stacks and volumes; without a window."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_metadcseg.edit_tools import EditTools
from napari_metadcseg.editing import EditDesk, Request
from src_core.data.case import IGNORE, OKABE_ITO, Box, ClassInfo, Verified
from src_core.data.scores import Region
from src_core.errors import InputError, ProjectReadOnlyError
from src_core.review.tools import TOOLS
from src_core.store.create import NewCase, build_project
from src_core.store.journal import Action
from src_core.store.project import Project
from src_core.store.verify import problems_of

CLASSES = tuple(
    ClassInfo(index=index, name=name, value=index, color=OKABE_ITO[index])
    for index, name in enumerate(("background", "organ", "tumour"))
)


class Scores:
    """A run that proposes what it is told."""

    name, has_scores, generation = "run-007", True, 1

    def __init__(self, **maps):
        self.maps = maps

    def read_map(self, case_id, name, box=None):
        return self.maps[name][... if box is None else box.slices]

    def covers(self, case_id):
        return True


def region_of(case_id, box, number=1):
    return Region(
        id="x#1", number=number, case_id=case_id, image="x", kind="error", score=1, pixels=4, given=1, proposed=2,
        box=box, trust=0.1, uncertainty=0,
    )  # fmt: skip


def make(tmp_path, labels, *, spacing=None, clean=(), unit="px"):
    cases = [
        NewCase(
            name=name,
            image=np.zeros(label.shape, np.uint8),
            given=label,
            clean=label if name in clean else None,
            spacing=spacing or (1.0,) * label.ndim,
            unit=unit,
        )
        for name, label in labels.items()
    ]
    return build_project(tmp_path / "study", cases, CLASSES, author="tester")


def blob(side=80):
    """An organ with a hole, a bump and an island, and a tumour."""
    label = np.zeros((side, side), np.uint8)
    label[20:50, 20:50] = 1
    label[30, 35] = 0
    label[19, 40] = 1
    label[5, 5] = 1
    label[40:46, 40:60] = 2
    label[70:, 70:] = IGNORE
    return label


@pytest.fixture
def project(tmp_path):
    with make(tmp_path, {"anna_z1": blob(), "anna_z2": blob(), "anna_z4": blob(), "bert": blob()}) as made:
        yield made


def lasso_of(top, left, bottom, right):
    return [(top - 0.5, left - 0.5), (top - 0.5, right - 0.5), (bottom - 0.5, right - 0.5), (bottom - 0.5, left - 0.5)]


def full_run(label):
    proposed = label.copy()
    proposed[40:46, 50:60] = 0
    proposed[10:14, 10:14] = 1
    regions = np.zeros(label.shape, np.int32)
    regions[40:46, 50:60] = 1
    return Scores(proposed=proposed, regions=regions)


REQUESTS = {
    "fill_holes": {},
    "remove_islands": {"values": {"smaller": 5}},
    "smooth": {"values": {"by": 2}},
    "grow": {"values": {"by": 3}},
    "shrink": {"values": {"by": 2}},
    "relabel": {"point": (42.2, 44.9)},
    "absorb": {"point": (5, 5)},
    "take_lasso": {"lasso": lasso_of(9, 9, 15, 12)},
    "take_region": {"scope": "region", "all_classes": True},
    "copy_before": {},
    "interpolate": {},
}


@pytest.fixture
def desk(project):
    case = project.case("anna_z2")
    changed = project.read_label(case)
    changed[20:50, 20:30] = 0  # so that neighbours differ
    label = project.read_label(project.case("anna_z1"))
    before = EditDesk(project, case, active=1, run=Scores(proposed=changed, regions=changed.astype(np.int32)))
    outcome = before.work(Request(tool="take_lasso", lasso=lasso_of(20, 20, 50, 30)))
    project.commit(outcome.change)
    return EditDesk(project, case, active=1, region=region_of(case.id, Box((40, 50), (46, 60))), run=full_run(label))


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_is_one_row_that_is_undone_bit_by_bit(project, desk, name):
    assert set(REQUESTS) == set(TOOLS)
    case = desk.case
    before = [(project.read_label(one), project.read_verified(one)) for one in project.cases]
    rows = len(project.history())
    outcome = desk.work(Request(tool=name, **{"scope": "image", **REQUESTS[name]}))
    assert all(np.array_equal(project.read_label(one), old[0]) for one, old in zip(project.cases, before, strict=True))
    record = project.commit(outcome.change)
    assert len(project.history()) == rows + 1
    assert (record.action, record.case_id) == (Action.EDIT, case.id)
    assert record.note.split()[0] == name
    assert record.run == ("run-007" if name.startswith("take_") else "")
    assert f"{record.pixels:,} px changed" in outcome.text
    after = project.read_label(case)
    assert np.count_nonzero(after != before[project.cases.index(case)][0]) == record.pixels > 0
    project.undo()
    for one, (label, verified) in zip(project.cases, before, strict=True):
        assert np.array_equal(project.read_label(one), label)
        assert np.array_equal(project.read_verified(one), verified)
    project.redo()
    assert np.array_equal(project.read_label(case), after)
    assert problems_of(project) == []


def test_notes_say_which_tool_and_how(project, desk):
    def noted(name, **more):
        return desk.work(Request(tool=name, **{"scope": "image", **REQUESTS[name], **more})).change.note

    assert noted("grow") == "grow by=3 unit=px class=1 scope=image"
    assert noted("remove_islands") == "remove_islands smaller=5 class=1 scope=image"
    assert noted("take_lasso", all_classes=True) == "take_lasso class=all"
    assert noted("absorb") == "absorb scope=image"
    assert noted("copy_before") == "copy_before class=1 scope=image from=anna_z1"
    assert noted("interpolate") == "interpolate slices=0 class=1 scope=image from=anna_z1 to=anna_z4"


def test_a_tool_that_changes_nothing_says_so(desk):
    desk.active = 2
    outcome = desk.work(Request(tool="fill_holes", scope="image"))
    assert outcome.change is None
    assert outcome.text == "Fill holes changed nothing: tumour has no hole in this image."
    outcome = desk.work(Request(tool="copy_before", scope="region", all_classes=True))
    assert outcome.text == "Copy from before changed nothing: the mask is the same in both around the region."


def test_around_the_region_nothing_far_from_it_changes(project, desk):
    label = project.read_label(desk.case)
    for name in TOOLS:
        if name in ("relabel", "absorb", "take_lasso"):
            continue
        change = desk.work(Request(tool=name, values=REQUESTS[name].get("values", {}))).change
        if change is not None:
            box = change.patch.box
            assert all(start >= low for start, low in zip(box.start, (24, 34), strict=True)), name
            assert all(stop <= high for stop, high in zip(box.stop, (62, 76), strict=True)), name
    assert label[30, 35] == 0
    with pytest.raises(InputError, match="reaches beyond the part"):
        desk.work(Request(tool="relabel", point=(35, 45)))


def test_corrected_stays_verified_and_no_label_stays_none(tmp_path):
    with make(tmp_path, {"one": blob()}, clean=("one",)) as project:
        case = project.cases[0]
        before = project.read_verified(case)
        assert before[30, 35] == Verified.BACKGROUND
        project.commit(EditDesk(project, case, active=1).work(Request(tool="fill_holes", scope="image")).change)
        after = project.read_verified(case)
        assert after[30, 35] == Verified.CORRECTED
        after[30, 35] = before[30, 35]
        assert np.array_equal(after, before)
        desk = EditDesk(project, case, active=1, run=Scores(proposed=np.ones_like(blob())))
        change = desk.work(Request(tool="take_lasso", lasso=lasso_of(60, 60, 80, 80))).change
        project.commit(change)
        label, kinds = project.read_label(case), project.read_verified(case)
        assert (label[60:70, 60:] == 1).all()
        assert (label[70:, 70:] == IGNORE).all()
        assert (kinds[60:70, 60:] == Verified.CORRECTED).all()


def test_the_class_that_is_selected_is_the_one_that_is_taken_over(project, desk):
    case = desk.case
    label, proposed = project.read_label(case), desk.run.maps["proposed"]
    proposed[21:24, 31:34] = 2
    lasso = lasso_of(20, 20, 50, 60)
    for active, every, taken in ((1, False, (label == 1) | (proposed == 1)), (1, True, np.ones_like(label, bool))):
        desk.active = active
        change = desk.work(Request(tool="take_lasso", lasso=lasso, all_classes=every)).change
        inside = np.zeros(label.shape, bool)
        inside[20:50, 20:60] = True
        project.commit(change)
        assert np.array_equal(project.read_label(case), np.where(inside & taken, proposed, label))
        project.undo()


# ------------------------------------------------------------------ stacks and volumes


def test_an_image_is_drawn_between_its_neighbours_by_their_numbers(tmp_path):
    labels = {}
    for number, half in ((1, 4), (2, 0), (3, 0), (5, 12)):
        labels[f"anna_z{number}"] = np.zeros((40, 40), np.uint8)
        labels[f"anna_z{number}"][20 - half : 20 + half, 20 - half : 20 + half] = 1
    with make(tmp_path, labels) as project:
        for number, half in ((2, 6), (3, 8)):
            case = project.case(f"anna_z{number}")
            outcome = EditDesk(project, case, active=1).work(Request(tool="interpolate", scope="image"))
            assert outcome.change.note.endswith("from=anna_z1 to=anna_z5")
            assert outcome.text.endswith("px changed in this image, from anna_z1 and anna_z5.")
            project.commit(outcome.change)
            drawn = project.read_label(case)
            assert drawn[20 - half : 20 + half, 20].all()
            assert not drawn[: 20 - half].any()
            project.undo()
        with pytest.raises(InputError, match="no image of the same stack before and after it"):
            EditDesk(project, project.case("anna_z5"), active=1).work(Request(tool="interpolate", scope="image"))
        with pytest.raises(InputError, match="is not in images on both sides"):
            EditDesk(project, project.case("anna_z2"), active=2).work(Request(tool="interpolate", scope="image"))
        with pytest.raises(InputError, match="no image of the same stack before it"):
            EditDesk(project, project.case("anna_z1"), active=1).work(Request(tool="copy_before", scope="image"))


@pytest.fixture
def volume():
    """A volume."""
    label = np.zeros((7, 30, 34), np.uint8)
    label[1, 10:14, 10:14] = label[5, 6:18, 6:18] = 1
    label[2, 20:28, 20:28] = 2
    label[2, 23, 23] = 0
    return label


@pytest.mark.parametrize("axis", [0, 2])
def test_slices_of_a_volume(tmp_path, volume, axis):
    label = np.ascontiguousarray(np.moveaxis(volume, 0, axis))
    spacing = (1.0, 0.5, 0.5) if axis == 0 else (0.5, 0.5, 1.0)
    with make(tmp_path, {"case": label}, spacing=spacing, unit="mm") as project:
        case = project.cases[0]
        now = lambda: np.moveaxis(project.read_label(case), axis, 0)  # noqa: E731

        def work(tool, at, active=1, **more):
            outcome = EditDesk(project, case, active=active, axis=axis, at=at).work(Request(tool=tool, **more))
            record = project.commit(outcome.change)
            result = now().copy()
            project.undo()
            assert np.array_equal(now(), volume)
            return result, record

        drawn, record = work("interpolate", 3, scope="image")
        assert record.note.endswith('from="slice 1" to="slice 5"')
        assert [int((part == 1).sum()) for part in drawn] == [0, 16, 36, 64, 100, 144, 0]
        assert np.array_equal(drawn == 2, volume == 2)
        drawn, record = work("interpolate", 5, scope="image", values={"slices": 4})
        assert [int((part == 1).sum()) for part in drawn] == [0, 16, 36, 64, 100, 144, 0]
        copied, _ = work("copy_before", 3, scope="image", all_classes=True)
        assert np.array_equal(copied[3], volume[2])
        assert np.array_equal(np.delete(copied, 3, 0), np.delete(volume, 3, 0))
        # a hole in a slice is none in the volume
        filled, record = work("fill_holes", 2, active=2, scope="slice")
        assert (record.pixels, filled[2, 23, 23]) == (1, 2)
        desk = EditDesk(project, case, active=2, axis=axis, at=2)
        assert desk.work(Request(tool="fill_holes", scope="image")).change is None
        # 0.5 mm is one pixel in the slice and none across
        grown, record = work("grow", 2, active=2, scope="image", values={"by": 0.5})
        assert record.note == "grow by=0.5 unit=mm class=2 scope=image"
        assert not (grown == 2)[[1, 3]].any()
        assert (grown[2] == 2).sum() == 8 * 8 + 4 * 8
        grown, _ = work("grow", 2, active=2, scope="slice", values={"by": 1})
        assert not (grown == 2)[[1, 3]].any()
        grown, _ = work("grow", 2, active=2, scope="image", values={"by": 1})
        assert (grown == 2)[[1, 3]].any()
        point = np.insert([11.0, 11.0], axis, 1.0)
        moved, record = work("relabel", 1, active=2, scope="slice", point=point)
        assert record.pixels == 16
        assert (moved[1, 10:14, 10:14] == 2).all()


def test_what_lacks_in_a_volume_is_said(tmp_path, volume):
    with make(tmp_path, {"case": volume}) as project:
        case = project.cases[0]

        def work(tool, at, active=1, **more):
            EditDesk(project, case, active=active, at=at).work(Request(tool=tool, scope="image", **more))

        with pytest.raises(InputError, match="this is the first slice"):
            work("copy_before", 0)
        with pytest.raises(InputError, match="no slices near this one are left to draw"):
            work("interpolate", 6)
        with pytest.raises(InputError, match="over 4 slices before this one nothing can be drawn; choose 2 to 3"):
            work("interpolate", 3, values={"slices": 4})
        with pytest.raises(InputError, match="go to a later slice"):
            work("interpolate", 1, values={"slices": 4})


def test_a_lasso_in_a_volume_changes_one_slice(tmp_path, volume):
    with make(tmp_path, {"case": volume}) as project:
        case = project.cases[0]
        desk = EditDesk(project, case, active=1, at=3, run=Scores(proposed=np.ones_like(volume)))
        vertices = [(3.0, *point) for point in lasso_of(2, 3, 5, 7)]
        record = project.commit(desk.work(Request(tool="take_lasso", lasso=vertices)).change)
        assert record.box == Box((3, 2, 3), (4, 5, 7))
        assert record.pixels == 12


# ------------------------------------------------------------------ what cannot be done


def test_what_lacks_is_said_before_anything_is_drawn(project):
    case = project.case("bert")
    desk = EditDesk(project, case, active=1, region=region_of(case.id + 1, Box((0, 0), (2, 2))))
    expected = {
        "grow": "no region of this image is in hand; press Next (N) to take one, or edit the whole image",
        "take_lasso": "there is no proposal yet; train first",
        "copy_before": "no region of this image is in hand",
    }
    for name, words in expected.items():
        with pytest.raises(InputError) as error:
            desk.require(Request(tool=name))
        assert words in str(error.value)
    desk.active = 0
    for name in ("grow", "copy_before"):
        with pytest.raises(InputError, match=r"label 0 is selected; select one of 1 \(organ\), 2 \(tumour\)"):
            desk.require(Request(tool=name, scope="image"))
    desk.active = 7
    with pytest.raises(InputError, match=r"select one of 0 \(background\), 1 \(organ\)"):
        desk.require(Request(tool="relabel", scope="image"))
    desk.active = IGNORE
    desk.require(Request(tool="relabel", scope="image"))
    desk.require(Request(tool="absorb", scope="image"))
    for name in ("relabel", "absorb"):
        with pytest.raises(InputError, match="click on the object"):
            desk.work(Request(tool=name, scope="image"))


def test_a_project_that_is_read_only_is_not_edited(project):
    path = project.path
    change = EditDesk(project, project.cases[0], active=1).work(Request(tool="fill_holes", scope="image")).change
    with Project.open(path) as reader:
        with pytest.raises(InputError, match="open read-only"):
            EditDesk(reader, reader.cases[0], active=1).work(Request(tool="fill_holes", scope="image"))
        with pytest.raises(ProjectReadOnlyError):
            reader.commit(change)


# ------------------------------------------------------------------ pressing tools


class Bench:
    """Stands in for the window."""

    def __init__(self, desk, project):
        self.desk, self.project = desk, project
        self.said, self.committed, self.asked, self.waiting = [], [], [], []
        self.tools = EditTools(
            desk=lambda: self.desk,
            commit=self.commit,
            say=lambda words, level: self.said.append((words, level)),
            ask_lasso=self.asked.append,
            ask_point=self.asked.append,
            version=project.version,
            background=lambda *parts: self.waiting.append(parts),
        )

    def commit(self, outcome):
        self.committed.append(self.project.commit(outcome.change).note)


@pytest.fixture
def bench(project, desk):
    return Bench(desk, project)


def test_tools_work_at_once_ask_where_and_say_what_goes_wrong(bench):
    bench.tools.apply(Request(tool="fill_holes", scope="image"))
    assert bench.committed == ["fill_holes class=1 scope=image"]
    bench.tools.apply(Request(tool="fill_holes", scope="image"))
    assert bench.said == [("Fill holes changed nothing: organ has no hole in this image.", "info")]
    bench.tools.apply(Request(tool="take_lasso"))
    assert "draw around the part" in bench.said[-1][0]
    assert len(bench.committed) == 1
    bench.asked.pop()(lasso_of(9, 9, 15, 12))
    assert bench.committed[1:] == ["take_lasso class=1"]
    bench.tools.apply(Request(tool="relabel", scope="image"))
    assert "click on the object" in bench.said[-1][0]
    bench.asked.pop()((0, 0))
    assert bench.said[-1][1] == "error"
    assert "There is no object" in bench.said[-1][0]
    bench.desk.region = None
    bench.tools.apply(Request(tool="grow"))
    assert "no region of this image is in hand" in bench.said[-1][0]
    bench.tools.apply(Request(tool="grow", scope="image", values={"by": 0}))
    assert "By is 0 for grow; expected 1 to 100" in bench.said[-1][0]
    bench.desk = None
    bench.tools.apply(Request(tool="grow"))
    assert bench.said[-1] == ("Grow: open a project and choose an image first.", "info")
    assert len(bench.committed) == 2


def test_a_lasso_is_dropped_when_another_image_has_come_up(bench):
    bench.tools.apply(Request(tool="take_lasso"))
    bench.desk = EditDesk(bench.project, bench.project.case("bert"), active=1, run=bench.desk.run)
    bench.asked.pop()(lasso_of(9, 9, 15, 12))
    assert bench.committed == []


def test_slow_edits_leave_the_window_alone_and_are_dropped_when_stale(bench, monkeypatch):
    monkeypatch.setattr("napari_metadcseg.editing.SLOW", 100)
    request = Request(tool="fill_holes", scope="image")
    bench.tools.apply(request)
    assert "working on it" in bench.said[-1][0]
    bench.tools.apply(request)
    assert "still at work" in bench.said[-1][0]
    work, done, _ = bench.waiting.pop()
    done(work())
    assert bench.committed == ["fill_holes class=1 scope=image"]
    bench.project.undo()

    bench.tools.apply(request)
    work, done, _ = bench.waiting.pop()
    outcome = work()
    bench.project.redo()
    done(outcome)
    assert len(bench.committed) == 1
    assert "mask was changed meanwhile" in bench.said[-1][0]

    bench.tools.apply(request)
    _, _, failed = bench.waiting.pop()
    failed("the disk is gone")
    assert bench.said[-1] == ("the disk is gone", "error")
    bench.tools.apply(Request(tool="take_lasso"))
    bench.asked.pop()(lasso_of(9, 9, 15, 12))
    assert len(bench.committed) == 2, "a lasso is quick"


def test_a_desk_works_in_a_thread_of_its_own(project, desk):
    request = Request(tool="interpolate", scope="image")
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(desk.work, request).result()
    assert outcome.change.note == desk.work(request).change.note
    assert project.commit(outcome.change).pixels > 0


def test_slow_depends_on_what_is_edited(tmp_path):
    label = np.zeros((900, 900), np.uint8)
    label[:40, :40] = 1
    with make(tmp_path, {"one": label}) as project:
        case = project.cases[0]
        desk = EditDesk(project, case, active=1, region=region_of(case.id, Box((0, 0), (40, 40))))
        assert not desk.slow(Request(tool="grow"))
        assert desk.slow(Request(tool="grow", scope="image"))
        assert not desk.slow(Request(tool="take_lasso"))


def test_what_is_read_for_a_slice_decides_how_slow_it_is(tmp_path):
    with make(tmp_path, {"one": np.zeros((90, 80, 80), np.uint8)}) as project:
        desk = EditDesk(project, project.cases[0], active=1)
        assert not desk.slow(Request(tool="copy_before", scope="slice"))
        assert not desk.slow(Request(tool="grow", scope="slice"))
        assert desk.slow(Request(tool="interpolate", scope="slice"))
        assert desk.slow(Request(tool="grow", scope="image"))


def test_an_image_that_came_later_has_no_proposal_until_it_is_scored(desk):
    desk.run.covers = lambda _case_id: False
    with pytest.raises(InputError, match="not scored yet; press 'Score new images' on the tab Project"):
        desk.work(Request(tool="take_lasso", lasso=lasso_of(20, 20, 50, 60)))
