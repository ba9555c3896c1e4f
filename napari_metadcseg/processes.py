"""Commands that run in a process of their own, since they may load a model."""

from __future__ import annotations

import subprocess
import sys

from napari_metadcseg.background import CutOffError, check
from src_core.errors import WorkerError

ASKED_EVERY = 0.1
"""Seconds between looks at whether the window is being closed."""


def said_by(*arguments: str) -> str:
    """Run ``metadcseg`` with these arguments and wait for it; what it said.

    When the window is closed meanwhile the process is ended; what it had written whole stays.

    Raises
    ------
    WorkerError
        With the sentence of the process, if it failed.
    """
    command = [sys.executable, "-m", "src_core", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said, complaint = _heard(process)
        except CutOffError:
            process.kill()
            raise
    if process.returncode:
        lines = complaint.strip().splitlines()
        raise WorkerError(lines[-1] if lines else f"{arguments[0]} ended with exit status {process.returncode}.")
    return said.strip()


def _heard(process: subprocess.Popen[str]) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=ASKED_EVERY)
        except subprocess.TimeoutExpired:
            check()
