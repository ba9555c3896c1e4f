"""A network that was written for use elsewhere gives there what it gives here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from src_core.cli import main
from src_core.config import TrainingSettings, preset
from src_core.errors import InputError, SettingsError
from src_core.infer.export_model import export_model
from src_core.infer.predict import Predictor
from src_core.networks import registry
from src_core.networks.registry import Entry, build_network, find_network
from src_core.store.project import Project
from src_core.train.control import Control
from src_core.train.run import train


@pytest.fixture
def trained(make_project, tiny):
    path = make_project(4, trusted=2)
    train(path, None, tiny(epochs=1, network="unet", max_side=32), listener=lambda _: None, control=Control())
    return path


def read(folder):
    record = json.loads((folder / "model.json").read_text())
    return record, np.load(folder / "test_input.npy"), np.load(folder / "test_output.npy")


def prepared(record, image):
    """An image as model.json says that it is to be prepared, by hand."""
    clip, norm, size, pad = record["preprocessing"]
    values = np.clip(image.astype(np.float64), *np.percentile(image, clip["percentiles"]))
    values = (values - values.mean()) / max(values.std(), norm["least_spread"])
    from skimage.transform import resize

    sides = [round(side * size["longest_side_at_most"] / max(image.shape)) for side in image.shape]
    values = resize(values, sides, order=size["order"], anti_aliasing=size["anti_aliasing"], preserve_range=True)
    multiple = pad["to_multiple_of"]
    return np.pad(values, [(0, -side % multiple) for side in sides], mode="edge")


def test_onnx_gives_the_same_on_images_of_any_size(trained, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    export_model(trained, None, tmp_path / "model", "onnx")
    record, given, said = read(tmp_path / "model")
    assert record["sizes"] == "any multiple"
    assert [each["value"] for each in record["classes"]] == [0, 255]
    session = runtime.InferenceSession(tmp_path / "model/model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": given})[0], said, atol=1e-5)
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)
    with Project.open(trained) as project:
        image = project.read_image(project.cases[0])
        run = project.run(scored=False)
    np.testing.assert_allclose(prepared(record, image), given[0, 0], atol=1e-4)
    network, _ = registry_network(run)
    other = torch.from_numpy(np.tile(given, (1, 1, 2, 3)))
    with torch.no_grad():
        np.testing.assert_allclose(
            session.run(None, {"image": other.numpy()})[0], network(other).softmax(1).numpy(), atol=1e-5
        )


def registry_network(run):
    from src_core.train import checkpoint

    return checkpoint.load_teacher(run.path, torch.device("cpu"))


def test_torchscript_and_safetensors_give_the_same(trained, tmp_path):
    export_model(trained, None, tmp_path / "script", "torchscript")
    _, given, said = read(tmp_path / "script")
    script = torch.jit.load(tmp_path / "script/model.torchscript.pt")
    with torch.no_grad():
        np.testing.assert_allclose(script(torch.from_numpy(given)).numpy(), said, atol=1e-5)
    export_model(trained, None, tmp_path / "weights", "safetensors")
    record, given, said = read(tmp_path / "weights")
    settings = TrainingSettings.from_mapping(record["settings"])
    network = build_network(record["input"]["channels"], len(record["classes"]), settings)
    network.body.load_state_dict(load_file(tmp_path / "weights/model.safetensors"))
    with torch.no_grad():
        np.testing.assert_allclose(network.eval()(torch.from_numpy(given)).softmax(1).numpy(), said, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_bioimageio_accepts_the_description_and_its_test(trained, tmp_path):
    core = pytest.importorskip("bioimageio.core")
    export_model(trained, None, tmp_path / "model", "bioimageio")
    summary = core.test_description(tmp_path / "model/rdf.yaml")
    assert summary.status == "passed", summary.format()


def test_what_cannot_be_written_is_said_and_leaves_nothing(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    with pytest.raises(InputError, match="holds something already"):
        export_model(trained, None, tmp_path / "full", "safetensors")
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    assert main(["export-model", str(trained), str(tmp_path / "new")]) == 2
    assert "napari-metadcseg[export]" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(["export-model", str(trained), str(tmp_path / "new"), "--format", "safetensors"]) == 0
    assert "model.safetensors" in capsys.readouterr().out


# ------------------------------------------------------------------ networks of one's own


class Tiny(torch.nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(channels, 8, 3, padding=1), torch.nn.Conv2d(8, classes, 1)

    def forward(self, image):
        return self.last(torch.relu(self.first(image)))


BROUGHT = Entry(lambda channels, classes, _dims, _settings: Tiny(channels, classes), 4)


class Point:
    """As much of an entry point as is asked for."""

    def __init__(self, name, found):
        self.name, self.value, self._found = name, "mine.networks:tiny", found

    def load(self):
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def installed(monkeypatch):
    """Function that lets a package bring a network."""
    monkeypatch.setattr(registry, "NETWORKS", dict(registry.NETWORKS))

    def install(name, found):
        points = [Point(name, found)]
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.ENTRY_POINTS else [])

    return install


def test_an_installed_package_brings_a_network(installed, make_project, tiny):
    installed("tiny-net", BROUGHT)
    network = build_network(2, 3, preset("quick", network="tiny-net"))
    assert isinstance(network.body, Tiny)
    assert network.stride == 4
    path = make_project(4, trusted=2)
    name = train(path, None, tiny(epochs=1, network="tiny-net"), listener=lambda _: None, control=Control())
    assert Predictor(path / "runs" / name, "cpu")(np.zeros((40, 40), np.float32)).shape == (2, 40, 40)


@pytest.mark.parametrize(
    ("found", "words"), [(ImportError("no module"), "cannot be loaded"), (Tiny, "expected an Entry")]
)
def test_a_package_that_brings_something_else_is_named(installed, found, words):
    installed("tiny-net", found)
    with pytest.raises(SettingsError, match=words):
        find_network("tiny-net")


def test_an_unknown_network_lists_what_packages_bring(installed):
    installed("tiny-net", BROUGHT)
    with pytest.raises(SettingsError, match="swinunetr, tiny-net"):
        find_network("nobody's")
