"""Whatever a model answers, ``ask`` returns: the object, or a Failure that says why. No answer is quoted back as an order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from plottwist.backends import Failure, Messages, Sampling, ask
from plottwist.backends.answers import parse


class Mark(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1)
    rating: int = Field(ge=1, le=10)


class Scripted:
    """A backend that answers by rule."""

    name = "scripted"

    def __init__(self, answer: Callable[[Messages], str | Failure]) -> None:
        self.answer, self.seen = answer, []

    def complete(self, requests: Sequence[Messages], sampling: Sampling) -> list[str | Failure]:
        self.seen += [list(messages) for messages in requests]
        return [self.answer(messages) for messages in requests]


def request(text: str = "Rate this.") -> Messages:
    return [{"role": "user", "content": text}]


anything = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text('{}[]":,\\ntrue0123456789 \n'),
    st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
        json.dumps
    ),
)
marks = st.builds(Mark, reason=st.text(st.characters(exclude_categories=("Cs",)), min_size=1), rating=st.integers(1, 10))
prose = st.text(st.characters(exclude_characters="{}", exclude_categories=("Cs",))).filter(lambda t: "</think>" not in t)


@given(anything)
def test_any_answer_is_an_object_or_a_failure(text):
    (outcome,) = ask(Scripted(lambda _: text), [request()], Mark, Sampling())
    assert isinstance(outcome, Mark | Failure)


@given(marks, prose, prose)
def test_the_object_is_found_in_prose_fences_and_thoughts(mark, before, after):
    body = mark.model_dump_json()
    assert parse(f"{before}{body}{after}", Mark) == mark
    assert parse(f"Here it is:\n```json\n{mark.model_dump_json(indent=2)}\n```\n{after}", Mark) == mark
    assert parse(f'<think>{before} {{"reason": "a draft", "rating": 1}}</think>{body}', Mark) == mark
    assert parse(f"The form is {{reason, rating}}. {body} {body}", Mark) == mark


@given(marks, st.data())
def test_an_answer_cut_short_is_never_an_object(mark, data):
    body = mark.model_dump_json()
    with pytest.raises(ValueError, match="no complete JSON object"):
        parse(body[: data.draw(st.integers(0, len(body) - 1))], Mark)


@given(marks, marks)
def test_two_different_objects_are_refused(first, second):
    both = f"{first.model_dump_json()} or {second.model_dump_json()}"
    if first == second:
        assert parse(both, Mark) == first
    else:
        with pytest.raises(ValueError, match="different"):
            parse(both, Mark)


@given(st.text(st.characters(categories=("Lu",)), min_size=12), st.sampled_from(["value", "key", "reason", "bare"]))
def test_what_goes_back_quotes_nothing_of_the_answer(words, place):
    bad = {
        "value": json.dumps({"reason": "x", "rating": words}),
        "key": json.dumps({"reason": "x", "rating": 3, words: 1}),
        "reason": json.dumps({"reason": words, "rating": 11}),
        "bare": words,
    }[place]
    backend = Scripted(lambda _: bad)
    (outcome,) = ask(backend, [request()], Mark, Sampling())
    assert words not in outcome.reason
    for messages in backend.seen:
        assert all(words not in m["content"] for m in messages if m["role"] != "assistant")


def test_a_bad_answer_is_asked_again_with_the_error_and_then_reported():
    backend = Scripted(lambda m: '{"reason": "so", "rating": 4}' if len(m) == 5 else '{"rating": 40}')
    assert ask(backend, [request()], Mark, Sampling()) == [Mark(reason="so", rating=4)]
    assert [len(m) for m in backend.seen] == [1, 3, 5]
    assert [m["role"] for m in backend.seen[-1]] == ["user", "assistant", "user", "assistant", "user"]
    assert "rating: Input should be less than or equal to 10" in backend.seen[-1][-1]["content"]
    (outcome,) = ask(backend, [request()], Mark, Sampling(), attempts=2)
    assert outcome == Failure(
        "no usable answer in 2 attempts; the last: it holds no complete JSON object that fits "
        "(reason: Field required; rating: Input should be less than or equal to 10)"
    )


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["good", "bad", "refused", "late", "failed"]), max_size=8))
def test_order_is_kept_and_no_request_costs_another(kinds):
    def answer(messages: Messages) -> str | Failure:
        number, kind = messages[0]["content"].split()
        good = json.dumps({"reason": number, "rating": 10 if kind == "refused" else 5})
        return {"bad": "no", "failed": Failure(f"down {number}"), "late": good if len(messages) > 3 else "wait"}.get(kind, good)

    backend = Scripted(answer)
    outcomes = ask(
        backend,
        [request(f"{number} {kind}") for number, kind in enumerate(kinds)],
        Mark,
        Sampling(),
        valid=lambda index, mark: "not a ten again" if mark.rating == 10 else (None if mark.reason == str(index) else "another text"),
    )
    for number, (kind, outcome) in enumerate(zip(kinds, outcomes, strict=True)):
        if kind in ("good", "late"):
            assert outcome == Mark(reason=str(number), rating=5)
        elif kind == "failed":
            assert outcome == Failure(f"down {number}")
        else:
            assert isinstance(outcome, Failure)
    times = {"good": 1, "failed": 1, "late": 3, "bad": 3, "refused": 3}
    assert len(backend.seen) == sum(times[kind] for kind in kinds)


@pytest.mark.parametrize("noise", ['{"a":' * 50_000, "{" * 200_000, "[" * 200_000, '{"reason": ' + "9" * 5000 + "}", "<think>" * 50_000])
def test_noise_without_end_is_refused_at_once(noise):
    with pytest.raises(ValueError, match="no complete JSON object"):
        parse(noise, Mark)
