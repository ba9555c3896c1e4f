"""Files in and out, one format a module."""

from __future__ import annotations
