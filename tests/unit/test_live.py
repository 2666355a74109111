"""PN prompting on a backend: two calls a text, merged; a side without an answer costs only its own text."""

import json

from plottwist.backends import Failure
from plottwist.nqd import NQDS
from plottwist.reward import live


class Reader:
    """A backend that answers by rule: kind to the positive side, strict to the negative, silent on one text."""

    name = "rule"

    def __init__(self):
        self.asked = []

    def complete(self, requests, sampling):
        return [self._answer(r) for r in requests]

    def _answer(self, messages):
        system, user = messages[0]["content"], messages[-1]["content"]
        self.asked.append(system)
        if "unreadable" in messages[1]["content"] and "speaks against" in system:
            return "I would rather not."
        score = 8 if "speaks for" in system else 5
        assert user
        return "Here you are:\n" + json.dumps({"ratings": [{"text": 1, "reason": "so", **dict.fromkeys(NQDS, score)}]})


def test_two_separate_calls_and_their_mean():
    backend = Reader()
    (rating,) = live.rate_pn(["A cook loses her kitchen."], backend)
    assert rating.scores.overall == 6.5
    assert set(rating.gap.values()) == {1.5}
    assert len(backend.asked) == 2
    assert not any("speaks for" in system and "speaks against" in system for system in backend.asked)


def test_a_side_without_an_answer_costs_only_its_text():
    first, second = live.rate_pn(["A cook loses her kitchen.", "An unreadable one."], Reader())
    assert first.scores.tone == 6.5
    assert isinstance(second, Failure)
