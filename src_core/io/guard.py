"""What keeps bad files from doing harm: sizes are looked at before memory is taken; what is wrong is one sentence."""

from __future__ import annotations

import math
import os
import shutil
import struct
import tarfile
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tifffile
from PIL import Image

from src_core.errors import FormatError, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_PIXELS = 200_000_000
"""Of one slice; files that claim more are refused before memory is taken for them."""

MAX_BYTES = 8 * 2**30
"""Of all the pixels of a file that is read whole."""

MAX_LAZY_BYTES = 2**40
"""Of all the pixels of a file that is read box by box."""

DEFLATE_RATIO = 1032
"""No more bytes than this come out of one byte that gzip or zip packed."""

_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    tifffile.TiffFileError,
    Image.DecompressionBombError,
)


def broken(path: Path | str, why: str = "") -> FormatError:
    """The error for a file that makes no sense."""
    reason = f" ({why})" if why else ""
    return FormatError(
        f"{path} cannot be read: the file is broken or not what its name says{reason}; replace or remove it."
    )


@contextmanager
def reading(path: Path, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a reader stumbles over into one sentence.

    Parameters
    ----------
    path : Path
    *more : type
        Errors of a library of its own, beyond those of Python.

    Raises
    ------
    FormatError
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FormatError:
        raise
    except PermissionError as error:
        raise FormatError(f"{path} cannot be read: permission was denied; change its permissions.") from error
    except (*_UNREADABLE, *more) as error:
        raise broken(path) from error


def check_claim(
    path: Path, shape: Sequence[int], itemsize: int, stored: int | None = None, *, lazily: bool = False
) -> int:
    """Bytes that the pixels of a file take, if that can be.

    Parameters
    ----------
    path : Path
    shape : sequence of int
        As the header says.
    itemsize : int
        Bytes a pixel.
    stored : int, optional
        The most bytes that can come out of the file.
    lazily : bool
        It is never read whole, so it may be as large as a disk can hold.

    Raises
    ------
    FormatError
        If it has no pixels, claims too many, or more than are in the file.
    """
    words = " x ".join(map(str, shape))
    if not shape or any(side < 1 for side in shape):
        raise FormatError(f"{path} has no pixels (its size is {words or 'not given'}); replace or remove it.")
    sides = sorted(shape)[-2:]
    if math.prod(sides) > MAX_PIXELS and not lazily:
        raise FormatError(f"{path} claims to be {words} px; expected at most {MAX_PIXELS // 10**6} megapixels a slice.")
    size = math.prod(shape) * itemsize
    most = MAX_LAZY_BYTES if lazily else MAX_BYTES
    if size > most:
        raise FormatError(
            f"{path} claims to be {words} px, {size / 2**30:.1f} GiB; expected at most {most // 2**30} GiB."
        )
    if stored is not None and size > stored:
        raise broken(path, f"it claims to be {words} px and is too short for that")
    return size


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a path that leads out of a folder, by ``..`` or by a link.

    Raises
    ------
    FormatError
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FormatError(f"{path} leads out of {folder}; put the file itself there.")


def check_tree(folder: Path, most: int = 1_000_000) -> None:
    """Refuse a folder with links that lead out of it.

    Raises
    ------
    FormatError
    """
    base = folder.resolve()
    count = 0
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            count += 1
            path = os.path.join(here, name)
            if os.path.islink(path) and not os.path.realpath(path).startswith(f"{base}{os.sep}"):
                raise FormatError(f"{path} is a link that leads out of {folder}; put the file itself there.")
        if count > most:
            raise FormatError(f"{folder} holds more than {most} files; expected one image.")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside a path to write to, that replaces it when all went well.

    Raises
    ------
    StorageError
        If the disk is full or may not be written.
    """
    partial = path.with_name(f".partial-{path.name}")
    with storage_errors(path, "Files written before it are complete."):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(partial, path)
        finally:
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)
