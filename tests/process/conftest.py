"""What the tests that kill processes share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def quick_folder(tmp_path):
    """A folder in memory where there is one: a kill leaves the same there, and a sync costs nothing."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="metadcseg-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server():
    """A process whose children do things to projects and are killed."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork and signals")
    from tests.process.crash_server import Server

    found = Server()
    yield found
    found.close()
