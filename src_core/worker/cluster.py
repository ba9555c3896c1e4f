"""A connection to a Dask cluster whose workers see the project that we see.

Dask's own configuration holds: certificates (``distributed.comm.tls``), whether connections must be encrypted
(``distributed.comm.require-encryption``), how long to wait. Nothing here opens a port.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from src_core import __version__
from src_core.errors import InputError, MetaDCSegError, WorkerError, storage_errors
from src_core.worker import cluster_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from distributed import Client, Future

logger = logging.getLogger(__name__)

NO_WORKERS_FOR = 60.0
"""Seconds without any worker after which nobody is waited for any more."""

FIRST_WORKER = 10.0
"""Seconds that the first worker may take to appear."""

_LOST = (
    "The connection to the Dask scheduler was lost; what was there before is kept. Look after the scheduler, then try "
    "again."
)
_SETTINGS = (
    "ca-file, client.cert and client.key under distributed.comm.tls in ~/.config/dask, or the variables "
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …TLS__CLIENT__CERT and …TLS__CLIENT__KEY"
)
_ADDRESS = re.compile(r"^([a-z]+://)?(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}$")


class Cluster:
    """Workers that see a project.

    Parameters
    ----------
    client : Client
    hosts : list of str or None
        Where they are, if not all workers see it.

    Attributes
    ----------
    token : str
        Names what belongs to this piece of work, on all workers.
    notice : str
        One sentence of workers that do not take part; else empty.
    """

    def __init__(self, client: Client, token: str, hosts: list[str] | None, notice: str) -> None:
        self.client = client
        self.token = token
        self.notice = notice
        self._hosts = hosts
        self._alone_since: float | None = None

    def workers(self) -> dict[str, Any]:
        """What the scheduler knows of the workers that take part, by address."""
        found: dict[str, Any] = self.client.scheduler_info()["workers"]
        return {at: worker for at, worker in found.items() if self._hosts is None or worker["host"] in self._hosts}

    def submit(self, work: Callable[..., Any], *arguments: Any, name: str, gpu: bool = False, **more: Any) -> Future:
        """Have one of the workers do something; again by another one if it is lost."""
        return self.client.submit(
            work,
            *arguments,
            key=f"metadcseg-{name}-{self.token}",
            pure=False,
            workers=self._hosts,
            resources={"GPU": 1} if gpu else None,
            **more,
        )

    def everywhere(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call something on all workers, at once and beside their work."""
        self.client.run(call, *arguments, on_error="ignore")

    def watch(self) -> None:
        """Look whether there is still somebody to wait for; call it again and again.

        Raises
        ------
        WorkerError
            If the scheduler is gone, or all workers are and for a minute no other has come.
        """
        if self.client.status not in ("running", "connecting"):
            raise WorkerError(_LOST)
        if self.client.status == "connecting" or self.workers():
            self._alone_since = None
            return
        self._alone_since = self._alone_since or time.monotonic()
        if time.monotonic() - self._alone_since > NO_WORKERS_FOR:
            raise WorkerError(
                "All Dask workers are gone, and no other came within a minute; start some with 'dask worker ADDRESS' "
                "and try again."
            )


@contextmanager
def connected(address: str, project: Path) -> Iterator[Cluster]:
    """Connect with a scheduler, and find the workers that see a project.

    Parameters
    ----------
    address : str
        ``HOST:PORT``, ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` of the scheduler.
    project : Path
        Its folder, absolute.

    Raises
    ------
    InputError
        If Dask is not installed, its certificates do not fit, nobody answers at the address, or no worker sees the
        project.
    WorkerError
        If the cluster is lost later.
    """
    client, token = _client(address), uuid.uuid4().hex[:12]
    try:
        with _dask_errors():
            hosts, notice = _who_sees(client, project, token)
            cluster = Cluster(client, token, hosts, notice)
            try:
                yield cluster
            finally:
                with suppress(OSError, RuntimeError):
                    cluster.everywhere(cluster_part.forget, token)
    finally:
        client.close()


