"""A Dask cluster with certificates: Dask's own settings are honoured, and what does not fit is one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from src_core.cli import main
from src_core.errors import InputError
from src_core.store.project import Project
from src_core.train.control import Control
from src_core.worker.cluster import connected
from src_core.worker.cluster_training import train_on_cluster

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")

# a cluster that is closed leaves sockets to the collector
pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl"),
]

ROOT = Path(__file__).parents[2]


def certificate(folder, name):
    """A certificate that is signed by itself, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", *made, "-subj", f"/CN={name}", "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return str(cert), str(key)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return {name: certificate(folder, name) for name in ("ours", "theirs")}


@pytest.fixture(scope="module")
def cluster(certificates):
    """One worker that talks with whom it knows."""
    cert, key = certificates["ours"]
    parts = {f"tls_{part}_{what}": cert if what == "cert" else key for part in PARTS for what in ("cert", "key")}
    security = distributed.Security(require_encryption=True, tls_ca_file=cert, **parts)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", protocol="tls", security=security,
        dashboard_address="127.0.0.1:0", silence_logs=50,
    ) as found:  # fmt: skip
        yield found


PARTS = ("scheduler", "worker", "client")


def environment(cert, key, ca=None):
    """What a person sets to be known."""
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    return {f"{prefix}CA_FILE": ca or cert, f"{prefix}CLIENT__CERT": cert, f"{prefix}CLIENT__KEY": key}


def told(variables):
    """The settings that Dask makes of these variables when it is loaded, for a short time to find nobody."""
    settings = {name.removeprefix("DASK_").lower().replace("__", "."): value for name, value in variables.items()}
    return dask.config.set(settings | {"distributed.comm.timeouts.connect": "2s"})


def test_training_and_scoring_with_certificates_of_the_environment(
    make_project, tiny, cluster, certificates, tmp_path, capsys
):
    path, settings = make_project(), tmp_path / "settings.json"
    settings.write_text(json.dumps({"settings": json.loads(tiny(epochs=1).to_json())}), encoding="utf-8")
    variables, address = environment(*certificates["ours"]), cluster.scheduler_address
    assert address.startswith("tls://127.0.0.1:")
    command = ["train", str(path), "--settings", str(settings), "--dask", address]
    subprocess.run([sys.executable, "-m", "src_core", *command], cwd=ROOT, env=os.environ | variables, check=True)
    with told(variables):
        assert main(["score", str(path), "--dask", address]) == 0
    assert "generation 1" in capsys.readouterr().out
    with Project.open(path) as project:
        assert project.run().has_scores
    listening = []
    with told(variables):
        train_on_cluster(
            path,
            None,
            tiny(epochs=1),
            address=address,
            listener=lambda message: listening.extend(listeners() if message.type == "progress" else ()),
            control=Control(),
        )
    assert listening  # scheduler, worker and its nanny
    assert {at for at in listening if not ip_address(at).is_loopback} == set()


def listeners():
    """Addresses at which this process and its children wait for others."""
    this = psutil.Process()
    return [
        found.laddr.ip
        for process in (this, *this.children(recursive=True))
        for found in process.net_connections("inet")
        if found.status == psutil.CONN_LISTEN
    ]


@pytest.mark.parametrize(
    ("who", "scheme", "said"),
    [
        ("theirs", "tls://", r"do not accept each other's certificates; both must be .* DASK_DISTRIBUTED__COMM__TLS"),
        ("ours", "tcp://", r"No Dask scheduler can be talked to at tcp://.* with certificates is at tls://HOST:PORT"),
        ("ours", "", r"No Dask scheduler can be talked to at 127.* with certificates is at tls://HOST:PORT"),
        ("nobody", "tls://", "is talked to with certificates, and Dask is told of none here; name them by ca-file"),
        ("nobody", "tcp://", r"with certificates is at tls://HOST:PORT"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, cluster, certificates, who, scheme, said):
    variables = environment(*certificates[who]) if who in certificates else {}
    address = scheme + cluster.scheduler_address.removeprefix("tls://")
    with told(variables), pytest.raises(InputError, match=said), connected(address, tmp_path):
        pass


def test_certificates_that_cannot_be_read_are_said(tmp_path, certificates):
    cert, key = certificates["ours"]
    (tmp_path / "broken.pem").write_text("nothing", encoding="utf-8")
    for wrong in (str(tmp_path / "missing.pem"), str(tmp_path / "broken.pem")):
        with (
            told(environment(cert, key, ca=wrong)),
            pytest.raises(InputError, match="The certificates that Dask is told of here cannot be used"),
            connected("tls://127.0.0.1:8786", tmp_path),
        ):
            pass


def test_a_scheduler_without_certificates_is_told_from_one_with(tmp_path, certificates):
    with (
        distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            processes=False,
            protocol="tcp",
        ) as plain,
        told(environment(*certificates["ours"])),
        pytest.raises(InputError, match="No Dask scheduler can be talked to at tls://"),
        connected(plain.scheduler_address.replace("tcp://", "tls://"), tmp_path),
    ):
        pass
