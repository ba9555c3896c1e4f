"""Work that takes longer than the window may wait."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker

from src_core.errors import MetaDCSegError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


def run_in_background(work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
    """Run ``work`` in a thread; call ``done`` with its result or ``failed`` with a sentence, in the window's thread."""
    result: dict[str, Any] = {}

    def guarded() -> None:
        try:
            result["value"] = work()
        except MetaDCSegError as error:
            result["problem"] = str(error)
        except Exception as error:
            logger.exception("Background work failed.")
            result["problem"] = f"This failed unexpectedly: {type(error).__name__}: {error}."

    def finished() -> None:
        if "problem" in result:
            failed(result["problem"])
        else:
            done(result.get("value"))

    worker = create_worker(guarded, _start_thread=False)
    worker.finished.connect(finished)
    worker.start()
