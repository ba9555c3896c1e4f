"""Commands that run in a process of their own, since they may load a model."""

from __future__ import annotations

import subprocess
import sys

from src_core.errors import WorkerError


def said_by(*arguments: str) -> str:
    """Run ``metadcseg`` with these arguments and wait for it; what it said.

    Raises
    ------
    WorkerError
        With the sentence of the process, if it failed.
    """
    process = subprocess.run(
        [sys.executable, "-m", "src_core", *arguments], capture_output=True, text=True, check=False
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        raise WorkerError(lines[-1] if lines else f"{arguments[0]} ended with exit status {process.returncode}.")
    return process.stdout.strip()
