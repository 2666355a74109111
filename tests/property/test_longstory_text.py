"""Order tokens, key phrases, tokens and fusion weights, for any input."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from transformers import BertConfig

from plottwist.errors import PlotTwistError
from plottwist.longstory.contexts import Calibrator, Parts
from plottwist.longstory.keywords import rake
from plottwist.longstory.order import ORDER_TOKENS, order_tokens
from plottwist.longstory.tokens import train_tokenizer


@functools.cache
def tokenizer():
    return train_tokenizer(["The storm broke over the lighthouse, and his brother rowed home."], 300)


@given(st.integers(1, 1000))
def test_order_tokens_of_a_whole_story(n):
    placed = [order_tokens(t, n) for t in range(n)]
    assert all(set(tokens) <= set(ORDER_TOKENS) for tokens in placed)
    assert [p[0] for p in placed] == (["<intro>"] + ["<body>"] * (n - 2) if n > 1 else []) + ["<tail>"]
    for t, (_, third, *_) in enumerate(placed):
        assert third == ("<front>" if t / n < 1 / 3 else "<middle>" if t / n < 2 / 3 else "<ending>")
    assert [t for t, p in enumerate(placed) if "<next_is_ending>" in p] == ([n - 2] if n > 1 else [])


@given(st.integers(-5, 1100), st.integers(-5, 1100))
def test_places_that_do_not_exist(position, n):
    if 1 <= n <= 1000 and 0 <= position < n:
        order_tokens(position, n)
    else:
        with pytest.raises(PlotTwistError):
            order_tokens(position, n)


@given(st.text(max_size=200))
def test_key_phrases_are_content_words_of_the_text(text):
    for phrase in (phrases := rake(text)):
        assert 1 <= len(phrase.split()) <= 4
        assert not set(phrase.split()) & ENGLISH_STOP_WORDS
        assert all(word.lower() in text.lower() for word in phrase.split())
    assert len(phrases) == len(set(phrases))


def test_rake_scores_by_degree_over_frequency():
    # degree/frequency: storm (2 + 1) / 2, black 2, lamp 1; so "black storm" 3.5, "storm" 1.5, "lamp" 1.
    assert rake("The black storm. And the storm; a lamp!") == ("black storm", "storm", "lamp")


def test_names_keep_their_capital_and_the_beginning_of_a_sentence_makes_none():
    assert rake("Old sails tore. Then, Ana mended old sails. Ana slept") == ("Ana mended old sails", "old sails tore", "Ana slept")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_any_text_survives_its_tokens(text):
    ids = tokenizer().texts([text])[0]
    assert tokenizer().decode(ids) == text.strip()
    assert not set(ids) & set(tokenizer().order(ORDER_TOKENS))


@given(st.lists(st.text(alphabet="abcdef ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=8), st.integers(1, 30))
def test_fitting_keywords_fit(phrases, room):
    kept = tokenizer().fitting(phrases, room)
    assert kept == tuple(phrases[: len(kept)])
    if kept:
        assert len(tokenizer().keywords(kept, room)) <= room
    if len(kept) < len(phrases):
        with pytest.raises(PlotTwistError):
            tokenizer().keywords(phrases[: len(kept) + 1], room)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["calibrated", "learnable alpha"]), st.floats(0, 1, width=32), st.floats(0.01, 1e4), st.integers(0, 99))
def test_fusion_weights_are_a_distribution_however_sure_the_calibrator(weighting, alpha, scale, seed):
    torch.manual_seed(seed)
    bert = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    calibrator = Calibrator(Parts(weighting=weighting, alpha=alpha), bert).eval()
    with torch.no_grad():
        calibrator.w.weight.mul_(scale)
        weights = calibrator(torch.randint(0, 20, (4, 5)), torch.ones(4, 5, dtype=torch.bool))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    if weighting == "calibrated":
        torch.testing.assert_close(weights[:, 0], torch.full((4,), alpha))
