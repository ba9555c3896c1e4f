"""Overlap, boundary distance, and detection of wrong labels."""

from __future__ import annotations
