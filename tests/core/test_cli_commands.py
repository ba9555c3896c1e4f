"""The command line: the whole job, and bad input."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from src_core.cli import main
from src_core.store.project import Project

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def create(folder, *more):
    return main(
        ["create", str(folder / "p"), "--images", str(folder / "images"), "--masks", str(folder / "masks"), *more]
    )


def refused(capsys, folder, words, *more):
    """The command ends with 2, says one thing, and leaves nothing."""
    before = sorted(folder.iterdir())
    assert create(folder, *more) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert sorted(folder.iterdir()) == before


def test_the_whole_job(make_folders, capsys, monkeypatch, tiny):
    folder = make_folders(6, 3)
    assert create(folder, "--clean-masks", str(folder / "trusted"), "--author", "ada") == 0
    said = capsys.readouterr().out
    assert "Images: 6" in said
    assert "0 is background, 255 is foreground" in said
    project = str(folder / "p.metadcseg")
    monkeypatch.setitem(__import__("src_core.config").config.PRESETS, "quick", tiny())
    assert main(["train", project, "--preset", "quick", "--epochs", "2", "--run", "first"]) == 0
    assert capsys.readouterr().out.strip() == "first"
    assert main(["rank", project, "--by", "image"]) == 2
    assert "has no scores yet" in capsys.readouterr().err
    assert main(["score", project]) == 0
    capsys.readouterr()
    assert main(["rank", project, "--by", "image", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["rank", "image", "score", "estimated_wrong_pixels"]
    assert len(rows) == 6
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    assert main(["rank", project, "--by", "region", "--format", "csv", "--top", "1"]) == 0
    header = capsys.readouterr().out.splitlines()[0]
    assert header == "rank,region,image,kind,score,pixels,given,proposed,z0,y0,x0,z1,y1,x1"
    assert main(["rank", project, "--by", "region", "--format", "json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
    out = folder / "out"
    everything = "cleaned,proposed,trust,alpha,beta,uncertainty,band,provenance"
    assert main(["export", project, str(out), "--what", everything]) == 0
    for name in everything.split(","):
        assert len(list((out / name).iterdir())) == 6, name
    trust = tifffile.imread(next((out / "trust").iterdir()))
    assert trust.dtype == np.float32
    assert set(np.unique(np.array(Image.open(out / "cleaned" / "slice_01.png")))) == {0, 255}
    assert main(["info", project]) == 0
    assert "first: metadcseg, 2 epochs, scores of generation 1" in capsys.readouterr().out
    assert main(["train", project, "--run", "first", "--resume", "--epochs", "3"]) == 0
    assert main(["predict", project, str(folder / "new"), "--images", str(folder / "images")]) == 0
    new = np.array(Image.open(folder / "new" / "slice_01.png"))
    assert new.shape == (64, 64)
    assert set(np.unique(new)) <= {0, 255}
    assert main(["predict", project, str(folder / "images"), "--images", str(folder / "images")]) == 2
    assert main(["predict", project, str(folder / "new"), "--images", str(folder / "nothing")]) == 2
    assert main(["export", project, str(out), "--what", "magic"]) == 2
    assert main(["export", project, str(out), "--what", "cleaned", "--format", "docx"]) == 2


# ------------------------------------------------------------------ bad input


def test_an_image_without_a_mask(make_folders, capsys):
    folder = make_folders()
    (folder / "masks" / "slice_02.png").unlink()
    refused(capsys, folder, "slice_02.png has no mask")


def test_unequal_sizes(make_folders, capsys):
    folder = make_folders()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "masks" / "slice_02.png")
    refused(capsys, folder, "expected the same size")


def test_a_broken_file(make_folders, capsys):
    folder = make_folders()
    path = folder / "images" / "slice_03.png"
    path.write_bytes(path.read_bytes()[:200])
    refused(capsys, folder, "slice_03.png cannot be read")


def test_empty_and_missing_folders(make_folders, capsys):
    folder = make_folders()
    for path in (folder / "masks").iterdir():
        path.unlink()
    refused(capsys, folder, "holds no PNG")
    (folder / "masks").rmdir()
    refused(capsys, folder, "does not exist")


def test_a_mask_with_300_values(make_folders, capsys):
    folder = make_folders()
    (folder / "masks" / "slice_01.png").unlink()
    tifffile.imwrite(folder / "masks" / "slice_01.tif", (np.arange(64 * 64).reshape(64, 64) % 300).astype(np.uint16))
    refused(capsys, folder, "holds 300 different values")


def test_a_bad_classes_file(make_folders, capsys):
    folder = make_folders()
    (folder / "classes.csv").write_text("0,background\n", encoding="utf-8")
    refused(capsys, folder, "must name 2 to 32", "--classes", str(folder / "classes.csv"))


def test_a_project_that_is_there_already(make_folders, capsys):
    folder = make_folders()
    assert create(folder) == 0
    assert create(folder) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_project_that_is_open_elsewhere(make_project):
    """Another process holds the lock; the message says which."""
    path = make_project()
    code = (
        "from src_core.store.project import Project\n"
        f"p = Project.open({str(path)!r}, write=True)\n"
        "print('open', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        from src_core.errors import ProjectLockedError

        with pytest.raises(ProjectLockedError, match=f"process {other.pid}") as caught:
            Project.open(path, write=True)
        assert caught.value.exit_code == 2
        other.kill()
    Project.open(path, write=True).close()  # the lock goes with its process


def test_a_disk_that_fills_up(make_folders, capsys, monkeypatch):
    folder = make_folders()

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("src_core.store.arrays.ArrayStore.add", full)
    refused(capsys, folder, "the disk is full")


@pytest.mark.process
def test_a_real_small_disk(make_folders, tmp_path_factory, capsys):
    """A tmpfs of 300 kB, in a mount namespace of its own."""
    folder = make_folders(8, 4)
    disk = tmp_path_factory.mktemp("disk")
    script = f"""
        mount -t tmpfs -o size=300k tmpfs {disk} || exit 77
        {sys.executable} -m src_core create {disk}/p --images {folder}/images --masks {folder}/masks
        code=$?
        ls -A {disk} | wc -l
        exit $code
    """
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode in (1, 77) and "metadcseg" not in done.stderr:
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 2, done.stderr
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() == "0"


def test_usage_errors_end_with_2(capsys):
    for words in ([], ["dance"], ["rank", "p"], ["train", "p", "--method", "magic"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
    assert main(["info", "nowhere"]) == 2
    assert "There is no project at nowhere" in capsys.readouterr().err
    assert main(["train", "nowhere", "--epochs", "0"]) == 2


def test_a_reader_that_goes_away_is_no_failure(make_project):
    command = f"{sys.executable} -m src_core info {make_project()} | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Project ")
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------ real data, where it is


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data is not beside the project")
@pytest.mark.parametrize(
    ("name", "count", "rule"), [("polyps-sample", 5, "cut at 128"), ("nuclei", 140, "0 is background")]
)
def test_real_folders(tmp_path, capsys, name, count, rule):
    data = SHARED / name
    status = main(["create", str(tmp_path / "p"), "--images", str(data / "images"), "--masks", str(data / "masks")])
    said = capsys.readouterr().out
    assert status == 0
    assert f"Images: {count}" in said
    assert rule in said
