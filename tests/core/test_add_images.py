"""Images that are added to a project later: all or none, recorded, and like those that it has."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from src_core.cli import main
from src_core.data.case import Box, Verified
from src_core.errors import InputError, PairingError, ProjectReadOnlyError, StorageError
from src_core.io.preview import preview_addition
from src_core.review import decisions
from src_core.store import arrays
from src_core.store.add import Addition, add_cases, add_from_folders, expected_of
from src_core.store.adding import MARKER
from src_core.store.create import NewCase, build_project, create_from_folders
from src_core.store.journal import Action
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.conftest import CLASSES, SIZE


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.fixture
def places(tmp_path, phantoms):
    """A project of two images, and folders with three more: one without a mask, one with a trusted one."""
    for index, slice_ in enumerate(phantoms[:5]):
        folder = tmp_path / ("old" if index < 2 else "new")
        save(folder / "images" / f"{slice_.name}.png", slice_.image)
        if index != 3:
            save(folder / "masks" / f"{slice_.name}.png", slice_.truth * 255)
        if index == 4:
            save(folder / "trusted" / f"{slice_.name}.png", 255 - slice_.truth * 255)
    create_from_folders(tmp_path / "p", tmp_path / "old/images", tmp_path / "old/masks", author="ada")[0].close()
    return tmp_path


def files_of(folder):
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "lock.json"))
    return {path.relative_to(folder): hashlib.md5(path.read_bytes()).hexdigest() for path in found}


def new(places, *names):
    return [places / "new" / name for name in names or ("images", "masks")]


def stroke(project, case, label=1):
    box = Box((0, 0), (3, 4))
    return project.commit(decisions.edit(project, case, box, np.full(box.shape, label, np.uint8)))


def test_images_are_added_and_recorded(places, phantoms):
    before = files_of(places / "new")
    with Project.open(places / "p", write=True, author="ben") as project:
        first = project.cases[0]
        stroke(project, first, label=1 - int(project.read_label(first)[0, 0]))
        painted = project.read_label(first).copy()
        added, existing = add_from_folders(project, *new(places), clean_masks=places / "new/trusted", unlabelled=True)
        assert existing == ()
        names = [slice_.name for slice_ in phantoms[:5]]
        assert [case.name for case in project.cases] == sorted(names)
        assert [case.name for case in added] == sorted(names[2:])
        assert [case.id for case in added] == [2, 3, 4]
        assert project.added() == {2, 3, 4}
        plain, without, trusted = (project.case(name) for name in names[2:])
        assert np.array_equal(project.read_label(plain), phantoms[2].truth)
        assert (project.read_label(without) == 255).all()
        assert without.without_mask
        assert not plain.without_mask
        assert np.array_equal(project.read_label(trusted), 1 - phantoms[4].truth)
        assert project.is_wholly_verified(trusted)
        assert project.verified_counts()[trusted.id] == {Verified.CORRECTED: SIZE * SIZE}
        rows = [(row.action, row.case_id, row.author) for row in project.history()][::-1]
        assert rows[1:] == [*((Action.ADD, case.id, "ben") for case in added), (Action.IMPORT, trusted.id, "ben")]
        assert project.whole_cases() == {trusted.id}
        assert problems_of(project) == []
        # what was done before is turned back and repeated as ever; nothing turns the addition back
        assert project.undo().case_id == first.id
        assert project.undo() is None
        assert project.redo().case_id == first.id
        assert np.array_equal(project.read_label(first), painted)
        stroke(project, without)
        assert problems_of(project) == []
    with Project.open(places / "p") as project:
        assert problems_of(project) == []
        assert [case.name for case in project.cases] == sorted(names)
        assert (project.read_label(project.case(without.id))[:3, :4] == 1).all()
    assert files_of(places / "new") == before
    assert not (places / "p.metadcseg" / MARKER).exists()


def test_names_that_are_there_are_refused_or_left_out(places, phantoms):
    name = phantoms[0].name
    shutil.copy(places / f"old/images/{name}.png", places / "new/images")
    shutil.copy(places / f"old/masks/{name}.png", places / "new/masks")
    with Project.open(places / "p", write=True) as project:
        before = files_of(project.path)
        with pytest.raises(InputError, match=f"has an image of the name {name} already, so nothing was added"):
            add_from_folders(project, *new(places), unlabelled=True)
        assert files_of(project.path) == before
        added, existing = add_from_folders(project, *new(places), unlabelled=True, skip_existing=True)
        assert (len(added), existing) == (3, (name,))
        row = project.version()[0]
        assert add_from_folders(project, *new(places), unlabelled=True, skip_existing=True)[0] == ()
        assert project.version()[0] == row
        assert problems_of(project) == []


def test_what_does_not_fit_is_said_and_nothing_is_added(places, phantoms):
    name = phantoms[2].name
    with Project.open(places / "p", write=True) as project:
        before = files_of(project.path)

        def refused(match, error=PairingError, *, like_create=False):
            with pytest.raises(error, match=match) as told:
                add_from_folders(project, *new(places), unlabelled=True)
            assert files_of(project.path) == before
            assert len(project.cases) == 2
            if like_create:
                (places / "classes.csv").write_text("0,background\n255,foreground\n")
                with pytest.raises(error) as other:
                    create_from_folders(
                        places / "q", *new(places), classes_file=places / "classes.csv", unlabelled=True
                    )
                assert str(other.value) == str(told.value)
            found = preview_addition(expected_of(project), *new(places), unlabelled=True)
            assert "".join(found.problems) in str(told.value)

        mask, image = places / f"new/masks/{name}.png", places / f"new/images/{name}.png"
        kept = mask.read_bytes(), image.read_bytes()
        save(mask, np.full((SIZE, SIZE), 7))
        refused(f"{name}.png holds the value 7, expected one of 0, 255", like_create=True)
        save(mask, np.zeros((SIZE, SIZE + 1)))
        refused(f"{name}.png")
        mask.write_bytes(b"no picture")
        refused("cannot be read", like_create=True)
        mask.write_bytes(kept[0])
        save(image, np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)))
        refused("has 3 channels, and images of project p have 1 at most")
        image.unlink()
        np.save(places / f"new/images/{name}.npy", np.zeros((4, SIZE, SIZE), np.uint8))
        mask.unlink()
        refused("is a volume, and project p has single images only")


def test_missing_masks_have_to_be_allowed(places, phantoms):
    with Project.open(places / "p", write=True) as project:
        with pytest.raises(PairingError, match=f"{phantoms[3].name}.png has no mask"):
            add_from_folders(project, *new(places))
        found = preview_addition(expected_of(project), *new(places))
        assert (found.images, found.lacking, len(found.problems)) == (0, 1, 1)
        found = preview_addition(expected_of(project), *new(places), unlabelled=True)
        assert (found.images, found.unlabelled, found.lacking, found.problems) == (3, 1, 0, ())
        found = preview_addition(expected_of(project), places / "new/images", unlabelled=True)
        assert found.unlabelled == 3


def test_a_failure_on_the_way_leaves_nothing(places, phantoms):
    """The second image cannot be read any more when it is its turn."""
    with Project.open(places / "p", write=True) as project:
        before = files_of(project.path)

        def cases():
            yield NewCase(name="x", image=phantoms[5].image, given=phantoms[5].truth)
            raise StorageError("The disk was unplugged.")

        with pytest.raises(StorageError, match="unplugged"):
            add_cases(project, cases())
        assert files_of(project.path) == before
        twice = [NewCase(name="x", image=slice_.image, given=slice_.truth) for slice_ in phantoms[5:7]]
        with pytest.raises(InputError, match="has an image x already"):
            add_cases(project, twice)
        assert files_of(project.path) == before
        assert len(add_cases(project, twice[:1])) == 1
        assert problems_of(project) == []
    with Project.open(places / "p") as project, pytest.raises(ProjectReadOnlyError):
        Addition(project)


def test_what_a_dead_session_left_is_swept_away(places, phantoms):
    case = NewCase(name="x", image=phantoms[5].image, given=phantoms[5].truth)
    with Project.open(places / "p", write=True) as project:
        before = files_of(project.path)
        Addition(project).write([case])  # and is never committed
        with pytest.raises(InputError, match="are being added to project p already"):
            Addition(project).write([])
        left = project.path / arrays.NAME / "cases/000002"
        assert left.is_dir()
        stranger = project.path / arrays.NAME / "cases/notes"
        stranger.mkdir()
        assert len(project.cases) == 2
    with Project.open(places / "p") as project:  # who only reads leaves it
        assert left.is_dir()
    with Project.open(places / "p", write=True) as project:
        assert not left.exists()
        assert stranger.is_dir()
        stranger.rmdir()
        assert files_of(project.path) == before
        assert [case.id for case in add_cases(project, [case])] == [2]
    with Project.open(places / "p", write=True) as project:
        assert left.is_dir()
        assert problems_of(project) == []


def test_a_session_that_reads_takes_them_up(places):
    with Project.open(places / "p", write=True) as project, Project.open(places / "p") as reader:
        assert not reader.take_added()
        before = reader.version()[0]
        add_from_folders(project, *new(places), unlabelled=True)
        assert reader.version()[0] > before
        assert len(reader.cases) == 2
        assert reader.take_added()
        assert reader.cases == project.cases
        assert not reader.take_added()
        for case in reader.cases:
            assert np.array_equal(reader.read_label(case), project.read_label(case))


def test_the_command(places, phantoms, capsys):
    path = str(places / "p.metadcseg")
    images, masks = map(str, new(places))
    assert main(["add", path, "--images", images, "--masks", masks]) == 2
    assert "has no mask" in capsys.readouterr().err
    assert main(["add", path, "--images", images, "--masks", masks, "--allow-missing-masks", "--author", "eve"]) == 0
    said = capsys.readouterr().out
    assert f"Added 3 images to {path}: 5 in all." in said
    assert "Without a mask: 1 image; what the model proposes" in said
    assert main(["add", path, "--images", images, "--masks", masks, "--unlabelled", "--skip-existing"]) == 0
    assert "Added 0 images" in (said := capsys.readouterr().out)
    assert "Left out, since the project has them: 3 images." in said
    assert main(["verify", path]) == 0
    assert main(["add", path, "--images", images, "--masks", masks, "--unlabelled"]) == 2
    assert "have an image" not in (told := capsys.readouterr().err)
    assert f"{phantoms[2].name}, {phantoms[3].name}, {phantoms[4].name} already" in told
    with Project.open(path) as project:
        assert {row.author for row in project.history() if row.action == Action.ADD} == {"eve"}


BATCH = st.lists(st.tuples(st.sampled_from("uvwxyz"), st.integers(0, 2)), max_size=3)


@settings(max_examples=12, deadline=None)
@given(st.lists(BATCH, max_size=4), st.integers(0, 9))
def test_additions_in_any_order_give_what_making_all_at_once_gives(batches, seed):
    """Kinds of images: with a mask, with a trusted one, without any; a batch with a name that is there adds nothing."""
    rng = np.random.default_rng(seed)

    def made(name, kind):
        image, one, other = rng.integers(0, 2, (3, 9, 7)).astype(np.uint8)
        given_ = np.full_like(one, 255) if kind == 2 else one
        return NewCase(name=name, image=image, given=given_, clean=other if kind == 1 else None)

    there = [made("t", 1)]
    folder = Path(tempfile.mkdtemp())
    with build_project(folder / "grown", there, CLASSES, author="a") as project:
        for batch in batches:
            cases = [made(*each) for each in batch]
            names = [case.name for case in (*there, *cases)]
            if len(set(names)) < len(names):
                with pytest.raises(InputError):
                    add_cases(project, cases)
            else:
                add_cases(project, cases)
                there += cases
            assert problems_of(project) == []
    with build_project(folder / "whole", there, CLASSES, author="a") as whole, Project.open(folder / "grown") as grown:
        assert [case.name for case in grown.cases] == [case.name for case in whole.cases]
        assert grown.whole_cases() == whole.whole_cases()
        for case in whole.cases:
            other = grown.case(case.name)
            assert (other.id, other.shape, other.encoding) == (case.id, case.shape, case.encoding)
            assert grown.digests(other) == whole.digests(case)
            assert grown.verified_count(other) == whole.verified_count(case)
            for one, two in zip(grown.read_labels(other), whole.read_labels(case), strict=True):
                assert np.array_equal(one, two)
    shutil.rmtree(folder)
