"""Losses with a weight for every pixel."""

from __future__ import annotations
