"""The project on disk: one SQLite record, one zarr store, and the runs."""

from __future__ import annotations
