"""The training process and its client."""

from __future__ import annotations
