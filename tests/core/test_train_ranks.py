"""How a batch is divided, what ranks agree on, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src_core.errors import InputError, SettingsError, TrainingError
from src_core.train.control import Control
from src_core.train.joining import joined
from src_core.train.passes import Passes
from src_core.train.ranks import ALONE, OutOfMemoryElsewhereError, Ranks, SharedControl


@given(count=st.integers(0, 40), size=st.integers(1, 9))
def test_every_crop_goes_through_one_rank_and_parts_differ_by_one_crop(count, size):
    parts = [range(count)[Ranks(rank, size).own(count)] for rank in range(size)]
    assert [crop for part in parts for crop in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


class _Answers(Ranks):
    """Ranks that say what they are told to."""

    def __init__(self, *answers):
        super().__init__(0, 2)
        self.answers = list(answers)

    def any(self, flags):
        return [own or other for own, other in zip(flags, self.answers.pop(0), strict=True)]


def test_what_is_asked_counts_from_when_all_know_it():
    own = Control()
    shared = SharedControl(_Answers([False] * 3, [False, True, False]), own)
    own.stop()
    assert not shared.stopping  # the others would go on without this one
    shared.agree()
    assert shared.stopping
    assert not shared.finishing
    shared.agree()
    assert shared.finishing


def test_a_pause_of_another_rank_is_waited_for():
    shared = SharedControl(_Answers([False, False, True], [False, False, True], [False] * 3), Control())
    shared.agree()
    assert shared.paused
    shared.wait_if_paused()
    assert not shared.paused


def test_memory_that_ran_out_elsewhere_is_heard_before_an_exchange():
    ranks = _Answers([False], [True], [False], [True])
    ranks.all_have_memory()
    with pytest.raises(OutOfMemoryElsewhereError):
        ranks.all_have_memory()
    ranks.ran_out(MemoryError())  # told where the others wait
    ranks.ran_out(OutOfMemoryElsewhereError())  # they know
    assert ranks.answers == [[True]]
    ALONE.all_have_memory()
    ALONE.ran_out(MemoryError())


def test_a_step_that_others_have_taken_is_not_taken_anew(tiny):
    passes = Passes(tiny(batch_size=4, meta_batch_size=3), torch.device("cpu"), _Answers([False], [True], [False]))
    with (
        pytest.raises(TrainingError, match=r"process 1 of 2 while it changed the network; .* --resume"),
        passes.final(),
    ):
        raise MemoryError
    with pytest.raises(OutOfMemoryElsewhereError), passes.final():
        raise AssertionError("taken without the other one")
    with pytest.raises(RuntimeError, match="do not fit"), passes.final():
        raise RuntimeError("shapes do not fit")
    assert "with 2 crops at a time in each process; going on with 1" in passes.halve()
    with pytest.raises(TrainingError, match="with one crop at a time in each process; close"):
        passes.halve()


def test_one_process_is_alone():
    with joined("cpu", {}) as ranks:
        assert ranks is ALONE
    with joined("cpu", {"WORLD_SIZE": "1", "RANK": "0"}) as ranks:
        assert ranks is ALONE


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "two"}, "'two', expected a whole number"),
    ],
)
def test_what_is_missing_is_named(environment, said):
    with pytest.raises(InputError, match=said), joined("cpu", environment):
        pass


def test_batch_normalisation_is_refused(tiny):
    Ranks(0, 2).check(tiny())
    ALONE.check(tiny(norm="batch"))
    with pytest.raises(SettingsError, match="looks at the whole batch"):
        Ranks(0, 2).check(tiny(norm="batch"))
