"""OME-Zarr stores in a bucket, on an S3 server of this machine."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from src_core.errors import FormatError
from src_core.io import ome_zarr, remote
from src_core.io.lazy import LazyArray
from src_core.io.remote_stores import opened_at
from src_core.io.sources import open_image
from src_core.store.create import create_from_folders
from src_core.store.verify import problems_of
from tests.core.test_big_reading import IMAGE, MASK, ome
from tests.core.test_remote import listed, problem

s3fs = pytest.importorskip("s3fs")
boto3 = pytest.importorskip("boto3")
server = pytest.importorskip("moto.server")

KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}


KEPT: list[dict[str, object]] = []


def forget_connections():
    """Let the next one be made of what the environment says then; the old ones are closed when the tests end."""
    KEPT.append(dict(s3fs.S3FileSystem._cache))
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(autouse=True)
def strangers(monkeypatch, tmp_path):
    """Nobody's credentials and settings are used; no file system is left over from another test."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(remote, "_ADDRESSES", {})
    forget_connections()
    yield
    forget_connections()


@pytest.fixture(scope="module")
def running():
    """Address of an S3 server on loopback."""
    found = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    host, port = found.get_host_and_port()
    yield f"http://{host}:{port}"
    found.stop()


@pytest.fixture(scope="module")
def client(running):
    """Somebody who may write there."""
    names = {"aws_access_key_id": "somebody", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    found = boto3.client("s3", endpoint_url=running, **names)
    yield found
    found.close()


@pytest.fixture(scope="module")
def buckets(client, tmp_path_factory):
    """One that everybody may read, one that strangers may not."""
    folder = tmp_path_factory.mktemp("stores")
    ome(folder / "one.ome.zarr", np.moveaxis(IMAGE, -1, 0)[None], "zcyx", labels=MASK[None])
    ome(folder / "two.ome.zarr", IMAGE, "yxc")
    ome(folder / "masks.ome.zarr", MASK, "yx")
    for bucket, rights in (("open", "public-read"), ("closed", "private")):
        client.create_bucket(Bucket=bucket, ACL=rights)
        for path in folder.rglob("*"):
            if path.is_file():
                key = path.relative_to(folder).as_posix()
                client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL=rights)
    return folder


@pytest.fixture
def stores(buckets, running, monkeypatch):
    """The folder of the same stores on this machine; the server is named as people name it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", running)
    return buckets


@pytest.mark.parametrize(("bucket", "keys"), [("open", {}), ("closed", KEYS)])
def test_a_project_from_a_bucket_is_that_from_a_folder(tmp_path, stores, monkeypatch, bucket, keys):
    """As a stranger, and with credentials of the environment."""
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    there = create_from_folders(tmp_path / "there", listed(tmp_path / "there.csv", f"s3://{bucket}"))[0]
    with there, create_from_folders(tmp_path / "here", listed(tmp_path / "here.csv", stores))[0] as here:
        for case in there.cases:
            twin = here.case(case.name)
            assert there.digests(case) == here.digests(twin)
            assert (case.shape, case.spacing, case.encoding) == (twin.shape, twin.spacing, twin.encoding)
        assert there.case("one").image_path == f"s3://{bucket}/one.ome.zarr"
        assert problems_of(there) == []


def test_pixels_of_a_bucket_are_fetched_when_they_are_asked_for(stores, monkeypatch):
    monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0)
    picture = open_image(opened_at("s3://open/two.ome.zarr"))
    assert isinstance(picture.pixels, LazyArray)
    assert np.array_equal(picture.pixels[(slice(3, 30), slice(5, 18))], IMAGE[3:30, 5:18])


# ------------------------------------------------------------------ what goes wrong is one sentence


def test_no_such_bucket(tmp_path, stores):
    assert problem(tmp_path, "s3://nobody/two.ome.zarr") == (
        "There is no bucket nobody for s3://nobody/two.ome.zarr; check the address, and the server if "
        "AWS_ENDPOINT_URL names one."
    )


def test_no_such_store(tmp_path, stores):
    assert problem(tmp_path, "s3://open/three.ome.zarr") == (
        "There is no OME-Zarr image at s3://open/three.ome.zarr; check the address."
    )


def test_a_stranger_is_told_how_to_say_who_they_are(tmp_path, stores):
    assert problem(tmp_path, "s3://closed/two.ome.zarr") == (
        "s3://closed/two.ome.zarr may not be read, or is not there: the server answered Forbidden; check the address, "
        "and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who may read it."
    )


def test_a_profile_that_is_not_there_is_named(tmp_path, stores, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "colleague")
    assert "(The config profile (colleague) could not be found)" in problem(tmp_path, "s3://open/two.ome.zarr")


# what a server of a cloud does and the one above does not, by hand


@contextmanager
def answering(answer):
    """A server that answers as it is told: with a status, or by closing the connection; who asked for what."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            found = answer(self.path)
            if found is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, body = found
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_args):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}", asked
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def files_only(folder):
    """What a bucket answers that lets strangers read, but not list: of what is missing, too, that it is denied."""

    def answer(path):
        file = folder / path.partition("?")[0].removeprefix("/slides/")
        return (200, file.read_bytes()) if file.is_file() and "?" not in path else (403, DENIED)

    return answer


