"""Errors that reach a person.

Every message is one clear sentence or two: what is wrong, where, what was expected, what to do. ``exit_code``
is what the command line ends with::

    MetaDCSegError                      1
    ├── InputError                      2   something given to us cannot be used
    │   ├── FormatError                 2   a file cannot be read, or not as what it claims to be
    │   ├── PairingError                2   images and masks do not fit together (lists every problem)
    │   ├── MaskValueError              2   mask values that cannot be turned into classes without asking
    │   └── SettingsError               2   a setting is out of its range
    ├── ProjectError                    2   the project on disk
    │   ├── ProjectLockedError          2   open for writing elsewhere
    │   ├── ProjectReadOnlyError        2   a change was asked of a project opened for reading
    │   └── ProjectDamagedError         2   a file of the project is missing or cannot be read
    ├── StorageError                    2   disk full, folder not writable
    ├── TrainingError                   1   training cannot go on
    │   └── CheckpointError             1   a checkpoint is missing, damaged or of other settings
    └── WorkerError                     1   the training process
        └── WorkerCrashedError          1   it ended without saying goodbye
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike


class MetaDCSegError(Exception):
    """Base of all errors raised on purpose by this project."""

    exit_code = 1


class InputError(MetaDCSegError):
    """Something that was given cannot be used."""

    exit_code = 2


class FormatError(InputError):
    """A file cannot be read, or is not what its name says."""


class PairingError(InputError):
    """Images and masks do not fit together.

    Parameters
    ----------
    problems : sequence of str
        One sentence each; all of them are in the message.
    consequence : str
        What did not happen.
    """

    def __init__(self, problems: list[str], consequence: str = "nothing was created") -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 problem was found" if count == 1 else f"{count} problems were found"
        super().__init__(f"{head}, {consequence}:\n" + "\n".join(f"  - {p}" for p in self.problems))


class MaskValueError(InputError):
    """The values of a mask cannot be mapped to classes without asking."""


class SettingsError(InputError):
    """A setting has a value outside of what it allows."""


class ProjectError(MetaDCSegError):
    """The project on disk is missing or cannot be used."""

    exit_code = 2


class ProjectLockedError(ProjectError):
    """The project is open for writing in another window or command."""


class ProjectReadOnlyError(ProjectError):
    """A change was asked of a project that was opened for reading."""


class ProjectDamagedError(ProjectError):
    """A part of the project is missing or unreadable."""


class StorageError(MetaDCSegError):
    """The disk is full, or a folder may not be written to."""

    exit_code = 2


class TrainingError(MetaDCSegError):
    """Training cannot start or go on."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged, or belongs to other settings."""


class WorkerError(MetaDCSegError):
    """The training process failed."""


class WorkerCrashedError(WorkerError):
    """The training process ended without a last message.

    Parameters
    ----------
    exit_status : int
        As given by the operating system; negative is the number of the signal.
    stderr : str
        The last lines that the process wrote.
    """

    def __init__(self, message: str, exit_status: int, stderr: str = "") -> None:
        super().__init__(message)
        self.exit_status = exit_status
        self.stderr = stderr


_STORAGE_ERRNO = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing is not permitted",
    errno.EPERM: "writing is not permitted",
}


@contextmanager
def storage_errors(where: str | PathLike[str], consequence: str) -> Iterator[None]:
    """Turn a full disk or a missing permission into a sentence.

    Parameters
    ----------
    where : path
        What was being written.
    consequence : str
        What that means for the person, e.g. ``"Nothing was created."``.

    Raises
    ------
    StorageError
        In place of the ``OSError`` s that tell of a full, read-only or forbidden disk; others pass through.
    """
    try:
        yield
    except OSError as error:
        reason = _STORAGE_ERRNO.get(error.errno or 0)
        if reason is None:
            raise
        raise StorageError(
            f"Could not write {where}: {reason}. {consequence} Free some space or choose another folder, "
            "then try again."
        ) from error
