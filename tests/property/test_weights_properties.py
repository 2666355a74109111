"""The weights of 2503.17126: mean 1, never negative, in the order of deviation, blind to scale, with a floor that works."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plottwist.generator.deviation import deviation
from plottwist.generator.weights import response_weights

NUMBER = st.floats(0, 2, allow_subnormal=False)
ONE = st.integers(2, 16).flatmap(lambda n: arrays(float, n, elements=NUMBER))
TWO = st.integers(2, 16).flatmap(lambda n: arrays(float, (2, n), elements=NUMBER))
FLOOR = st.floats(0, 1)
VECTORS = st.tuples(st.integers(2, 8), st.integers(2, 6)).flatmap(
    lambda shape: arrays(float, shape, elements=st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3))
)


@given(TWO, FLOOR)
def test_mean_is_1_and_none_is_negative(kinds, floor):
    for weights in (response_weights(kinds[0], floor=floor), response_weights(*kinds, floor=floor)):
        assert weights.mean() == pytest.approx(1)
        assert (weights >= 0).all()


@given(ONE, FLOOR)
def test_who_deviates_more_never_weighs_less(kind, floor):
    assert (np.diff(response_weights(kind, floor=floor)[np.argsort(kind, kind="stable")]) >= -1e-12).all()


@given(ONE)
def test_without_a_floor_the_least_deviant_weighs_nothing(kind):
    weights = response_weights(kind)
    if kind.max() > kind.min():
        assert weights[kind.argmin()] == 0


@given(TWO, st.floats(0.01, 1))
def test_the_floor_bounds_the_ratio_of_any_two_weights(kinds, floor):
    weights = response_weights(*kinds, floor=floor)
    assert weights.min() > 0
    assert weights.max() / weights.min() <= 1 / floor + 1e-6


@given(ONE, ONE)
def test_a_floor_of_1_and_equal_deviations_give_1(kind, other):
    np.testing.assert_array_equal(response_weights(kind, floor=1.0), 1)
    np.testing.assert_array_equal(response_weights(np.full_like(other, other[0])), 1)


@given(ONE, st.floats(0.1, 10), st.floats(-1, 1))
def test_scale_and_shift_of_a_deviation_change_nothing(kind, scale, shift):
    if np.ptp(kind) > 1e-3:
        np.testing.assert_allclose(response_weights(kind * scale + shift), response_weights(kind), atol=1e-6)


@given(TWO, st.randoms(use_true_random=False))
def test_the_order_of_responses_and_of_kinds_does_not_matter(kinds, random):
    order = random.sample(range(kinds.shape[1]), kinds.shape[1])
    np.testing.assert_allclose(response_weights(*kinds[:, order]), response_weights(*kinds)[order])
    np.testing.assert_allclose(response_weights(*kinds[::-1]), response_weights(*kinds))


@given(ONE, FLOOR)
def test_both_kinds_alike_are_as_one(kind, floor):
    np.testing.assert_allclose(response_weights(kind, kind, floor=floor), response_weights(kind, floor=floor), atol=1e-9)


@given(VECTORS)
def test_deviation_is_the_mean_distance_to_the_others(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    others = [[1 - unit[i] @ unit[j] for j in range(len(unit)) if j != i] for i in range(len(unit))]
    np.testing.assert_allclose(deviation(vectors), np.mean(others, axis=1), atol=1e-9)
