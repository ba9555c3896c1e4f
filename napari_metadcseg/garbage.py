"""Keeps Python's search for garbage short, which stops the window while it lasts.

Now and then Python goes through all objects there are for cycles that nobody uses any more. With napari loaded that
took 0.4 to 0.7 s (`benchmarks/worker/lateness.py`), in the middle of whatever the person does. Nearly all of these
objects are code, there before the first image is and until napari ends, so they are not gone through again.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import napari


class SetAside:
    """What there is already is not searched for garbage until :meth:`release`.

    Nothing is set aside beside layers of the person's own: these would stay in memory after they were removed.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    _holders: ClassVar[set[int]] = set()

    def __init__(self, viewer: napari.Viewer) -> None:
        if not viewer.layers:
            self._holders.add(id(self))
            gc.freeze()

    def release(self) -> None:
        """Search everything again, once nobody else has set anything aside; may be called twice."""
        if id(self) in self._holders:
            self._holders.remove(id(self))
            if not self._holders:
                gc.unfreeze()
