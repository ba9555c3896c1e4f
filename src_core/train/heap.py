"""Memory of the process that nobody uses any more."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def give_back() -> None:
    """Give it back to the operating system, in some hundredths of a second.

    The C library of Linux keeps what was freed in blocks of up to 32 MB, for later. After a network has looked at a
    tile of 512 px that was half a gigabyte, beside which the layers of the next one have to find room.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of glibc; None where there is another C library."""
    if sys.platform != "linux":
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return None
    return found
