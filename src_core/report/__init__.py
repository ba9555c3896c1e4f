"""The report on a cleaned project: figures gathered once, written as a page for people and as JSON for programs."""

from __future__ import annotations
