"""How a batch goes through the network: in one piece or in parts, in single or in lower precision.

Crops do not influence each other (but for batch normalisation, which is there for comparison), so a pass in parts
gives the same numbers. What backward needs of a part is computed again when its turn comes, so that only one part at a
time takes memory and the gradient is that of the whole batch, whatever the loss.

Shape suffixes: B batch, C classes, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import gc
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch.utils.checkpoint import checkpoint

from src_core.errors import TrainingError
from src_core.train.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor

    from src_core.config import TrainingSettings

_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch says it where it has no error of its own for it, as on the CPU."""


def _as_they_are(images_BIX: Tensor) -> Tensor:
    return images_BIX


class Passes:
    """Passes with a graph through one network or several, all in the same number of parts.

    Parameters
    ----------
    settings : TrainingSettings
    device : torch.device
    ranks : Ranks, optional
        Processes that share the crops of a batch.
    laid_out : callable, optional
        How images are to lie in memory (:meth:`~src_core.networks.segmenter.Segmenter.laid_out`).

    Attributes
    ----------
    parts : int
        So many parts a batch, at most as many as it has crops.
    dtype : torch.dtype or None
        What layers compute in; None is single precision. The derivative of the meta weights never comes here.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        device: torch.device,
        ranks: Ranks = ALONE,
        laid_out: Callable[[Tensor], Tensor] = _as_they_are,
    ) -> None:
        self.parts = 1
        self.ranks = ranks
        self.dtype = lower_precision(settings.precision, device)
        self._device = device
        self._laid_out = laid_out
        self._crops = -(-max(settings.batch_size, settings.meta_batch_size) // ranks.size)

    def __call__(self, call: Callable[[Tensor], Tensor], images_BIX: Tensor) -> Tensor:
        """Logits, float32 or as the images, of a call that may be made again when backward needs it."""
        return self.ranks.apart(lambda part_BIX: (self._own(call, part_BIX),), images_BIX)[0]

    def _own(self, call: Callable[[Tensor], Tensor], images_BIX: Tensor) -> Tensor:
        images_BIX = self._laid_out(images_BIX)
        with self._autocast():
            if self.parts == 1:
                logits_BCX = call(images_BIX)
            else:
                pieces = images_BIX.chunk(self.parts)
                logits_BCX = torch.cat([checkpoint(call, piece, use_reentrant=False) for piece in pieces])
        return logits_BCX.to(images_BIX.dtype)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self.dtype)

    def halve(self) -> str:
        """Send half as many crops at a time from now on, at all ranks.

        Returns
        -------
        str
            What to tell the person.

        Raises
        ------
        TrainingError
            If it was one crop at a time already.
        """
        before = -(-self._crops // self.parts)
        if before == 1:
            raise TrainingError(
                f"Memory ran out with one crop at a time{self._where}; close other programs, choose a quicker preset "
                "(smaller images and network), or train on the CPU."
            )
        self.parts *= 2
        forget_unused()
        now = -(-self._crops // self.parts)
        return (
            f"Memory ran out with {before} crops at a time{self._where}; going on with {now} at a time, which takes "
            "longer and learns the same."
        )

    @property
    def _where(self) -> str:
        return "" if self.ranks.alone else " in each process"

    @contextmanager
    def final(self) -> Iterator[None]:
        """Around what ends a step and cannot be taken back: all ranks come so far, or none does.

        Raises
        ------
        TrainingError
            If memory runs out here at one of several ranks: the others have taken the step.
        """
        self.ranks.all_have_memory()
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if self.ranks.alone or not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"Memory ran out in process {self.ranks.rank + 1} of {self.ranks.size} while it changed the network; "
                "close other programs or choose a quicker preset, then go on from the last checkpoint with --resume."
            ) from error


def lower_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """Precision of the layers: ``auto`` is bfloat16 on a CUDA device that has it, else single precision (None)."""
    if wanted == "auto":
        has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_it else None
    return torch.bfloat16 if wanted == "bfloat16" else None


def is_out_of_memory(error: BaseException) -> bool:
    """True for an error of a computer or GPU whose memory is used up."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def forget_unused() -> None:
    """Give memory back that a failed pass left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
