"""Runs something in a child process and stops it at every step in a folder: each system call that changes a file there.

By ptrace of Linux, with a seccomp filter that says which calls to stop at. The child can be killed before any step, so
that no moment is left out, whoever makes the call: Python, numpy or SQLite.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_X86 = {
    "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "msync": 26, "sendfile": 40, "fsync": 74, "fdatasync": 75,
    "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87,
    "symlink": 88, "sync": 162, "openat": 257, "mkdirat": 258, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "fallocate": 285, "pwritev": 296, "syncfs": 306, "renameat2": 316, "copy_file_range": 326,
}  # fmt: skip
_ARM = {
    "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "truncate": 45, "ftruncate": 46,
    "fallocate": 47, "openat": 56, "write": 64, "writev": 66, "pwrite64": 68, "pwritev": 70, "sendfile": 71, "sync": 81,
    "fsync": 82, "fdatasync": 83, "msync": 227, "syncfs": 267, "renameat2": 276, "copy_file_range": 285,
}  # fmt: skip
CALLS = {"x86_64": _X86, "aarch64": _ARM}.get(platform.machine(), {})
NAMES = {number: name for name, number in CALLS.items()}

_PATHS = {
    "open": [(None, 0)], "creat": [(None, 0)], "truncate": [(None, 0)], "mkdir": [(None, 0)], "rmdir": [(None, 0)],
    "unlink": [(None, 0)], "openat": [(0, 1)], "mkdirat": [(0, 1)], "unlinkat": [(0, 1)], "symlink": [(None, 1)],
    "rename": [(None, 0), (None, 1)], "link": [(None, 0), (None, 1)], "symlinkat": [(1, 2)],
    "renameat": [(0, 1), (2, 3)], "renameat2": [(0, 1), (2, 3)], "linkat": [(0, 1), (2, 3)],
}  # fmt: skip
"""Where a call has its paths: argument with the folder's handle, argument with the text."""

_FLAGS = {"open": 1, "openat": 2}
SYNCS = frozenset({"fsync", "fdatasync", "syncfs", "sync"})

_TRACEME, _CONT, _SYSCALL, _SETOPTIONS, _GET_CALL = 0, 7, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x8 | 0x80 | 0x100000  # calls are marked; threads too; seccomp stops; die with the tracer
_WALL = 0x40000000
_AT_SECCOMP, _AT_EXIT = 3, 2
_EVENT_SECCOMP = 7
_TRACE, _ALLOW = 0x7FF00000, 0x7FFF0000


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter)))


class _Call(ctypes.Structure):
    """What the kernel tells of a call; the result of one that is over takes the place of its number."""

    _fields_ = (
        ("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32), ("ip", ctypes.c_uint64),
        ("sp", ctypes.c_uint64), ("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6), ("more", ctypes.c_uint64 * 2),
    )  # fmt: skip


_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(request: int, pid: int, address: int = 0, data: object = 0) -> int:
    pointer = data if isinstance(data, int) else ctypes.addressof(data)
    return _libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address), ctypes.c_void_p(pointer))


def _install_filter() -> None:
    """Stop this process at the calls of interest from now on, and at no others."""
    lines = [_Filter(0x20, 0, 0, 0)]
    numbers = sorted(NAMES)
    for index, number in enumerate(numbers):
        lines.append(_Filter(0x15, len(numbers) - index, 0, number))
    lines += [_Filter(0x06, 0, 0, _ALLOW), _Filter(0x06, 0, 0, _TRACE)]
    program = _Program(len(lines), (_Filter * len(lines))(*lines))
    if _libc.prctl(38, 1, 0, 0, 0) or _libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        os._exit(90)


@dataclass
class Step:
    """One call that changes something in the folder, before it takes place.

    Attributes
    ----------
    pid, thread : int
    name : str
        Of the call.
    paths : list of Path
        What it is about.
    handle : int
        Of the open file, for calls that have one.
    """

    pid: int
    thread: int
    name: str
    paths: list[Path]
    handle: int = -1


@dataclass
class Outcome:
    """How a child ended.

    Attributes
    ----------
    steps : int
        Taken before the end.
    killed : bool
    status : int
        Exit status of one that was not killed.
    """

    steps: int
    killed: bool
    status: int


