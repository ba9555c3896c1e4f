"""Several processes that train one run together, with the numbers that one process would have.

What is split is the pass through the network, not the loss. Every process (*rank*) draws the same batch, sends its part
of the crops through the network, and puts the logits of all parts together; from there on each computes the same on the
whole batch: losses, offsets, meta weights, memory and centers. Backwards, each follows the crops that it sent, and the
gradients are summed. So a mean over unequal numbers of pixels, a Dice an image or a weight that is normalised over the
batch needs no thought of its own, and functional passes and forward derivatives are split as plain ones are.

Wrappers that hook into a module's backward pass (DistributedDataParallel) see neither of these, and average losses that
may not be averaged; hence plain sums over all ranks.

Shape suffixes: B batch, I input channels, X any number of space axes (2 or 3).
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.autograd.function import once_differentiable

from src_core.errors import SettingsError, TrainingError
from src_core.train.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    from src_core.config import TrainingSettings
    from src_core.train.cases import CaseSet
    from src_core.train.learner import Learner

_LOOK_EVERY = 0.2
"""Seconds between two looks whether a pause is over."""


class OutOfMemoryElsewhereError(MemoryError):
    """Another rank ran out of memory in this step, which all take anew."""


class Ranks:
    """The ranks of a run as one of them sees them; every method is called by all at the same point.

    Parameters
    ----------
    rank, size : int
        Which one this is, from 0, and how many there are. The first writes checkpoints and messages.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def alone(self) -> bool:
        """True when one process does it all."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """True for the one that writes."""
        return self.rank == 0

    def own(self, count: int) -> slice:
        """Which of so many crops this rank sends through the network; none where there are more ranks than crops."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def check(self, settings: TrainingSettings) -> None:
        """Refuse what would not give the same numbers.

        Raises
        ------
        SettingsError
        """
        if not self.alone and settings.norm == "batch":
            raise SettingsError(
                "norm is 'batch', which looks at the whole batch at once, so that several processes would learn "
                "something else than one; choose 'group' or 'instance', or train with one process."
            )

    # ---------------------------------------------------------------- passes and gradients

    def apart(self, call: Callable[[Tensor], tuple[Tensor, ...]], images_BIX: Tensor) -> tuple[Tensor, ...]:
        """What a call gives for a batch, where crops do not influence each other: each rank makes its part.

        The results can be differentiated; the gradient of a rank is that of its own part, see :meth:`summed`.
        """
        if self.alone:
            return call(images_BIX)
        own = self.own(len(images_BIX))
        count = own.stop - own.start
        found = call(images_BIX[own] if count else images_BIX[:1])  # one without a part learns the shapes so
        return tuple(_Whole.apply(part[:count], self, own, len(images_BIX)) for part in found)  # type: ignore[no-untyped-call]

    def whole(self, part: Tensor, own: slice, count: int) -> Tensor:
        """All parts of a batch of so many rows."""
        rows = part.new_zeros((count, *part.shape[1:]))
        rows[own] = part
        self.all_have_memory()
        return self._sum(rows)

    def summed(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum of the gradients of all ranks, by parameter."""
        if self.alone:
            return gradient
        flat = torch.cat([value.flatten() for value in gradient.values()])
        self.all_have_memory()
        total = self._sum(flat)
        pieces = torch.split(total, [value.numel() for value in gradient.values()])
        return {name: piece.view_as(gradient[name]) for name, piece in zip(gradient, pieces, strict=True)}

    # ---------------------------------------------------------------- memory

    def all_have_memory(self) -> None:
        """Go on together, or learn that a rank cannot: it stands before every exchange in a step.

        Raises
        ------
        OutOfMemoryElsewhereError
            At all ranks that come here, if another one is in :meth:`ran_out` instead.
        """
        if not self.alone:
            self._memory(short=False)

    def ran_out(self, error: BaseException) -> None:
        """Tell of memory that ran out in a step; returns when all ranks know it, and take the step anew.

        Parameters
        ----------
        error : BaseException
            If it says that another rank ran out, all know it already.
        """
        if not self.alone and not isinstance(error, OutOfMemoryElsewhereError):
            with suppress(OutOfMemoryElsewhereError):
                self._memory(short=True)

    def _memory(self, *, short: bool) -> None:
        if self.any([short])[0]:
            raise OutOfMemoryElsewhereError("out of memory in another process of this training")

    def _sum(self, values: Tensor) -> Tensor:
        with _others_gone():
            distributed.all_reduce(values)
        return values

    # ---------------------------------------------------------------- what all must agree on

    def told(self, value: Any) -> Any:
        """What the first rank says, JSON; of the others the value does not matter."""
        if self.alone:
            return value
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([len(text)])
        self._from_first(length)
        values = text if self.first else torch.zeros(int(length), dtype=torch.uint8)
        self._from_first(values)
        return json.loads(bytes(values.tolist()))

    def any(self, flags: list[bool]) -> list[bool]:
        """Which of some flags are set at any rank."""
        if self.alone:
            return flags
        return [bool(value) for value in self._sum(torch.tensor(flags, dtype=torch.int32))]

    def share_labels(self, data: CaseSet) -> None:
        """Give all ranks the labels that the first one has read: a person may have gone on in between."""
        if self.alone:
            return
        for case in data.cases:
            for name in ("label_X", "verified_X"):
                values = getattr(case, name).contiguous().clone()
                self._from_first(values)
                setattr(case, name, values)

    def refresh(self, data: CaseSet) -> bool:
        """Take up what was verified or added meanwhile, at all ranks the same; True if there was something new."""
        changed = bool(self.told(data.refresh() if self.first else None))
        if changed and not self.alone:
            order, tiles = self.told([data.order, list(data.tiles.items())] if self.first else None)
            if not self.first:
                data.follow(order, {case: tuple(numbers) for case, numbers in tiles})
            self.share_labels(data)
        return changed

    def share_networks(self, learners: Iterable[Learner]) -> None:
        """Give all ranks the networks of the first one; they differ at most by rounding on unlike devices."""
        if self.alone:
            return
        for learner in learners:
            for network in (learner.network, learner.teacher):
                for values in network.state_dict().values():
                    self._from_first(values)

    def _from_first(self, values: Tensor) -> None:
        with _others_gone():
            distributed.broadcast(values, src=0)

    def control(self, own: Control) -> Control:
        """A control that says the same at all ranks."""
        return own if self.alone else SharedControl(self, own)


ALONE = Ranks()


class SharedControl(Control):
    """What was asked of any rank, from the moment at which all ranks know it (:meth:`agree`).

    Parameters
    ----------
    ranks : Ranks
    own : Control
        What is asked of this rank.
    """

    def __init__(self, ranks: Ranks, own: Control) -> None:
        super().__init__()
        self._ranks, self._own = ranks, own

    def agree(self) -> None:
        """Hear what was asked anywhere."""
        own = self._own
        stop, finish, pause = self._ranks.any([own.stopping, own.finishing, own.paused])
        (self.pause if pause else self.resume)()
        if finish:
            self.finish()
        if stop:
            self.stop()

    def wait_if_paused(self) -> None:
        """Block while a pause is asked for at any rank; all wait in step."""
        while self.paused:
            self._go.wait(_LOOK_EVERY)
            self.agree()


class _Whole(torch.autograd.Function):
    """Parts of a batch put together; backwards, each rank follows its own."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks, own: slice, count: int) -> Tensor:
        ctx.own = own
        return ranks.whole(part, own, count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        return slope[ctx.own], None, None, None


@contextmanager
def _others_gone() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "Another process of this training ended or cannot be reached, so this one ends, too; the first sentence "
            "above that is not this one says why. Go on from the last checkpoint with --resume."
        ) from error
