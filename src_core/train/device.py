"""The device that a setting names, said in words."""

from __future__ import annotations

import torch

from src_core.errors import SettingsError


def choose_device(name: str) -> torch.device:
    """Device of a setting; ``auto`` is CUDA, else MPS, else the CPU.

    Raises
    ------
    SettingsError
        If the device that was asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(key for key in ("cuda", "mps", "cpu") if available[key])
    if not available.get(name, False):
        there = ", ".join(key for key, present in available.items() if present)
        raise SettingsError(f"Device {name!r} is not available on this machine; use one of: auto, {there}.")
    return torch.device(name)


def describe(device: torch.device) -> str:
    """Name of a device for a person."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