def run(
    work: Callable[[], None],
    folder: Path,
    *,
    kill_before: int | None = None,
    before: Callable[[Step], None] | None = None,
    synced: Callable[[Step], None] | None = None,
) -> Outcome:
    """Run ``work`` in a fork of this process, which must have no threads.

    Parameters
    ----------
    work : callable
    folder : Path
        Steps outside of it do not count.
    kill_before : int, optional
        Kill it (SIGKILL) before it takes this step, counted from 1.
    before : callable, optional
        Called before each step.
    synced : callable, optional
        Called when a sync is over.
    """
    pid = os.fork()
    if not pid:
        _child(work)
    return _Tracer(pid, folder, kill_before, before, synced).follow()


def _child(work: Callable[[], None]) -> None:
    status = 91
    try:
        if _ptrace(_TRACEME, 0):
            os._exit(90)
        os.kill(os.getpid(), signal.SIGSTOP)
        _install_filter()
        work()
        status = 0
    finally:
        if status:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


class _Tracer:
    def __init__(
        self,
        pid: int,
        folder: Path,
        kill_before: int | None,
        before: Callable[[Step], None] | None,
        synced: Callable[[Step], None] | None,
    ) -> None:
        self.pid, self.folder, self.kill_before, self.before, self.synced = (
            pid,
            str(folder),
            kill_before,
            before,
            synced,
        )
        self.steps = 0
        self.killed = False
        self.under_way: dict[int, Step] = {}

    def follow(self) -> Outcome:
        os.waitpid(self.pid, _WALL)
        if _ptrace(_SETOPTIONS, self.pid, 0, _OPTIONS):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, _WALL)
            return Outcome(0, False, 90)
        _ptrace(_CONT, self.pid)
        while True:
            thread, status = os.waitpid(-1, _WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                if thread == self.pid:
                    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
                    return Outcome(self.steps, self.killed, code)
                continue
            self._stopped(thread, status)

    def _stopped(self, thread: int, status: int) -> None:
        sign = os.WSTOPSIG(status)
        if status >> 16 == _EVENT_SECCOMP:
            self._entering(thread)
        elif sign == signal.SIGTRAP | 0x80:
            self._leaving(thread)
        else:
            forward = 0 if sign in (signal.SIGSTOP, signal.SIGTRAP) else sign
            _ptrace(_CONT, thread, 0, forward)

    def _entering(self, thread: int) -> None:
        step = self._step(thread)
        if step is None:
            _ptrace(_CONT, thread)
            return
        self.steps += 1
        if self.kill_before == self.steps:
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)
            return
        if self.before is not None:
            self.before(step)
        if step.name in SYNCS and self.synced is not None:
            self.under_way[thread] = step
            _ptrace(_SYSCALL, thread)
        else:
            _ptrace(_CONT, thread)

    def _leaving(self, thread: int) -> None:
        step = self.under_way.pop(thread, None)
        if step is not None and self.synced is not None:
            self.synced(step)
        _ptrace(_CONT, thread)

    def _step(self, thread: int) -> Step | None:
        call = _Call()
        if _ptrace(_GET_CALL, thread, ctypes.sizeof(call), call) <= 0 or call.op != _AT_SECCOMP:
            return None
        name, args = NAMES[call.nr], list(call.args)
        if name in _FLAGS and not args[_FLAGS[name]] & (os.O_CREAT | os.O_TRUNC):
            return None
        if name == "sync":
            return Step(self.pid, thread, name, [])
        if name not in _PATHS:
            handle = args[1] if name == "sendfile" else args[2] if name == "copy_file_range" else args[0]
            handle = ctypes.c_int(handle & 0xFFFFFFFF).value
            paths = [self._of_handle(handle)]
        else:
            handle, paths = -1, [self._path(args, *where) for where in _PATHS[name]]
        inside = any(str(path).startswith(self.folder) for path in paths)
        return Step(self.pid, thread, name, paths, handle) if inside else None

    def _of_handle(self, handle: int) -> Path:
        try:
            return Path(os.readlink(f"/proc/{self.pid}/fd/{handle}"))
        except OSError:
            return Path("?")

    def _path(self, args: list[int], base: int | None, text: int) -> Path:
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(args[text])
            found = Path(os.fsdecode(memory.read(4096).partition(b"\0")[0]))
        if found.is_absolute():
            return found
        handle = -100 if base is None else ctypes.c_int(args[base] & 0xFFFFFFFF).value
        return (Path(os.readlink(f"/proc/{self.pid}/cwd")) if handle == -100 else self._of_handle(handle)) / found


def available() -> bool:
    """True where this process may trace its children."""
    if not CALLS or sys.platform != "linux":
        return False
    return run(lambda: None, Path("/nowhere")).status == 0
