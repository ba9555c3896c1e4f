"""Reads of a large volume what comes next, while somebody looks at what lies before it.

In a thread of its own and from a reader of its own, as levels are made; the thread knows nothing of Qt.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from napari_metadcseg.layers.blocks import EDGE
from src_core.data.case import Box
from src_core.data.slices import sliced
from src_core.errors import MetaDCSegError
from src_core.store.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_metadcseg.layers.blocks import Blocks
    from napari_metadcseg.layers.volume_pixels import Reading

    Arrays = Sequence[tuple[Blocks, Reading]]

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds to wait for the thread when it is told to stop; a step takes some milliseconds."""


class _Reader(threading.Thread):
    """Reads boxes of some arrays whenever it is asked to; others that it was asked for before are given up then."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="ahead", daemon=True)
        self._path = path
        self._told = threading.Condition()
        self._asked = self._done = 0
        self._stopping = False
        self._wanted: tuple[Arrays, list[Box]] = ((), [])

    @property
    def busy(self) -> bool:
        """True until all is read that was asked for."""
        return self._done != self._asked and self.is_alive()

    def ask(self, arrays: Arrays, boxes: list[Box]) -> None:
        """Read boxes from now on."""
        with self._told:
            self._wanted = arrays, boxes
            self._asked += 1
            self._told.notify()

    def stop(self) -> None:
        """End after the row that is being read."""
        with self._told:
            self._stopping = True
            self._told.notify()

    def run(self) -> None:
        try:
            with Project.open(self._path) as reader:
                while self._next():
                    self._read(reader)
        except MetaDCSegError as error:  # the window reads it again when it is seen, and says so
            logger.info("Not read ahead: %s", error)
        except Exception:
            logger.exception("Not read ahead.")

    def _next(self) -> bool:
        """Wait until something is to be read; False at the end."""
        with self._told:
            self._told.wait_for(lambda: self._stopping or self._done != self._asked)
        return not self._stopping

    def _read(self, reader: Project) -> None:
        with self._told:
            asked, (arrays, boxes) = self._asked, self._wanted
        for place, box in enumerate(boxes):
            for blocks, reading in arrays:
                if place < blocks.ahead:
                    blocks.fetch(box, reading(reader), lambda: self._stopping or self._asked != asked)
        self._done = asked


class Ahead:
    """Follows somebody through the slices of a volume."""

    def __init__(self) -> None:
        self._reader: _Reader | None = None
        self._at = (0, -1)
        self._next: tuple[int, ...] = ()

    @property
    def busy(self) -> bool:
        """True while something is read."""
        return self._reader is not None and self._reader.busy

    def look(self, path: Path, arrays: Arrays, shape: tuple[int, ...], axis: int, at: int, later: int | None) -> None:
        """Somebody looks at a slice: read what they may look at next.

        Parameters
        ----------
        path : Path
            Of the project.
        arrays : sequence of (Blocks, callable)
            What is shown.
        shape : tuple of int
        axis, at : int
            The slice. What lies after it is read, or before it if they go back.
        later : int, optional
            The slice that the queue leads to next, which is read first.
        """
        forward = self._at[0] != axis or at >= self._at[1]
        self._at = axis, at
        here = at // EDGE
        slabs = dict.fromkeys((here if later is None else later // EDGE, here + (1 if forward else -1)))
        wanted = axis, *(slab for slab in slabs if slab != here and 0 <= slab * EDGE < shape[axis])
        if wanted == self._next:
            return
        self._next = wanted
        whole = Box.whole(shape)
        boxes = [sliced(whole, axis, slab * EDGE, min((slab + 1) * EDGE, shape[axis])) for slab in wanted[1:]]
        if self._reader is None:
            self._reader = _Reader(path)
            self._reader.start()
        self._reader.ask(arrays, boxes)

    def again(self) -> None:
        """What is read may be of what was recorded before: read it again when somebody looks on."""
        self._next = ()

    def stop(self) -> None:
        """Leave what is read; nothing of the project is in use afterwards."""
        if self._reader is not None:
            self._reader.stop()
            self._reader.join(PATIENCE)
        self._reader, self._next = None, ()
