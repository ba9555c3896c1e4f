"""OME-Zarr stores at an address (http, https, s3): read only, and only those that a person names.

What a store says of itself, some kilobytes, is fetched into a folder of its own, which then stands for the store like
any other; pixels are fetched when they are asked for. Nothing is ever sent but what is asked for.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src_core.errors import FormatError
from src_core.io.guard import broken

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

SCHEMES = ("http://", "https://", "s3://")
CONNECT = 10.0
"""A server that takes no connection for so long is given up, s."""

ANSWER = 30.0
"""A server that says nothing for so long is given up, s."""

TRIES = 2
"""So often an s3 server is asked; it has the times above for all of them together."""

MAX_META = 8 * 2**20

_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
_ADDRESSES: dict[Path, str] = {}


class DeniedError(FormatError):
    """The server does not let us read; some say so, too, of what is not there."""


def is_address(text: str) -> bool:
    """True for what is no path on this machine."""
    return text.strip().lower().startswith(SCHEMES)


def address_of(path: Path) -> str | None:
    """The address that a folder, or one in it, stands for; None for those of this machine."""
    for folder in (path, *path.parents):
        if folder in _ADDRESSES:
            rest = path.relative_to(folder).as_posix()
            return _ADDRESSES[folder] if rest == "." else f"{_ADDRESSES[folder]}/{rest}"
    return None


def told(path: Path) -> str:
    """What to write down of where a file was: its address, or its absolute path."""
    return address_of(path) or str(path.resolve())


def stand_in(address: str) -> tuple[Path, bool]:
    """The folder that stands for an address, and whether it is new and has to be filled."""
    address = address.strip().rstrip("/")
    known = next((folder for folder, given in _ADDRESSES.items() if given == address), None)
    if known is not None:
        return known, False
    keeper = tempfile.TemporaryDirectory(prefix="metadcseg-address-")  # removed when the program ends
    folder = Path(keeper.name).resolve() / (address.rpartition("/")[2] or "store")
    folder.mkdir()
    _FOLDERS.append(keeper)
    _ADDRESSES[folder] = address
    return folder, True


def forget(folder: Path) -> None:
    """Let go of a folder that could not be filled."""
    _ADDRESSES.pop(folder, None)


def fetch(path: Path) -> bytes | None:
    """A small file of a store at an address; None when it has none.

    Raises
    ------
    DeniedError
        If the server does not let us read it.
    FormatError
        If the server cannot be reached, there is no such bucket, or the file is too large for what it should be.
    """
    address = address_of(path)
    assert address is not None
    with reaching(path):
        try:
            content: bytes = _file_system(address).cat_file(address)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                bucket = address.partition("://")[2].partition("/")[0]
                raise FormatError(
                    f"There is no bucket {bucket} for {_store_address(path)}; check the address, and the server if "
                    "AWS_ENDPOINT_URL names one."
                ) from error
            return None
    if len(content) > MAX_META:
        raise broken(address)
    return content


def store_of(path: Path) -> Any:
    """What zarr opens: the path itself, or a store that reads from its address."""
    address = address_of(path)
    if address is None:
        return str(path)
    with reaching(path):
        from zarr.storage import FsspecStore

        store = FsspecStore.from_url(address, storage_options=_options(address), read_only=True)
        _try_once(store.fs, address)
        return store


def _file_system(address: str) -> Any:
    import fsspec

    system = fsspec.filesystem(address.partition("://")[0].lower(), **_options(address))
    _try_once(system, address)
    return system


def _try_once(system: Any, address: str) -> None:
    """Leave trying again to the client below: both together would wait for minutes."""
    if _is_s3(address):
        system.retries = 1


def _is_s3(address: str) -> bool:
    return address.lower().startswith("s3://")


def _has_credentials() -> bool:
    return any(name in os.environ for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"))


def _options(address: str) -> dict[str, Any]:
    if _is_s3(address):
        limits = {
            "connect_timeout": CONNECT / TRIES,
            "read_timeout": ANSWER / TRIES,
            "retries": {"total_max_attempts": TRIES, "mode": "standard"},
        }
        return {"anon": not _has_credentials(), "config_kwargs": limits}
    import aiohttp

    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_connect=CONNECT, sock_read=ANSWER)}}


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Turn what goes wrong on the way to an address into one sentence; of a path of this machine, nothing.

    Raises
    ------
    FormatError
    """
    address = address_of(path)
    if address is None:
        yield
        return
    try:
        yield
    except FileNotFoundError:
        raise
    except ImportError as error:
        extra, package = ("s3", "s3fs") if _is_s3(address) else ("remote", "aiohttp")
        raise FormatError(
            f"Reading {address} needs the package {error.name or package}, which is not installed; install it with: "
            f"pip install 'napari-metadcseg[{extra}]'."
        ) from error
    except PermissionError as error:
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who may read it"
        if _has_credentials():
            remedy = "see that the credentials of the environment may read it"
        raise DeniedError(
            f"{_store_address(path)} may not be read, or is not there: the server answered "
            f"{str(error) or 'Forbidden'}; check the address, and {remedy}."
        ) from error
    except _errors() as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, TimeoutError) or type(error).__name__ in ("ReadTimeoutError", "ConnectTimeoutError"):
            why = f"no answer within {ANSWER:g} s"
        raise FormatError(
            f"{address} cannot be read over the network ({why}); check the address and the connection, then try again."
        ) from error


def _store_address(path: Path) -> str:
    """Of the store that a file is in."""
    return next(address for folder, address in _ADDRESSES.items() if path == folder or folder in path.parents)


def _code(error: Exception) -> str:
    """What an s3 server calls what went wrong; empty of others."""
    answer = getattr(error.__cause__, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def _errors() -> tuple[type[Exception], ...]:
    """What network libraries raise, of those that are installed."""
    found: list[type[Exception]] = [OSError]
    try:
        import aiohttp

        found.append(aiohttp.ClientError)
    except ImportError:
        logger.debug("aiohttp is not installed")
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError]
    except ImportError:
        logger.debug("botocore is not installed")
    return tuple(found)
