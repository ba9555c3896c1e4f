"""Reads of a large volume what comes next, while somebody looks at what lies before it.

In a thread of its own and from a reader of its own, as levels are made; the thread knows nothing of Qt.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from napari_metadcseg.layers.blocks import EDGE
from src_core.data.case import Box
from src_core.errors import MetaDCSegError
from src_core.review.windows import sliced
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


class _Task(threading.Thread):
    """Reads boxes of some arrays, until it is told to stop."""

    def __init__(self, path: Path, arrays: Arrays, boxes: list[Box]) -> None:
        super().__init__(name="ahead", daemon=True)
        self._path, self._arrays, self._boxes = path, arrays, boxes
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            with Project.open(self._path) as reader:
                for place, box in enumerate(self._boxes):
                    for blocks, reading in self._arrays:
                        if place < blocks.ahead:
                            blocks.fetch(box, reading(reader), self.stopping.is_set)
        except MetaDCSegError as error:  # the window reads it again when it is seen, and says so
            logger.info("Not read ahead: %s", error)
        except Exception:
            logger.exception("Not read ahead.")


class Ahead:
    """Follows somebody through the slices of a volume."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []
        self._at = (0, -1)
        self._next: tuple[int, ...] = ()

    @property
    def busy(self) -> bool:
        """True while something is read."""
        return any(task.is_alive() for task in self._tasks)

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
        self._leave()
        self._next = wanted
        whole = Box.whole(shape)
        boxes = [sliced(whole, axis, slab * EDGE, min((slab + 1) * EDGE, shape[axis])) for slab in wanted[1:]]
        if boxes:
            self._tasks.append(_Task(path, arrays, boxes))
            self._tasks[-1].start()

    def again(self) -> None:
        """What is read may be of what was recorded before: read it again when somebody looks on."""
        self._next = ()

    def _leave(self) -> None:
        """Let what is read end after its next row, without waiting for it."""
        self._tasks = [task for task in self._tasks if task.is_alive()]
        for task in self._tasks:
            task.stopping.set()

    def stop(self) -> None:
        """Leave what is read; nothing of the project is in use afterwards."""
        self._leave()
        for task in self._tasks:
            task.join(PATIENCE)
        self._tasks, self._next = [], ()
