import dataclasses

import pytest

from plottwist import nqd


def test_five_dimensions_each_with_a_question():
    assert len(nqd.NQDS) == 5
    assert set(nqd.QUESTIONS) == set(nqd.NAMES) == {f.name for f in dataclasses.fields(nqd.NQDScores)}


def test_levels_map_to_the_ends_of_the_scale():
    assert nqd.NQDScores.from_levels([0, 0.5, 1, 0, 1]) == nqd.NQDScores(1, 5.5, 10, 1, 10)
    assert nqd.NQDScores.from_levels(dict.fromkeys(nqd.NQDS, 1)).overall == 10
    assert nqd.to_level(nqd.to_scale(0.37)) == pytest.approx(0.37)


@pytest.mark.parametrize("bad", [0.99, 10.01, float("nan")])
def test_a_score_outside_the_scale_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="Pacing"):
        nqd.NQDScores(5, 5, bad, 5, 5)


def test_scores_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        nqd.NQDScores(1, 2, 3, 4, 5).tone = 9
