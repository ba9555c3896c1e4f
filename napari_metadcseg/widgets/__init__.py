"""Small widgets, one a file. They hold no data: the controller does."""

from __future__ import annotations