def _client(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            "Dask is not installed here, so nothing can be done on a cluster; install it with: pip install "
            "'napari-metadcseg[cluster]'."
        ) from error
    if not _ADDRESS.match(address):
        raise InputError(
            f"{address!r} is no address of a Dask scheduler; expected HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT, "
            "as the scheduler prints it when it starts."
        )
    _check_certificates(address)
    try:
        return Client(address, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(_refusal(address, _words(error))) from error


def _check_certificates(address: str) -> None:
    """Refuse at once what Dask would try for a while."""
    from distributed.security import Security

    try:
        context = Security().get_connection_args("client")["ssl_context"]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"The certificates that Dask is told of here cannot be used ({_words(error)}); correct {_SETTINGS}."
        ) from error
    if context is None and address.startswith("tls://"):
        raise InputError(
            f"{address} is talked to with certificates, and Dask is told of none here; name them by {_SETTINGS}."
        )


def _refusal(address: str, words: str) -> str:
    if "certificate" in words.lower():
        return (
            f"The Dask scheduler at {address} and this computer do not accept each other's certificates; both must be "
            f"signed by what ca-file holds. See {_SETTINGS}."
        )
    more = "" if address.startswith("tls://") else " One that was started with certificates is at tls://HOST:PORT."
    return (
        f"No Dask scheduler can be talked to at {address} ({words}); start one with 'dask scheduler', or see that "
        f"address, certificates and firewall fit.{more}"
    )


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".").splitlines()[0] if str(error).strip() else type(error).__name__


def _who_sees(client: Client, project: Path, token: str) -> tuple[list[str] | None, str]:
    """Hosts of the workers that see the project, None for all, and what to say of the others."""
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER)
    except TimeoutError as error:
        address = client.scheduler.address
        raise InputError(
            f"The Dask scheduler at {address} has no workers; start some with 'dask worker {address}'."
        ) from error
    (project / "runs").mkdir(exist_ok=True)
    mark = project / "runs" / (cluster_part.SEEN + token)
    with storage_errors(mark, "Nothing was sent to the cluster."):
        mark.touch()
    try:
        found = client.run(cluster_part.look, str(project), token, on_error="return")
        versions = client.run(cluster_part.version, on_error="return")
    finally:
        mark.unlink(missing_ok=True)
    blind = {at: _why_not(found[at], versions.get(at, __version__)) for at in found}
    blind = {at: why for at, why in blind.items() if why}
    seeing = sorted(set(found) - set(blind))
    listed = "; ".join(f"{at}: {why}" for at, why in sorted(blind.items())[:5])
    if not seeing:
        raise InputError(
            f"No Dask worker can work at {project} ({listed}); the project must lie on a disk that all machines share, "
            "under the same path, and this version must be installed on each."
        )
    if not blind:
        return None, ""
    known = client.scheduler_info()["workers"]
    notice = f"{len(blind)} of {len(found)} Dask workers cannot work at {project} and take no part ({listed})."
    return sorted({known[at]["host"] for at in seeing if at in known}), notice


def _why_not(looked: object, version: object) -> str:
    if isinstance(looked, ModuleNotFoundError):
        return "napari-metadcseg is not installed"
    for answer in (looked, version):
        if isinstance(answer, BaseException):
            return _words(answer) if isinstance(answer, Exception) else type(answer).__name__
    return str(looked) or ("" if version == __version__ else f"it has version {version}, not {__version__}")


@contextmanager
def _dask_errors() -> Iterator[None]:
    """Say in a sentence how a cluster was lost."""
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker, NoValidWorkerError

    try:
        yield
    except MetaDCSegError:
        raise
    except (KilledWorker, NoValidWorkerError) as error:
        raise WorkerError(
            "Several Dask workers in a row ended with the same piece of work, most often because memory ran out; give "
            "workers more memory (dask worker --memory-limit), and see their own messages."
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise WorkerError(_LOST) from error
