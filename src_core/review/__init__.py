"""Suspect regions, the queue, decisions."""

from __future__ import annotations
