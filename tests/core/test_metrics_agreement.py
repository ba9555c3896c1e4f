"""How far two scores agree, by hand and against the libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata
from sklearn.metrics import cohen_kappa_score

from src_core.metrics.agreement import TwoByTwo, rank_correlation, shared_at_top


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24)
    assert rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2, 3], [5, 5, 5]) is None


@settings(max_examples=40, deadline=None)
@given(arrays(np.int64, (9, 2), elements=st.integers(0, 5)))
def test_rank_correlation_is_pearson_of_mean_ranks(pairs):
    first, second = pairs.T.tolist()
    found = rank_correlation(first, second)
    if found is None:
        assert len(set(first)) == 1 or len(set(second)) == 1
    else:
        assert found == pytest.approx(np.corrcoef(rankdata(first), rankdata(second))[0, 1], abs=1e-9)


def test_shared_at_the_top_by_hand():
    assert shared_at_top("abcdef", "badcfe", 3) == 2
    assert shared_at_top("abc", "cba", 3) == 3
    assert shared_at_top("abc", "cba", 9) == 3
    assert shared_at_top("", "", 0) == 0


def test_kappa_by_hand():
    # 20 and 15 agree of 50: 0.7 observed, 0.5 by chance
    assert TwoByTwo(both=20, first=5, second=10, neither=15).kappa == pytest.approx(0.4)
    assert TwoByTwo(both=3, neither=4).kappa == 1
    assert TwoByTwo().kappa is None
    assert TwoByTwo(neither=9).kappa is None


@settings(max_examples=40, deadline=None)
@given(st.lists(arrays(np.bool_, (2, 7)), min_size=1, max_size=4))
def test_kappa_is_that_of_scikit_learn(parts):
    table = TwoByTwo()
    for first, second in parts:
        table.add(first, second)
    first, second = np.concatenate(parts, axis=1)
    assert table.total == first.size
    if table.kappa is None:
        assert len({*first, *second}) == 1
    else:
        assert table.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)
