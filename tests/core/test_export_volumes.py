"""A network of volumes that was written for use elsewhere gives there what it gives here, and says what it needs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from skimage.transform import resize

from src_core.config import preset
from src_core.infer.bioimageio import write_description
from src_core.infer.export_model import export_model
from src_core.infer.export_readme import readme_of, scaled_before
from src_core.infer.predict import Predictor
from src_core.networks import registry
from src_core.networks.registry import Entry
from src_core.store.create import NewCase, build_project
from src_core.store.project import Project
from src_core.train import checkpoint
from src_core.train.control import Control
from src_core.train.run import train
from tests.core.test_volumes import CLASSES, ENCODING, SPACING, ball

SLICES = ["the slice before", "the slice in question", "the slice after"]
SIDE = 32


def study(folder, colour=False):
    cases = []
    for number in range(3):
        image, truth = ball(number)
        image = np.stack([image, image[::-1]], axis=-1) if colour else image
        clean = truth if number == 0 else None
        cases.append(
            NewCase(
                name=f"vol{number}",
                image=image,
                given=np.roll(truth, 3, 2),
                clean=clean,
                spacing=SPACING,
                unit="mm",
                encoding=ENCODING,
            )
        )
    with build_project(folder, cases, CLASSES) as project:
        return project.path


def trained(path, dimensions, run_name, **changes):
    values = {"network": "unet", "epochs": 1, "steps_per_epoch": 2, "base_width": 8, "patch_size": 32, "max_side": SIDE}
    values |= {"batch_size": 2, "meta_batch_size": 2, "threads": 1, "device": "cpu", "min_verified": 100}
    settings = preset("quick", **{**values, "dimensions": dimensions, **changes})
    return train(path, run_name, settings, listener=lambda _: None, control=Control())


def record_of(folder):
    return json.loads((folder / "model.json").read_text())


@pytest.fixture(scope="module")
def project_path(tmp_path_factory):
    return study(tmp_path_factory.mktemp("volumes") / "study")


@pytest.fixture(scope="module", params=["2.5d", "3d"])
def exported(request, project_path, tmp_path_factory):
    """Dimensions, the project, the run and the folder of the model."""
    pytest.importorskip("onnxscript")
    scale = "image" if request.param == "2.5d" else "project"
    run = trained(project_path, request.param, f"run-{request.param}", intensities=scale)
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_model(project_path, run, folder, "bioimageio")
    return request.param, project_path, run, folder


# ------------------------------------------------------------------ as model.json says, by hand


def step(record, name):
    return next(each for each in record["preprocessing"] if each["step"] == name)


def scaled(record, volume):
    clip, norm = record["preprocessing"][:2]
    if "low" in clip:
        return (np.clip(volume.astype(np.float64), clip["low"], clip["high"]) - norm["subtract"]) / norm["divide_by"]
    assert clip["per"] == norm["per"] == "volume, all channels together"
    values = np.clip(volume.astype(np.float64), *np.percentile(volume, clip["percentiles"]))
    return (values - values.mean()) / max(values.std(), norm["least_spread"])


def shrunk(values, sides):
    return resize(values, sides, order=1, anti_aliasing=True, preserve_range=True).astype(np.float32)


def inputs(record, volume):
    """What is to be asked, before padding: ``(I, X)`` each."""
    values = scaled(record, volume)
    change = step(record, "resize")
    if record["dimensions"] == "3d":
        assert change["unit"] == "mm"
        sides = [round(edge * size / change["voxel"]) for edge, size in zip(volume.shape, SPACING, strict=True)]
        return [shrunk(values, sides)[None]]
    assert "coarsest spacing" in step(record, "cut into slices")["across"]  # here the first axis
    scale = change["longest_side_at_most"] / max(volume.shape[1:])
    slices = [shrunk(each, [round(edge * scale) for edge in each.shape]) for each in values]
    last = len(slices) - 1
    return [np.stack([slices[max(at - 1, 0)], slices[at], slices[min(at + 1, last)]]) for at in range(len(slices))]


def padded(record, image):
    pad = step(record, "pad")
    sides = [
        max(-(-side // pad["to_multiple_of"]) * pad["to_multiple_of"], pad["to_at_least"]) for side in image.shape[1:]
    ]
    return np.pad(
        image, [(0, 0), *((0, new - old) for old, new in zip(image.shape[1:], sides, strict=True))], mode="edge"
    )


def two_views(record, ask, image):
    """Mean of the plain and the mirrored view, as the note in model.json has it."""

    def view(values):
        return ask(padded(record, values)[None])[0][:, *(slice(0, side) for side in image.shape[1:])]

    return (view(image) + view(np.ascontiguousarray(image[..., ::-1]))[..., ::-1]) / 2


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_what_is_written_says_of_a_volume_what_our_own_prediction_says(exported, runtime, monkeypatch):
    dimensions, path, run, folder = exported
    monkeypatch.setattr("src_core.infer.predict.ZOOMS", ())  # the two scaled views of slices, which the note tells of
    record = record_of(folder)
    with Project.open(path) as project:
        volume = project.read_image(project.cases[2])
        expected = Predictor(project.run(run, scored=False).path, "cpu")(volume, SPACING)
    if runtime == "onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(
            folder / "model.onnx", providers=["CPUExecutionProvider"]
        )
        ask = lambda values: session.run(None, {"image": values})[0]  # noqa: E731
    else:
        script = torch.jit.load(folder / "model.torchscript.pt")
        ask = lambda values: script(torch.from_numpy(values)).detach().numpy()  # noqa: E731
    found = [two_views(record, ask, image) for image in inputs(record, volume)]
    whole = next(part for part in record["postprocessing"] if part["step"] == "resize")
    assert whole["to"] == ("size of the volume" if dimensions == "3d" else "size of the slice")
    size, mode = (volume.shape, "trilinear") if dimensions == "3d" else (volume.shape[1:], "bilinear")
    enlarged = [
        torch.nn.functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(each))[None], size=size, mode=mode, align_corners=False
        )[0]
        for each in found
    ]
    said = enlarged[0] if dimensions == "3d" else torch.stack(enlarged, dim=1)
    np.testing.assert_allclose(said.numpy(), expected, atol=1e-4)
    assert np.ptp(expected[1]) > 0.01  # else anything would be equal


def test_any_box_whose_sides_are_multiples_is_taken(exported):
    """As sizes say: from the least side in steps of the stride."""
    dimensions, path, run, folder = exported
    runtime = pytest.importorskip("onnxruntime")
    record = record_of(folder)
    assert record["sizes"] == "any multiple"
    given = record["input"]
    least, stride = given["least_side"], given["side_multiple_of"]
    sides = (least, least + stride, least + 2 * stride)[-len(given["axes"]) + 2 :]
    box = np.random.default_rng(0).normal(size=(1, given["channels"], *sides)).astype(np.float32)
    with Project.open(path) as project:
        network, _ = checkpoint.load_teacher(project.run(run, scored=False).path, torch.device("cpu"))
    with torch.no_grad():
        expected = network(torch.from_numpy(box)).softmax(1).numpy()
        script = torch.jit.load(folder / "model.torchscript.pt")
        np.testing.assert_allclose(script(torch.from_numpy(box)).numpy(), expected, atol=1e-4)
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": box})[0], expected, atol=1e-4)
    assert dimensions == record["dimensions"]


def test_the_description_says_axes_channels_sizes_and_scaling(exported):
    dimensions, _path, run, folder = exported
    description, record = json.loads((folder / "rdf.yaml").read_text()), record_of(folder)
    batch, channel, *space = description["inputs"][0]["axes"]
    readme = (folder / "README.md").read_text()
    assert batch == {"type": "batch", "size": 1}
    assert [axis["id"] for axis in space] == (["y", "x"] if dimensions == "2.5d" else ["z", "y", "x"])
    assert all(axis["size"] == {"min": 32, "step": 16} for axis in space)
    assert description["name"] == f"MetaDCSeg {run.replace('.', '-')}"
    if dimensions == "2.5d":
        assert channel["channel_names"] == SLICES
        assert "slice before" in description["description"]
        assert "preprocessing" not in description["inputs"][0]  # of the volume, which the input does not show
        assert "scaled over the volume" in description["inputs"][0]["description"]
        assert "Clip the whole volume" in readme
        assert not any("scale" in axis for axis in space)
    else:
        assert channel["channel_names"] == ["channel0"]
        steps = description["inputs"][0]["preprocessing"]
        assert [each["id"] for each in steps] == ["clip", "fixed_zero_mean_unit_variance"]
        assert "clipped and scaled as the description says" in readme
        voxel = 48 / SIDE  # the longest side is brought to 32 voxels
        assert {(axis["scale"], axis["unit"]) for axis in space} == {(voxel, "millimeter")}
        assert "voxels of 1.5 mm" in readme
        assert "boxes of 32 x 32 x 32" in readme
        assert record["postprocessing"][0]["sides"] == [32, 32, 32]
    assert ("two scaled views" in record["note"]) == (dimensions == "2.5d")


@pytest.mark.filterwarnings("ignore")
def test_bioimageio_accepts_models_of_volumes(exported):
    core = pytest.importorskip("bioimageio.core")
    summary = core.test_description(exported[3] / "rdf.yaml", weight_format="torchscript")
    assert summary.status == "passed", summary.format()


# ------------------------------------------------------------------ what else there is


def test_the_channels_of_slices_in_colour_are_told_apart(tmp_path):
    path = study(tmp_path / "colour", colour=True)
    run = trained(path, "2.5d", None)
    export_model(path, run, tmp_path / "model", "torchscript")
    given = record_of(tmp_path / "model")["input"]
    assert given["channel_names"] == [f"{place}, channel{number}" for place in SLICES for number in (0, 1)]
    shown = np.load(tmp_path / "model/test_input.npy")[0]
    assert shown.shape == (6, 32, 32)
    with Project.open(path) as project:
        volume = project.read_image(project.cases[0])
    values = scaled(record_of(tmp_path / "model"), volume)
    middle = len(volume) // 2
    by_hand = [
        shrunk(values[at, ..., number], (32, 27)) for at in (middle - 1, middle, middle + 1) for number in (0, 1)
    ]
    np.testing.assert_allclose(shown[:, :, :27], np.stack(by_hand), atol=1e-4)


class OfOneSize(torch.nn.Module):
    """Its trace holds the size of what it was traced with."""

    def __init__(self, channels, classes):
        super().__init__()
        self.first, self.last = torch.nn.Conv3d(channels, 8, 3, padding=1), torch.nn.Conv3d(8, classes, 1)

    def forward(self, image):
        return self.last(torch.relu(self.first(image) + torch.ones(1, 1, *map(int, image.shape[2:]))))


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_one_size_is_said_to_be_one(project_path, tmp_path, monkeypatch):
    entry = Entry(lambda channels, classes, _dims, _settings: OfOneSize(channels, classes), 8)
    monkeypatch.setattr(registry, "NETWORKS", {**registry.NETWORKS, "one-size": entry})
    run = trained(project_path, "3d", None, network="one-size")
    export_model(project_path, run, tmp_path / "model", "torchscript")
    record = record_of(tmp_path / "model")
    assert record["sizes"] == "fixed"
    sides = list(np.load(tmp_path / "model/test_input.npy").shape[2:])
    assert record["input"]["test_sides"] == sides
    assert scaled_before(record)  # over the volume, of which a box shows a part
    assert readme_of(record).count("Clip the whole volume") == 1
    (tmp_path / "model/model.onnx").write_bytes(b"")
    write_description(tmp_path / "model", record, "A/B \\ C", (1, 2, *sides), "2.0.0+cpu")
    description = json.loads((tmp_path / "model/rdf.yaml").read_text())
    assert [axis["size"] for axis in description["inputs"][0]["axes"][2:]] == sides
    assert description["authors"] == [{"name": "A-B - C"}]
    assert "preprocessing" not in description["inputs"][0]
