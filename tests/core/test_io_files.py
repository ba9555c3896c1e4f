"""Files in and out: formats, pairs, and the rule for mask values."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from src_core.data.case import IGNORE
from src_core.data.classes import MaskValues, infer_classes, read_classes
from src_core.errors import FormatError, InputError, MaskValueError, PairingError
from src_core.io.formats import read, write
from src_core.io.sources import check_folders, load
from src_core.store.create import create_from_folders
from src_core.store.export import export


def values_of(*masks):
    return [MaskValues.of(np.asarray(mask), f"mask{i}.png") for i, mask in enumerate(masks)]


# ------------------------------------------------------------------ formats


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([".png", ".tif"]), st.sampled_from(["uint8", "uint16"]), st.integers(0, 99))
def test_grey_files_come_back_as_they_were(tmp_path_factory, suffix, dtype, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, np.iinfo(dtype).max, (7, 9)).astype(dtype)
    path = tmp_path_factory.mktemp("f") / f"a{suffix}"
    mode = "I;16" if dtype == "uint16" and suffix == ".png" else "L"
    write(path, pixels, mode=mode)
    back = read(path)
    assert back.pixels.dtype == pixels.dtype
    assert np.array_equal(back.pixels, pixels)
    assert list(path.parent.iterdir()) == [path]


def test_palette_masks_keep_indices_and_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.png")
    found = read(tmp_path / "a.png", mask=True)
    assert found.pixels.tolist() == [[0, 1], [2, 1]]
    write(tmp_path / "b.png", found.pixels, mode=found.mode, extra=found.extra)
    again = Image.open(tmp_path / "b.png")
    assert again.mode == "P"
    assert again.getpalette()[:9] == [0, 0, 0, 255, 0, 0, 0, 0, 255]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_broken_files_are_said(tmp_path, name):
    good = tmp_path / name
    write(good, np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8))
    data = good.read_bytes()
    good.write_bytes(data[: len(data) // 3])
    with pytest.raises(FormatError, match="broken"):
        read(good)
    good.write_bytes(b"no image at all")
    with pytest.raises(FormatError, match="broken"):
        read(good)


def test_films_and_foreign_files_are_refused(tmp_path):
    tifffile.imwrite(
        tmp_path / "s.tif", np.zeros((5, 8, 8), np.uint8), photometric="minisblack", metadata={"axes": "TYX"}
    )
    with pytest.raises(FormatError, match="5 time points"):
        read(tmp_path / "s.tif")
    (tmp_path / "a.xyz").touch()
    with pytest.raises(FormatError, match="not supported"):
        read(tmp_path / "a.xyz")


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write(tmp_path / "a.png", np.zeros((50, 50), np.uint8))
    monkeypatch.setattr("src_core.io.images.MAX_PIXELS", 1000)
    with pytest.raises(FormatError, match="claims to be 50 x 50"):
        read(tmp_path / "a.png")


# ------------------------------------------------------------------ classes


def test_two_values_are_background_and_foreground():
    for high in (1, 255):
        table = infer_classes(values_of([[0, high]], [[0, 0]]))
        assert [info.value for info in table.classes] == [0, high]
        assert table.encode(np.array([[high, 0]]), "m").tolist() == [[1, 0]]


def test_several_values_are_classes_in_order():
    table = infer_classes(values_of([[0, 85, 170, 255]]))
    assert [info.value for info in table.classes] == [0, 85, 170, 255]


def test_smeared_masks_are_cut():
    mask = np.zeros((100, 100), int)
    mask[:50] = 255
    mask[50, :20] = np.arange(20)
    table = infer_classes(values_of(mask))
    assert table.smeared
    assert "cut at 128" in table.rule
    assert table.encode(np.array([[3, 127, 128, 250]]), "m").tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([[[0, 1, 255]]], "255 may mean 'no label'"),
        ([[[0, 1]], [[0, 255]]], "255 may mean 'no label'"),
        ([np.arange(300)[None]], "holds 300 different values"),
        ([[[1, 2]]], "no mask starts at 0"),
    ],
)
def test_unclear_masks_are_asked_about(masks, words):
    with pytest.raises(MaskValueError, match=words):
        infer_classes(values_of(*masks))


def test_fractions_are_no_classes():
    with pytest.raises(MaskValueError, match="fractions"):
        MaskValues.of(np.array([[0.0, 0.5]]), "m")


def test_a_classes_file_decides(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("value,name,color\n0,background\n1,liver,#112233\n255,ignore\n", encoding="utf-8")
    table = read_classes(path)
    assert [info.name for info in table.classes] == ["background", "liver"]
    assert table.classes[1].color == "#112233"
    assert table.encode(np.array([[0, 1, 255]]), "m").tolist() == [[0, 1, IGNORE]]
    with pytest.raises(MaskValueError, match="holds the value 7"):
        table.encode(np.array([[7]]), "m")
    path.write_text("what is this", encoding="utf-8")
    with pytest.raises(InputError, match="lines such as"):
        read_classes(path)
    (tmp_path / "c.json").write_text('[{"value": 0, "name": "bg"}, {"value": 9, "name": "x"}]', encoding="utf-8")
    assert [info.value for info in read_classes(tmp_path / "c.json").classes] == [0, 9]


# ------------------------------------------------------------------ pairs


def test_every_problem_is_in_one_message(make_folders):
    folder = make_folders(4)
    (folder / "masks" / "slice_01.png").unlink()
    write(folder / "masks" / "slice_02.png", np.zeros((5, 5), np.uint8))
    (folder / "images" / "slice_03.png").write_bytes(b"broken")
    write(folder / "masks" / "extra.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(PairingError) as caught:
        check_folders(folder / "images", folder / "masks")
    assert len(caught.value.problems) == 2  # unmatched files first: the others cannot be told from them
    write(folder / "masks" / "slice_01.png", np.zeros((64, 64), np.uint8))
    (folder / "masks" / "extra.png").unlink()
    with pytest.raises(PairingError) as caught:
        check_folders(folder / "images", folder / "masks")
    words = str(caught.value)
    assert "slice_02.png is 64 x 64 px and its mask slice_02.png 5 x 5 px" in words
    assert "slice_03.png cannot be read" in words


def test_sources_are_left_as_they_were_and_come_back_as_they_were(tmp_path, make_folders):
    folder = make_folders(3)
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    project, rule = create_from_folders(tmp_path / "p", folder / "images", folder / "masks")
    with project:
        assert rule == "0 is background, 255 is foreground"
        written = export(project, tmp_path / "out", ["cleaned"])
    for path in written:
        source = read(folder / "masks" / path.name)
        assert np.array_equal(read(path).pixels, source.pixels)
        assert read(path).mode == source.mode
    assert {path: path.read_bytes() for path in before} == before


def test_jpeg_masks_come_back_with_the_same_label(tmp_path, phantoms):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(phantoms[0].image).save(tmp_path / "images" / "a.jpg")
    Image.fromarray(phantoms[0].truth * 255).save(tmp_path / "masks" / "a.jpg", quality=60)
    project, rule = create_from_folders(tmp_path / "p", tmp_path / "images", tmp_path / "masks")
    with project:
        assert "cut at 128" in rule
        (path,) = export(project, tmp_path / "out", ["cleaned"])
        assert path.suffix == ".jpg"
        assert np.array_equal(read(path).pixels >= 128, project.read_label(project.cases[0]) == 1)


def test_export_refuses_the_source_folder(tmp_path, make_folders):
    folder = make_folders(2)
    (folder / "masks").rename(folder / "cleaned")
    project, _ = create_from_folders(tmp_path / "p", folder / "images", folder / "cleaned")
    with project, pytest.raises(InputError, match="holds source files"):
        export(project, folder, ["cleaned"])


def test_colour_and_grey_images_and_unequal_sizes_in_one_project(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a", (20, 30)), ("b", (40, 25, 3)), ("c", (16, 16, 4))):
        Image.fromarray(rng.integers(0, 255, shape).astype(np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(rng.integers(0, 2, shape[:2]).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    project, _ = create_from_folders(tmp_path / "p", tmp_path / "images", tmp_path / "masks")
    with project:
        assert [case.channels for case in project.cases] == [1, 3, 3]
        assert [case.shape for case in project.cases] == [(20, 30), (40, 25), (16, 16)]
        assert project.read_image(project.cases[1]).shape == (40, 25, 3)


def test_loading_a_pair_names_its_sources(make_folders):
    folder = make_folders(2)
    source = check_folders(folder / "images", folder / "masks", folder / "trusted")
    loaded = load(source.pairs[0], source.table)
    assert loaded["image_path"].endswith("slice_01.png")
    assert set(np.unique(loaded["clean"])) == {0, 1}