def test_a_bucket_that_strangers_may_read_but_not_list(buckets, monkeypatch):
    """There what is missing is denied, and a store without labels lacks their description."""
    with answering(files_only(buckets)) as (url, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        picture = open_image(opened_at("s3://slides/two.ome.zarr"))
        assert np.array_equal(np.asarray(picture.pixels), IMAGE)
        assert "/slides/two.ome.zarr/labels/zarr.json" in asked
        with pytest.raises(remote.DeniedError, match="may not be read, or is not there"):
            opened_at("s3://slides/three.ome.zarr")


def test_a_chunk_that_is_denied_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    """Where nobody says what is missing, zeros would be a guess."""
    ome(tmp_path / "empty.ome.zarr", np.zeros_like(MASK), "yx")
    with answering(files_only(tmp_path)) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(remote.DeniedError):
            np.asarray(open_image(opened_at("s3://slides/empty.ome.zarr")).pixels)


def test_wrong_credentials_are_said(tmp_path, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with answering(lambda _path: (403, DENIED)) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        sentence = problem(tmp_path, "s3://slides/two.ome.zarr")
    assert sentence.startswith("s3://slides/two.ome.zarr may not be read, or is not there")
    assert sentence.endswith("see that the credentials of the environment may read it.")


def test_a_connection_that_is_dropped_is_tried_twice_and_said(tmp_path, monkeypatch):
    with answering(lambda _path: None) as (url, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        sentence = problem(tmp_path, "s3://slides/two.ome.zarr")
    assert "s3://slides/two.ome.zarr/zarr.json cannot be read over the network (" in sentence
    assert "check the address and the connection" in sentence
    # as image and as mask; the HTTP client below may ask once more by itself each time
    assert remote.TRIES * 2 <= len(asked) <= remote.TRIES * 4


def test_a_connection_that_drops_among_the_pixels_makes_no_picture(buckets, monkeypatch):
    monkeypatch.setattr(ome_zarr, "LAZY_FROM", 0)
    whole = files_only(buckets)
    with answering(lambda path: None if "/c/" in path else whole(path)) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        picture = open_image(opened_at("s3://slides/two.ome.zarr"))
        with pytest.raises(FormatError, match=r"two\.ome\.zarr.* cannot be read over the network"):
            np.asarray(picture.pixels)


def test_nobody_and_a_silent_server_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "ANSWER", 0.4)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "Could not connect to the endpoint URL" in problem(tmp_path, "s3://slides/two.ome.zarr")
        forget_connections()
        silent.listen()
        start = time.monotonic()
        assert "no answer within 0.4 s" in problem(tmp_path, "s3://slides/two.ome.zarr")
        assert time.monotonic() - start < 20  # tried over and over it would be minutes
