"""What is freed goes back to the operating system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from src_core.train import heap


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.skipif(heap._trim() is None, reason="another C library than glibc")
def test_freed_blocks_are_given_back():
    blocks = [np.ones(2**13) for _ in range(2048)]  # 128 MB in blocks that stay in the heap
    kept = blocks[::32]  # what lies between keeps the heap from shrinking by itself
    full = resident()
    del blocks
    heap.give_back()
    assert full - resident() > 90e6
    assert len(kept) == 64


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    heap._trim.cache_clear()
    try:
        assert heap._trim() is None
        heap.give_back()
    finally:
        heap._trim.cache_clear()
