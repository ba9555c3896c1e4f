"""A review of scores that were made elsewhere, on the command line, on a machine without torch."""

from __future__ import annotations

import csv
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
from src_core.errors import InputError
from src_core.infer.imported import import_scores
from src_core.infer.score import score_run
from src_core.store.project import Project
from src_core.train.control import Control
from tests.core.test_infer_imported import DRAWN, SIDE, TOO_MUCH, files, foreground, make  # noqa: F401
from tests.core.test_train_learner import quiet, train

ROOT = Path(__file__).parents[2]

WITHOUT_TORCH = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "monai", "napari", "qtpy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
from src_core.cli import main
for words in sys.stdin.read().splitlines():
    print("$", words, flush=True)
    status = main(words.split())
    print("?", status, flush=True)
sys.exit("torch" in sys.modules)
"""


def without_torch(*commands, cwd):
    """Run commands in one process that cannot import torch; what each of them said, and its status."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input="\n".join(commands),
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = [part.split("\n", 1)[1].rsplit("? ", 1) for part in done.stdout.split("$ ")[1:]]
    return [(said, int(status)) for said, status in parts], done.stderr


def test_a_whole_review_without_torch(make, tmp_path):  # noqa: F811
    make(3)
    files(tmp_path / "probs", im0=foreground(), im1=foreground(doubted=0.3), im2=foreground(doubted=0.9))
    answers, _ = without_torch(
        "import-scores p --probabilities probs",
        "info p",
        "rank p --by region --format csv",
        cwd=tmp_path,
    )
    assert [status for _, status in answers] == [0, 0, 0]
    assert "Imported scores of 3 images into run imported, generation 1: 2 regions to look at." in answers[0][0]
    assert "Run imported: imported from probabilities in probs, scores of generation 1" in answers[1][0]
    first, second = csv.DictReader(io.StringIO(answers[2][0]))
    assert (first["image"], second["image"]) == ("im0", "im1")
    rows = f"region,decision\n{first['region']},accept\n{second['region']},keep\n"
    (tmp_path / "decisions.csv").write_text(rows, encoding="utf-8")
    answers, _ = without_torch(
        "decide p --decisions decisions.csv",
        "import-scores p --probabilities probs",
        "rank p --by region --format json",
        "rank p --by image --format csv",
        "export p out --what cleaned,proposed,trust,uncertainty,band,provenance",
        "verify p",
        "report p report.json",
        cwd=tmp_path,
    )
    assert [status for _, status in answers] == [0] * 7
    assert "generation 2: 0 regions" in answers[1][0]
    assert json.loads(answers[2][0]) == []
    assert "is whole: 3 images, 2 changes" in answers[5][0]
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert told["run"]["settings"] == {"imported from": "probabilities in probs"}
    assert told["totals"]["regions_decided"] == 2
    cleaned = np.array(Image.open(tmp_path / "out" / "cleaned" / "im0.png"))
    assert (cleaned[TOO_MUCH] == 0).all()
    assert (np.array(Image.open(tmp_path / "out" / "cleaned" / "im1.png"))[DRAWN] == 10).all()
    trust = tifffile.imread(tmp_path / "out" / "trust" / "im0.tif")
    assert trust.dtype == np.float32
    assert (trust[TOO_MUCH] == 1).all()  # decided


def test_orders_and_second_opinion_without_torch(make, tmp_path):  # noqa: F811
    pytest.importorskip("cleanlab")
    make(2)
    files(tmp_path / "probs", im0=foreground(), im1=foreground(doubted=0.3))
    (tmp_path / "truth").mkdir()
    for name in ("im0", "im1"):
        truth = np.zeros((SIDE, SIDE), np.uint8)
        truth[2:10, 2:6] = 10
        Image.fromarray(truth).save(tmp_path / "truth" / f"{name}.png")
    answers, _ = without_torch(
        "import-scores p --probabilities probs",
        "second-opinion p",
        "simulate p --truth truth --order cleanlab",
        "simulate p --truth truth --order entropy",
        "export p out --what cleanlab",
        cwd=tmp_path,
    )
    assert [status for _, status in answers] == [0] * 5
    assert "where trust is the same number, agreement says nothing" in answers[1][0]
    for said, _ in answers[2:4]:
        assert list(csv.DictReader(io.StringIO(said)))[-1]["wrong_pixels_left"] == "0"


def test_what_an_imported_run_cannot_do_is_said(make, tmp_path, capsys):  # noqa: F811
    path = make(1)
    import_scores(path, probabilities={"im0": foreground()})
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(tmp_path / "images" / "a.png")
    for words in (
        ["train", str(path), "--resume"],
        ["train", str(path), "--resume", "--run", "imported"],
        ["train", str(path), "--run", "imported", "--epochs", "1"],
        ["score", str(path)],
        ["score", str(path), "--run", "imported"],
        ["predict", str(path), str(tmp_path / "new"), "--images", str(tmp_path / "images")],
    ):
        assert main(words) == 2, words
        said = capsys.readouterr().err
        assert "were imported (probabilities in open layers), so it has no model" in said, words
    for what, words in (("alpha,trust", "there is no alpha:"), ("alpha,beta", "no alpha and no beta")):
        assert main(["export", str(path), str(tmp_path / "out"), "--what", what]) == 2
        assert words in capsys.readouterr().err
    assert main(["export", str(path), str(tmp_path / "out"), "--what", "cleanlab"]) == 2
    assert "has no second opinion on its scores; make it with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_training_goes_its_own_way_beside_an_imported_run(make_project, tiny, phantoms, capsys):
    path = make_project()
    own = train(path, None, tiny(epochs=1, method="noisy"), listener=quiet, control=Control())
    truth = {slice_.name: slice_.truth.astype(np.float32) for slice_ in phantoms}
    import_scores(path, probabilities=truth)
    assert score_run(path, None, device="cpu", listener=quiet) == 1
    with Project.open(path) as project:
        assert project.run().name == "imported"
        assert project.run(own).generation == 1
    resumed = train(path, None, tiny(epochs=2, method="noisy"), resume=True, listener=quiet, control=Control())
    assert resumed == own
    assert main(["info", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"Run {own}: noisy, 2 epochs, scores of generation 1" in said
    assert "Run imported: imported from probabilities in open layers" in said
    with pytest.raises(InputError, match="has no model"):
        score_run(path, "imported", device="cpu", listener=quiet)


def test_images_without_scores_are_exported_as_they_are(make, tmp_path, capsys):  # noqa: F811
    path = make(2)
    files(tmp_path / "probs", im0=foreground(), im7=foreground())
    assert main(["import-scores", str(path), "--probabilities", str(tmp_path / "probs")]) == 2
    assert "im1; add what is missing, or allow that images are left out" in capsys.readouterr().err
    assert not (path / "runs").exists()
    words = ["import-scores", str(path), "--probabilities", str(tmp_path / "probs"), "--allow-missing"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "1 without scores: im1." in said
    assert "1 handed in that no image has: im7." in said
    assert main(["export", str(path), str(tmp_path / "out"), "--what", "cleaned,proposed,trust,band"]) == 0
    assert "Wrote 6 files" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "out" / "trust").iterdir()] == ["im0.tif"]
    assert (np.array(Image.open(tmp_path / "out" / "proposed" / "im1.png"))[DRAWN] == 10).all()
    assert main(["report", str(path), str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "imported from" in page
    assert main(["report", str(path), str(tmp_path / "report.json")]) == 0
    images = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["images"]
    assert {image["name"]: image["trust_scored"] is None for image in images} == {"im0": False, "im1": True}
