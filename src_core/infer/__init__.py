"""Prediction and score maps."""

from __future__ import annotations
