"""The store over versions, and with others beside it: upgrades, readers beside a writer, copies, rankings, exports."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
import pytest
import zarr
from filelock import FileLock
from zarr.codecs import BloscCodec

from src_core.data.case import Box
from src_core.data.scores import ImageScore, Region
from src_core.errors import InputError, ProjectDamagedError, ProjectError, StorageError
from src_core.store import arrays, chunks, database, durable, ranking, upgrades
from src_core.store.copy import copy_project
from src_core.store.create import NewCase, build_project
from src_core.store.durable import Syncer, sync_tree
from src_core.store.export import export
from src_core.store.journal import Action, Change, Patch, unpack
from src_core.store.project import Project
from src_core.store.runs import Run, ScoreWriter
from src_core.store.verify import problems_of
from tests.conftest import CLASSES

BOX = Box((2, 3), (6, 9))


def patch(label, verified=0, box=BOX):
    return Patch(box, np.full(box.shape, label, np.uint8), np.full(box.shape, verified, np.uint8))


def stroke(project, label, box=BOX):
    return project.commit(Change(project.cases[-1].id, Action.EDIT, patch(label, label, box)))


def full(*_args):
    raise OSError(28, "full")


# ------------------------------------------------------------------ versions


def as_version_2(path):
    """Turn a project into what version 2 wrote: arrays by zarr without checksums, blobs by zlib, no digests."""
    with Project.open(path) as project:
        for case in project.cases:
            for name in ("image", "given", "label", "verified"):
                folder = path / "arrays.zarr" / "cases" / f"{case.id:06d}" / name
                values = zarr.open_array(str(folder), mode="r")[...]
                arrays.shutil.rmtree(folder)
                old = zarr.create_array(
                    str(folder), shape=values.shape, chunks=values.shape, dtype=values.dtype,
                    compressors=BloscCodec(cname="zstd", clevel=3),
                )  # fmt: skip
                old[...] = values
    db = sqlite3.connect(path / database.NAME)
    trigger = db.execute("SELECT sql FROM sqlite_master WHERE name = 'journal_is_never_changed'").fetchone()[0]
    db.execute("DROP TRIGGER journal_is_never_changed")
    for row, box, *blobs in db.execute("SELECT id, box, before, after FROM journal WHERE box IS NOT NULL").fetchall():
        start, stop = json.loads(box)
        found = [unpack(blob, Box(tuple(start), tuple(stop))) for blob in blobs]
        old = [zlib.compress(one.label.tobytes() + one.verified.tobytes(), 1) for one in found]
        db.execute("UPDATE journal SET before = ?, after = ? WHERE id = ?", (*old, row))
    db.execute(trigger)
    db.execute("DROP INDEX journal_of_case")
    db.execute("ALTER TABLE journal DROP COLUMN digest")
    db.execute('ALTER TABLE "case" DROP COLUMN digests')
    db.execute("DELETE FROM state WHERE key = 'digest'")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()


def test_a_project_of_version_2_is_read_upgraded_and_goes_on(make_project):
    path = make_project()
    with Project.open(path, write=True) as project:
        stroke(project, 1)
        told = [plane for case in project.cases for plane in project.read_labels(case)]
    as_version_2(path)
    for write in (False, True):
        with Project.open(path, write=write) as project:
            assert problems_of(project) == []
            now = [plane for case in project.cases for plane in project.read_labels(case)]
            assert all(np.array_equal(one, other) for one, other in zip(told, now, strict=True))
            assert project._db.execute("PRAGMA user_version").fetchone()[0] == (upgrades.VERSION if write else 2)
    with Project.open(path, write=True) as project:
        case = project.cases[-1]
        label = project.path / "arrays.zarr" / "cases" / f"{case.id:06d}" / "label"
        assert not chunks.ChunkedArray(label).sealed
        stroke(project, 0, Box((0, 0), (30, 30)))
        assert chunks.ChunkedArray(label).sealed
        project.undo()
        project.undo()
        assert problems_of(project) == []
        assert project._db.execute("SELECT count(digest) FROM journal").fetchone()[0] == 3


def test_a_project_of_a_newer_version_is_left_alone(make_project):
    path = make_project()
    db = sqlite3.connect(path / database.NAME)
    db.execute(f"PRAGMA user_version = {upgrades.VERSION + 1}")
    db.close()
    with pytest.raises(ProjectError, match="newer version"):
        Project.open(path, write=True)


def test_every_step_of_an_upgrade_may_find_its_work_done(make_project):
    with Project.open(make_project(), write=True) as project:
        upgrades.upgrade(project._db)
        assert [step.version for step in upgrades.STEPS] == sorted({step.version for step in upgrades.STEPS})


def test_the_record_is_on_the_disk_when_a_change_is_confirmed(make_project):
    """Every commit waits for the disk, in a log that is written before the file."""
    with Project.open(make_project(), write=True) as project:
        assert project._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert project._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


# ------------------------------------------------------------------ readers beside a writer


@pytest.mark.parametrize("other_session", [True, False], ids=["another session", "another thread"])
def test_label_and_verified_belong_together_while_they_change(tmp_path, monkeypatch, other_session):
    """Every row makes both masks the same number all over, so a reader that mixes two rows shows it."""
    monkeypatch.setattr(durable, "BATCH", 2)
    blank = np.zeros((40, 40), np.uint8)
    whole = Box.whole(blank.shape)
    with build_project(tmp_path / "p", [NewCase(name="a", image=blank, given=blank)], CLASSES) as project:
        case, reads, wrong, over = project.cases[0], [], [], threading.Event()

        def read():
            with Project.open(project.path) as reader:
                session = reader if other_session else project
                while not over.is_set() or len(reads) < 20:
                    label, verified = session.read_labels(case)
                    reads.append(int(label[0, 0]))
                    if len(np.unique(np.stack([label, verified]))) > 1:
                        wrong.append(np.unique(label).tolist() + np.unique(verified).tolist())

        thread = threading.Thread(target=read)
        thread.start()
        for number in range(150):
            project.commit(Change(0, Action.EDIT, patch(number % 4, number % 4, whole)))
            if number % 3 == 2:
                project.undo()
        over.set()
        thread.join()
    assert wrong == []
    assert len(set(reads)) > 1


def test_changes_that_could_not_be_written_are_read_and_written_with_the_next(make_project, monkeypatch):
    """A disk that is full for a while: the second change builds on the first, and none is lost."""
    path = make_project()
    with Project.open(path, write=True) as project:
        case = project.cases[-1]
        with monkeypatch.context() as patched:
            patched.setattr(
                "src_core.store.arrays.ArrayStore.write", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
            )
            for label, row in ((1, 2), (0, 4)):
                with pytest.raises(StorageError, match="is recorded"):
                    stroke(project, label, Box((row, 3), (row + 4, 9)))
            assert project.can_undo
            assert (project.read_label(case)[2:4, 3:9] == 1).all()
            assert (project.read_label(case, Box((3, 3), (5, 9))) == [[1] * 6, [0] * 6]).all()
            with Project.open(path) as reader:
                assert np.array_equal(reader.read_label(case), project.read_label(case))
        project.undo()
        assert (project.read_label(case)[2:6, 3:9] == 1).all()
        assert problems_of(project) == []
        assert len(set(project.version())) == 1
    with Project.open(path) as reader:
        assert len(set(reader.version())) == 1
        assert problems_of(reader) == []


def test_a_copy_made_while_its_files_are_behind(make_project, tmp_path, monkeypatch):
    path = make_project()
    with Project.open(path, write=True) as project:
        stroke(project, 1)
        with monkeypatch.context() as patched:
            patched.setattr(
                "src_core.store.arrays.ArrayStore.write", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
            )
            with pytest.raises(StorageError):
                stroke(project, 0, Box((0, 0), (30, 30)))
        told = project.read_labels(project.cases[-1])
        with Project.open(path) as reader:
            copied = copy_project(reader, tmp_path / "copy.metadcseg")
    with Project.open(copied, write=True) as copy:
        assert problems_of(copy) == []
        assert all(np.array_equal(a, b) for a, b in zip(copy.read_labels(copy.cases[-1]), told, strict=True))


def test_a_copy_made_while_a_change_comes_between_files_and_record(make_project, tmp_path, monkeypatch):
    path = make_project()
    copytree = arrays.shutil.copytree
    with Project.open(path, write=True) as project:

        def copy_and_change(*args, **more):
            copytree(*args, **more)
            stroke(project, 1)
            project._masks.settle()

        monkeypatch.setattr("src_core.store.copy.shutil.copytree", copy_and_change)
        copied = copy_project(project, tmp_path / "copy.metadcseg")
        told = project.read_labels(project.cases[-1])
    with Project.open(copied, write=True) as copy:
        assert problems_of(copy) == []
        assert all(np.array_equal(a, b) for a, b in zip(copy.read_labels(copy.cases[-1]), told, strict=True))


# ------------------------------------------------------------------ on the disk


def test_a_syncer_never_claims_what_failed(tmp_path, monkeypatch, caplog):
    file = tmp_path / "file"
    file.touch()
    syncer = Syncer(3)
    syncer.add(4, [file, tmp_path / "removed meanwhile"])
    assert syncer.reached() == 3
    assert syncer.drain() == 4
    monkeypatch.setattr(durable, "sync_file", lambda _path: (_ for _ in ()).throw(OSError(5, "the disk failed")))
    syncer.add(5, [file])
    assert syncer.drain() == 4
    monkeypatch.undo()
    syncer.add(6, [file])  # the disk may say now that all is well; it said so before
    assert syncer.drain() == 4
    assert "could not be brought to the disk" in caplog.text


def test_batches_are_synced_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "BATCH", 3)
    go, synced = threading.Event(), []

    def sync(paths):
        go.wait(10)
        synced.append(sorted(path.name for path in paths))

    monkeypatch.setattr(durable, "sync_files", sync)
    syncer = Syncer(0)
    for row in range(1, 6):
        syncer.add(row, [tmp_path / str(row)])
        assert syncer.reached() == 0
    go.set()
    assert syncer.drain() == 5
    assert synced == [["1", "2", "3"], ["4", "5"]]


@pytest.mark.parametrize("many", [1, 10**6])
def test_a_whole_folder_is_synced(tmp_path, monkeypatch, many):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("c")
    monkeypatch.setattr(durable, "MANY", many)
    sync_tree(tmp_path / "a")


# ------------------------------------------------------------------ rankings


def rows(count=3):
    regions = [
        Region(
            id=f"a#{number}", number=number + 1, case_id=0, image="a", kind="error", score=2.5 - number, pixels=30,
            given=0, proposed=1, box=Box((0,) * axes, (4,) * axes), trust=0.25, uncertainty=0.5,
        )
        for number, axes in zip(range(count), (2, 3, 2), strict=False)
    ]  # fmt: skip
    return [ImageScore(case_id=0, image="a", score=0.5, estimated_wrong_pixels=3.5)], regions


def test_a_ranking_comes_back_as_it_was(tmp_path):
    images, regions = rows()
    written = ranking.Ranking(4, tuple(images), tuple(regions))
    ranking.write(tmp_path / ranking.NAME, written)
    assert ranking.read(tmp_path / ranking.NAME) == written


def test_a_ranking_of_an_older_run_is_read(tmp_path):
    images, regions = rows()
    old = {"generation": 2, "images": [asdict(row) for row in images], "regions": [asdict(row) for row in regions]}
    (tmp_path / ranking.NAME).write_text(json.dumps(old))
    (tmp_path / "scores.zarr").mkdir()
    zarr.open_group(str(tmp_path / "scores.zarr"), mode="w").create_array(
        "cases/000000/trust", data=np.full((6, 6), 0.5, np.float32), compressors=BloscCodec(cname="zstd", clevel=3)
    )
    run = Run(tmp_path)
    assert run.regions() == regions
    assert run.images() == images
    assert run.generation == 2
    assert (run.read_map(0, "trust") == 0.5).all()
    writer = ScoreWriter(tmp_path, "run")
    writer.write(0, {"trust": np.ones((6, 6), np.float32)})
    assert writer.finish(images, regions) == 3
    assert (run.read_map(0, "trust", Box((1, 1), (3, 4))) == np.ones((2, 3))).all()
    assert run.generation == 3


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"generation": 1, "images": {}, "regions": {"id": [1]}}'])
def test_a_ranking_that_makes_no_sense_is_said(tmp_path, content):
    (tmp_path / ranking.NAME).write_text(content)
    with pytest.raises(ProjectDamagedError, match="metadcseg score"):
        Run(tmp_path).regions()


def test_a_ranking_is_read_once_until_it_is_replaced(tmp_path, monkeypatch):
    images, regions = rows()
    (tmp_path / "scores.zarr").mkdir()
    path, read, run = tmp_path / ranking.NAME, [], Run(tmp_path)
    real = ranking.read
    monkeypatch.setattr(ranking, "read", lambda path: read.append(path) or real(path))
    for generation in (1, 2):
        ranking.write(path.with_suffix(".partial"), ranking.Ranking(generation, tuple(images), tuple(regions)))
        path.with_suffix(".partial").replace(path)
        for _ in range(3):
            assert run.generation == generation
            assert run.regions() == regions
        assert len(read) == generation
    first = run.regions()
    first.clear()
    assert run.regions() == regions
    assert replace(run.regions()[0], score=1.0) not in run.regions()


# ------------------------------------------------------------------ exports


def test_an_export_cleans_up_after_a_dead_one(make_project, tmp_path):
    out = tmp_path / "out" / "cleaned"
    (out / ".partial").mkdir(parents=True)
    (out / ".partial" / "half.png").touch()
    (out / ".partial.lock").touch()
    with Project.open(make_project()) as project:
        name = project.cases[0].name
        for left in (f".{name}.partial.png", f".{name}.npy.partial", ".somebody else's.partial.png"):
            (out / left).touch()
        written = export(project, tmp_path / "out", ["cleaned"])
    assert sorted(out.iterdir()) == sorted([*written, out / ".somebody else's.partial.png"])


def test_two_exports_into_one_folder(make_project, tmp_path):
    out = tmp_path / "out" / "cleaned"
    out.mkdir(parents=True)
    with Project.open(make_project()) as project:
        with closing_lock(out / ".partial.lock"), pytest.raises(InputError, match="Another export is writing into"):
            export(project, tmp_path / "out", ["cleaned"])
        assert len(export(project, tmp_path / "out", ["cleaned"])) == len(project.cases)


def closing_lock(path):
    lock = FileLock(path)
    lock.acquire()
    return closing(type("Held", (), {"close": lambda _self: lock.release()})())


def test_two_sessions_that_make_one_project(tmp_path):
    """The second one leaves what the first is at; a dead one's half is removed."""
    blank = np.zeros((8, 8), np.uint8)
    dead = tmp_path / ".p.metadcseg.0000.partial"
    dead.mkdir()
    (dead / "lock").touch()
    seen = []

    def cases():
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        if len(seen) == 1:
            build_project(tmp_path / "p", cases(), CLASSES).close()
        yield NewCase(name="a", image=blank, given=blank)

    with pytest.raises(InputError, match="exists already"):
        build_project(tmp_path / "p", cases(), CLASSES)
    assert [len(names) for names in seen] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["p.metadcseg"]
    with Project.open(tmp_path / "p") as project:
        assert problems_of(project) == []
