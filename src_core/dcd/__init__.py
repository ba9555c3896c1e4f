"""Dynamic Center Distance."""

from __future__ import annotations
