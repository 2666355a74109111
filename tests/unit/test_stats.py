import numpy as np
import pytest
from scipy import stats as reference

from plottwist import stats


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_interval_covers_the_truth_about_95_percent_of_the_time(rng):
    hits = 0
    for trial in range(200):
        e = stats.mean(rng.normal(3, 1, 40), seed=trial)
        hits += e.low <= 3 <= e.high
    assert 0.89 <= hits / 200 <= 0.99


def test_groups_are_drawn_whole(rng):
    per_group = rng.normal(0, 1, 30)
    values, groups = np.repeat(per_group, 20), np.repeat(np.arange(30), 20)
    grouped, naive = stats.mean(values, groups=groups), stats.mean(values)
    assert grouped.n == 30
    assert grouped.high - grouped.low > 3 * (naive.high - naive.low)


def test_spearman_and_auc_agree_with_scipy(rng):
    x, y = rng.normal(size=50).round(1), rng.normal(size=50).round(1)
    assert stats.rank_correlation(x, y) == pytest.approx(reference.spearmanr(x, y).statistic)
    u = reference.mannwhitneyu(x[:20], x[20:]).statistic
    assert stats.auc(x, np.arange(50) < 20).value == pytest.approx(u / (20 * 30))


def test_constant_scores_agree_with_nothing():
    assert stats.spearman([1, 1, 1, 1], [1, 2, 3, 4]).value == 0
    assert stats.auc([1, 1, 1, 1], [0, 1, 0, 1]).value == 0.5


def test_cohens_d_and_its_sign():
    a, b = [2.0, 3.0, 4.0], [1.0, 2.0, 3.0]
    assert stats.cohens_d(a, b) == pytest.approx(1.0) == -stats.cohens_d(b, a)
    assert stats.cohens_d([1, 1], [1, 1]) == 0
    assert stats.cohens_d([2, 3, 4.5], [1, 2, 3], paired=True) > stats.cohens_d([2, 3, 4.5], [1, 2, 3])


def test_permutation_p_is_small_only_for_a_real_difference(rng):
    a = rng.normal(0, 1, 60)
    assert stats.permutation_p(a + 1, a, paired=True) < 0.001
    assert stats.permutation_p(rng.normal(0, 1, 60), a) > 0.01


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]


def test_same_data_same_interval(rng):
    x = rng.normal(size=30)
    assert stats.mean(x) == stats.mean(x)


@pytest.mark.parametrize("samples", [([],), ([1, 2], [1])])
def test_nothing_to_estimate_is_an_error(samples):
    with pytest.raises(ValueError, match="same length"):
        stats.estimate(lambda *a: 0.0, *samples)
