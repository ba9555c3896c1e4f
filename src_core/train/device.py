"""The device that a setting names, said in words, and how many threads leave the window its share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from src_core.errors import SettingsError

_TOPOLOGY = Path("/sys/devices/system/cpu")


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
    return f"CPU, {_threads(torch.get_num_threads())}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def device_list() -> list[dict[str, Any]]:
    """Devices of this machine, the one that ``auto`` takes first.

    Returns
    -------
    list of dict
        ``device`` (of the settings), ``index`` (of a CUDA device, or null), ``name`` (for a person), ``free_bytes``
        (or null where it cannot be known).
    """
    found: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, _ = torch.cuda.mem_get_info(index)
        name = f"GPU {torch.cuda.get_device_name(index)}"
        found.append({"device": "cuda", "index": index, "name": name, "free_bytes": int(free)})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "index": None, "name": "Apple GPU", "free_bytes": None})
    name = f"CPU, {_threads(window_threads())}"
    found.append({"device": "cpu", "index": None, "name": name, "free_bytes": None})
    return found


def window_threads() -> int:
    """Threads that leave one core to the window: physical cores that we may use, less one, at least one."""
    return max(physical_cores() - 1, 1)


def physical_cores() -> int:
    """Cores that this process may run on, two threads of one core counted once where the system tells (Linux)."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core(number) for number in allowed}
    return max(len(cores), 1)


def _core(number: int) -> str:
    try:
        return (_TOPOLOGY / f"cpu{number}/topology/thread_siblings_list").read_text(encoding="ascii").strip()
    except OSError:
        return str(number)
