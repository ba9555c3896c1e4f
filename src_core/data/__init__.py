"""Cases, classes, label noise and phantoms: plain arrays, no files."""

from __future__ import annotations
