"""Batches, one step, the loop, checkpoints."""

from __future__ import annotations
