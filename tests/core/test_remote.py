"""OME-Zarr stores on a server of this machine make the same project as those in a folder."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import numpy as np
import pytest

from src_core.cli import main
from src_core.errors import FormatError, PairingError
from src_core.io import ome_zarr, remote
from src_core.io.lazy import LazyArray
from src_core.io.preview import preview
from src_core.io.remote_stores import opened_at
from src_core.io.sources import open_image
from src_core.store.create import create_from_folders
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.core.test_big_reading import IMAGE, MASK, ome

pytest.importorskip("aiohttp")


@contextmanager
def served(folder, asked=None):
    """A server of a folder on loopback; what it is asked for goes into ``asked``."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            if asked is not None:
                asked.append((self.command, self.path))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def stores(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    ome(folder / "one.ome.zarr", np.moveaxis(IMAGE, -1, 0)[None], "zcyx", labels=MASK[None])
    ome(folder / "two.ome.zarr", IMAGE, "yxc")
    ome(folder / "masks.ome.zarr", MASK, "yx")
    return folder


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(path, base):
    text = f"image,mask\n{base}/one.ome.zarr,{base}/one.ome.zarr\n{base}/two.ome.zarr/,{base}/masks.ome.zarr\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("lazily", [True, False])
def test_a_project_from_addresses_is_that_from_a_folder(tmp_path, stores, monkeypatch, lazily):
    monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0 if lazily else 2**26)
    asked: list = []
    with served(stores, asked) as base:
        there = create_from_folders(tmp_path / "there", listed(tmp_path / "there.csv", base))[0]
        assert {method for method, _ in asked} == {"GET"}  # reading only
        asked.clear()
        with there, create_from_folders(tmp_path / "here", listed(tmp_path / "here.csv", stores))[0] as here:
            for case in there.cases:
                twin = here.case(case.name)
                assert there.digests(case) == here.digests(twin)
                assert (case.shape, case.spacing, case.channels) == (twin.shape, twin.spacing, twin.channels)
                assert case.encoding == twin.encoding
            assert there.case("one").image_path == f"{base}/one.ome.zarr"
            assert there.case("two").mask_path == f"{base}/masks.ome.zarr"
            assert problems_of(there) == []
            for project, out in ((there, "x"), (here, "y")):
                export(project, tmp_path / out, ["cleaned"])
            assert content(tmp_path / "x") == content(tmp_path / "y") != {}
        assert asked == []  # the project has its own pixels
    with Project.open(tmp_path / "there") as again:
        assert again.read_image(again.cases[0]).shape == IMAGE.shape


def test_pixels_are_fetched_when_they_are_asked_for(stores, monkeypatch):
    monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0)
    asked: list = []
    with served(stores, asked) as base:
        picture = open_image(opened_at(f"{base}/two.ome.zarr"))
        assert isinstance(picture.pixels, LazyArray)
        assert not [path for _, path in asked if "/c/" in path]
        part = picture.pixels[(slice(0, 10), slice(0, 10))]
        assert np.array_equal(part, IMAGE[:10, :10])
        assert 0 < len([path for _, path in asked if "/c/" in path]) <= 2


def test_the_command_and_the_preview_take_a_list_of_addresses(tmp_path, stores, capsys):
    with served(stores) as base:
        path = listed(tmp_path / "list.csv", base)
        shown = preview(path)
        assert (shown.images, shown.problems) == (2, ())
        assert shown.first.startswith("one, OME-Zarr")
        assert main(["create", str(tmp_path / "p"), "--images", str(path)]) == 0
    with Project.open(tmp_path / "p") as project:
        assert [case.name for case in project.cases] == ["one", "two"]
    capsys.readouterr()


# ------------------------------------------------------------------ what goes wrong is one sentence


def problem(tmp_path, address):
    path = tmp_path / "list.csv"
    path.write_text(f"image,mask\n{address},{address}\n", encoding="utf-8")
    with pytest.raises(PairingError) as found:
        create_from_folders(tmp_path / "p", path)
    (sentence,) = {text.partition(": ")[2] for text in found.value.problems}
    assert not [each for each in tmp_path.iterdir() if "p.metadcseg" in each.name]
    return sentence


def test_nothing_there(tmp_path, stores):
    with served(stores) as base:
        assert problem(tmp_path, f"{base}/three.ome.zarr") == (
            f"There is no OME-Zarr image at {base}/three.ome.zarr; check the address."
        )
        assert "expected an OME-Zarr store" in problem(tmp_path, f"{base}/one.tif")


def test_nobody_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sentence = problem(tmp_path, f"http://127.0.0.1:{port}/one.ome.zarr")
    assert "cannot be read over the network" in sentence
    assert "check the address and the connection" in sentence


def test_a_server_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "ANSWER", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sentence = problem(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/one.ome.zarr")
    assert "no answer within 0.2 s" in sentence


def test_a_server_that_goes_away_meanwhile_makes_no_project(tmp_path, stores, monkeypatch):
    monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0)
    with served(stores) as base:
        picture = open_image(opened_at(f"{base}/two.ome.zarr"))
    with pytest.raises(FormatError, match="cannot be read over the network"):
        np.asarray(picture.pixels)


@pytest.mark.parametrize("level", ["../../secret", "/etc"])
def test_a_store_cannot_name_files_of_this_machine(tmp_path, stores, level):
    file = stores / "two.ome.zarr" / "zarr.json"
    file.write_text(file.read_text().replace('"path": "0"', f'"path": "{level}"'))
    with served(stores) as base:
        assert "leads out of it" in problem(tmp_path, f"{base}/two.ome.zarr")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    assert "pip install 'napari-metadcseg[remote]'" in problem(tmp_path, "https://127.0.0.1/one.ome.zarr")
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)  # kept since it was first used
    assert "pip install 'napari-metadcseg[s3]'" in problem(tmp_path, "s3://bucket/one.ome.zarr")


def test_a_folder_is_never_taken_for_an_address(tmp_path, stores):
    assert remote.address_of(stores / "one.ome.zarr") is None
    assert remote.store_of(stores) == str(stores)
    assert not remote.is_address("httpd/one.ome.zarr")
    assert remote.is_address(" HTTPS://x/y.zarr")
