"""Pairs in every layout that people keep them in."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from src_core.cli import main
from src_core.data.case import IGNORE, Box
from src_core.errors import InputError, PairingError
from src_core.io.finding import find
from src_core.io.formats import read, write_new
from src_core.io.picture import Grid
from src_core.review import decisions
from src_core.store.create import create_from_folders
from src_core.store.export import export
from src_core.store.project import Project

AFFINE = np.diag([0.5, 0.5, 2.0, 1.0])


def nifti(path, seed=0, top=2, shape=(6, 5, 3), kind=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, top, shape).astype(kind)
    nibabel.save(nibabel.Nifti1Image(pixels, AFFINE), path)
    return pixels


def problems(*words, call):
    with pytest.raises(PairingError) as caught:
        call()
    assert len(caught.value.problems) == len(words), caught.value.problems
    for word, problem in zip(words, caught.value.problems, strict=True):
        assert word in problem


def test_patterns_name_by_what_their_star_stands_for(tmp_path):
    for name in ("a", "b"):
        nifti(tmp_path / f"case{name}_image.nii.gz", top=99)
        nifti(tmp_path / f"case{name}_label.nii.gz")
    found = find(tmp_path / "*_image.nii.gz", tmp_path / "*_label.nii.gz")
    assert [pair.name for pair in found.pairs] == ["casea", "caseb"]
    assert found.pairs[1].mask == tmp_path / "caseb_label.nii.gz"
    (tmp_path / "caseb_label.nii.gz").rename(tmp_path / "casec_label.nii.gz")
    call = lambda: find(tmp_path / "*_image.nii.gz", tmp_path / "*_label.nii.gz")  # noqa: E731
    problems("caseb_image.nii.gz has no mask", "casec_label.nii.gz has no image", call=call)
    problems("fits", call=lambda: find(tmp_path / "*.nrrd", tmp_path / "*_label.nii.gz"))


def test_one_image_and_its_mask(tmp_path):
    nifti(tmp_path / "heart.nii.gz", top=99)
    nifti(tmp_path / "drawn.nii")
    (pair,) = find(tmp_path / "heart.nii.gz", tmp_path / "drawn.nii").pairs
    assert (pair.name, pair.mask) == ("heart", tmp_path / "drawn.nii")
    with pytest.raises(PairingError, match="does not exist"):
        find(tmp_path / "heart.nii.gz", tmp_path / "gone.nii")


def test_a_list_names_its_files_from_its_folder(tmp_path):
    nifti(tmp_path / "x" / "one.nii", top=99)
    nifti(tmp_path / "y" / "two.nii")
    sheet = tmp_path / "list.csv"
    sheet.write_text("image,mask,name\nx/one.nii,y/two.nii,heart\nx/one.nii,,other\n", encoding="utf-8")
    problems("Line 3 of list.csv names no mask", call=lambda: find(sheet))
    found = find(sheet, unlabelled=True)
    assert [(pair.name, pair.mask is None) for pair in found.pairs] == [("heart", False), ("other", True)]
    sheet.write_text("image,mask,name\nx/one.nii,y/no.nii,../up\nx/one.nii,y/two.nii,a\nx/one.nii,y/two.nii,a\n")
    problems("which does not exist", "'../up'", "'a', which is taken", call=lambda: find(sheet))
    sheet.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column 'image'"):
        find(sheet)


def test_nnunet_brings_channels_and_classes(tmp_path):
    for name in ("a_b", "c"):
        for channel in range(2):
            nifti(tmp_path / "imagesTr" / f"{name}_{channel:04d}.nii.gz", seed=channel, top=99, kind=np.int16)
        nifti(tmp_path / "labelsTr" / f"{name}.nii.gz", top=3)
    facts = {"labels": {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}, "channel_names": {"0": "T1", "1": "T2"}}
    (tmp_path / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    project, rule = create_from_folders(tmp_path / "p", tmp_path)
    with project:
        assert [case.name for case in project.cases] == ["a_b", "c"]
        assert [info.name for info in project.classes] == ["background", "liver", "tumour"]
        assert project.cases[0].channels == 2
        assert project.cases[0].spacing == (2.0, 0.5, 0.5)
        second = nibabel.load(tmp_path / "imagesTr" / "c_0001.nii.gz").get_fdata().T
        assert np.array_equal(project.read_image(project.cases[1])[..., 1], second)
    assert "dataset.json" in rule
    (tmp_path / "imagesTr" / "c_0001.nii.gz").unlink()
    (tmp_path / "labelsTr" / "a_b.nii.gz").unlink()
    problems("a_b has no mask", "c has 1 of 2 channels", call=lambda: find(tmp_path))
    facts["labels"]["all"] = [1, 2]
    (tmp_path / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(InputError, match="regions"):
        find(tmp_path)


def test_the_decathlon_lists_its_files(tmp_path):
    nifti(tmp_path / "imagesTr" / "la_003.nii.gz", top=99, shape=(6, 5, 3, 2))
    nifti(tmp_path / "labelsTr" / "la_003.nii.gz")
    entry = {"image": "./imagesTr/la_003.nii.gz", "label": "./labelsTr/la_003.nii.gz"}
    facts = {"labels": {"0": "background", "1": "left atrium"}, "training": [entry]}
    (tmp_path / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    project, _ = create_from_folders(tmp_path / "p", tmp_path)
    with project:
        assert project.classes[1].name == "left atrium"
        assert project.cases[0].channels == 2
    facts["training"] = [{"image": "../secret.nii.gz", "label": "./labelsTr/gone.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    problems("leads out of", "does not exist", call=lambda: find(tmp_path))
    (tmp_path / "dataset.json").write_text("[1", encoding="utf-8")
    with pytest.raises(InputError, match="not understood"):
        find(tmp_path)


def test_images_without_masks_have_no_label_and_get_files_of_their_own(tmp_path, capsys):
    nifti(tmp_path / "images" / "a.nii.gz", top=99)
    nifti(tmp_path / "images" / "b.nii.gz", top=99)
    nifti(tmp_path / "masks" / "a.nii.gz")
    words = ["create", str(tmp_path / "p"), "--images", str(tmp_path / "images"), "--masks", str(tmp_path / "masks")]
    assert main(words) == 2
    assert "b.nii.gz has no mask" in capsys.readouterr().err
    assert main([*words, "--unlabelled"]) == 0
    with Project.open(tmp_path / "p", write=True) as project:
        a, b = project.cases
        assert (project.read_label(a) != IGNORE).all()
        assert (project.read_label(b) == IGNORE).all()
        (one,) = export(project, tmp_path / "out", ["cleaned"])  # none is made up
        box = Box((0, 0, 0), (1, 1, 1))
        project.commit(decisions.edit(project, b, box, np.ones(box.shape, np.uint8)))
        one, two = export(project, tmp_path / "out", ["cleaned"])
    assert np.allclose(nibabel.load(two).affine, AFFINE)
    assert nibabel.load(two).get_fdata().sum() == 1
    assert np.array_equal(nibabel.load(one).get_fdata(), nibabel.load(tmp_path / "masks" / "a.nii.gz").get_fdata())


def test_without_masks_and_classes_it_is_asked(tmp_path, capsys):
    write_new(tmp_path, "a", "png", np.zeros((4, 5), np.uint8), Grid(spacing=(1, 1)))
    words = ["create", str(tmp_path / "p"), "--images", str(tmp_path)]
    assert main(words) == 2
    assert "Masks are missing" in capsys.readouterr().err
    assert main([*words, "--unlabelled"]) == 2
    assert "classes file" in capsys.readouterr().err
    (tmp_path / "classes.csv").write_text("0,background\n1,organ\n")
    assert main([*words, "--unlabelled", "--classes", str(tmp_path / "classes.csv")]) == 0
    assert read(tmp_path / "a.png").shape == (4, 5)
