"""How the processes that ``torchrun`` has started become the ranks of one run."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import torch
from torch import distributed

from src_core.errors import InputError, SettingsError, TrainingError
from src_core.train.device import choose_device
from src_core.train.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others, as while the first one writes a checkpoint to a slow disk."""

_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def joined(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """The ranks of this run: those that the environment tells of, else one process alone.

    Parameters
    ----------
    device : str
        Of the settings. With CUDA each rank takes the device of its number on its machine.
    environment : mapping, optional
        ``WORLD_SIZE``, ``RANK``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` as torchrun sets them.

    Raises
    ------
    InputError, SettingsError
        If the variables are incomplete, or the device cannot be shared.
    TrainingError
        If the processes do not find each other.
    """
    size = _number(environment, "WORLD_SIZE", "1")
    if size <= 1:
        yield ALONE
        return
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start the processes with torchrun, or unset "
            "WORLD_SIZE to train with one."
        )
    with joined_at(_number(environment, "RANK"), size, device, local=_number(environment, "LOCAL_RANK", "0")) as ranks:
        yield ranks


@contextmanager
def joined_at(rank: int, size: int, device: str, *, local: int = 0, method: str = "env://") -> Iterator[Ranks]:
    """Become one of so many ranks.

    Parameters
    ----------
    rank, size : int
    device : str
        Of the settings.
    local : int
        Number of the rank on its machine.
    method : str
        Where the ranks meet, as torch writes it.
    """
    kind = choose_device(device).type
    if kind == "mps":
        raise SettingsError("Several processes train on CPUs or CUDA devices; choose --device cpu, or one process.")
    if kind == "cuda":
        _take_gpu(local)
    _stay_on_loopback()
    try:
        backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
        distributed.init_process_group(backend, init_method=method, rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"Process {rank + 1} of {size} did not find the others ({error}); start all of them with torchrun, and "
            "let the machines reach each other."
        ) from error
    try:
        with _ended_in_words():
            yield Ranks(rank, size)
    finally:
        distributed.destroy_process_group()


@contextmanager
def _ended_in_words() -> Iterator[None]:
    """Say why when torchrun ends this process, as it does with all when one of them has ended.

    Once something is on its way to be said, nothing more is heard until it is; torchrun waits half a minute for that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TrainingError(
            "This process was told to end, as by torchrun when another process of this training has ended. Go on from "
            "the last checkpoint with --resume."
        )

    before = signal.signal(signal.SIGTERM, told)
    try:
        yield
    except TrainingError:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    signal.signal(signal.SIGTERM, before)


def _take_gpu(local: int) -> None:
    count = torch.cuda.device_count()
    if local >= count:
        raise SettingsError(
            f"This machine has {count} CUDA device{'s' * (count != 1)} and torchrun started at least {local + 1} "
            f"processes on it; use --nproc-per-node {count}, or --device cpu."
        )
    torch.cuda.set_device(local)


def _stay_on_loopback() -> None:
    """Processes of one machine talk on its loopback interface, unless somebody names another."""
    address = os.environ.get("MASTER_ADDR", "127.0.0.1")
    try:
        loopback = address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if loopback and sys.platform in ("linux", "darwin"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    text = environment.get(name, default)
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}, expected a whole number; start the processes with torchrun.") from error
