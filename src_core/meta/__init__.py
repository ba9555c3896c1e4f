"""Pixel weights from one forward-mode derivative, and their memory."""

from __future__ import annotations
