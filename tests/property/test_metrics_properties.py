"""What must hold of the metrics for any texts, and equality with their definitions written out."""

from __future__ import annotations

import functools
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from plottwist import metrics
from plottwist.metrics.bleu import self_bleu
from plottwist.metrics.text import rouge_l, sentence_lengths, words
from plottwist.metrics.vectors import mean_pairwise_distance, style_vectors

ORDERS = (1, 2, 3, 4, 5)
few_words = st.lists(st.sampled_from(["the", "a", "lamp", "storm", "She", "he,", "out.", "went!", "“no”", "7"]), min_size=1, max_size=9)
sentence = few_words.filter(lambda w: words(" ".join(w))).map(" ".join)
any_text = st.text(min_size=1, max_size=40).filter(words)
several = st.lists(st.one_of(sentence, any_text), min_size=2, max_size=6)
exact = {"abs": 1e-9}


@functools.cache
def module(name):
    return metrics.load(name)


def alike(texts):
    return module("homogenization").compute(predictions=texts)


def diverse(texts):
    vectors = style_vectors(texts)  # any vectors that belong to the texts; the packaged encoder has its own tests
    return module("diversity").compute(predictions=texts, vectors=vectors)


@given(st.one_of(sentence, any_text), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_identical_texts_are_alike_and_not_diverse(text, copies):
    same, few = alike([text] * copies), diverse([text] * copies)
    assert same == {"rouge_l": 1, "self_bleu": pytest.approx(1)}
    assert few["semantic_distance"] == pytest.approx(0, **exact) and few["style_distance"] == pytest.approx(0, **exact)
    once = len(words(text))
    for n in (1, 2, 3, 4):
        grams = {tuple(words(text)[i : i + n]) for i in range(once - n + 1)}
        assert few[f"distinct_{n}"] == pytest.approx(len(grams) / max(1, copies * (once - n + 1)))


@given(several, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_texts_does_not_matter(texts, random):
    shuffled = random.sample(texts, len(texts))
    assert alike(shuffled) == pytest.approx(alike(texts))
    assert diverse(shuffled) == pytest.approx(diverse(texts), **exact)


@given(several)
@settings(max_examples=40, deadline=None)
def test_ranges(texts):
    assert all(0 <= value <= 1 for value in alike(texts).values())
    found = diverse(texts)
    assert all(0 <= found[f"distinct_{n}"] <= 1 for n in (1, 2, 3, 4))
    assert 0 < found["ngram_diversity"] <= 4 and found["compression_ratio"] > 0
    assert 0 <= found["semantic_distance"] <= 2 and 0 <= found["style_distance"] <= 1 + 1e-9


@given(several.filter(lambda texts: all(len(words(t)) < 20 for t in texts)), st.data())
@settings(max_examples=40, deadline=None)
def test_every_text_counts(texts, data):
    """Whichever text is replaced by words found nowhere else, likeness falls if it had any and diversity of words does not."""
    i = data.draw(st.integers(0, len(texts) - 1))
    others = rouge_l([texts[i]], texts[:i] + texts[i + 1 :])
    new = [*texts[:i], " ".join(f"zq{k}" for k in range(len(words(texts[i])))), *texts[i + 1 :]]
    before, after = alike(texts)["rouge_l"], alike(new)["rouge_l"]
    pairs = len(texts) * (len(texts) - 1) / 2
    assert after == pytest.approx(before - others.sum() / pairs)
    assert diverse(new)["distinct_1"] >= diverse(texts)["distinct_1"]


@given(several)
@settings(max_examples=60, deadline=None)
def test_self_bleu_is_sacrebleu_of_each_text_against_all_others(texts):
    by_sacrebleu = [
        [BLEU(effective_order=True, max_ngram_order=n).sentence_score(t, texts[:i] + texts[i + 1 :]).score / 100 for n in ORDERS]
        for i, t in enumerate(texts)
    ]
    np.testing.assert_allclose(self_bleu(texts, ORDERS), by_sacrebleu, atol=1e-9)


@given(st.lists(sentence, min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_rouge_l_is_that_of_the_rouge_package_over_all_pairs(texts):
    scorer = RougeScorer(["rougeL"])
    by_package = [scorer.score(a, b)["rougeL"].fmeasure for a, b in combinations(texts, 2)]
    assert alike(texts)["rouge_l"] == pytest.approx(np.mean(by_package))


@given(st.lists(st.lists(st.one_of(sentence, st.just(" ")), max_size=5), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_repetition_is_the_mean_over_stories_of_each_ones_self_bleu(stories):
    written = [[p for p in s if p != " "] for s in stories]
    scored = [self_bleu(s, (2, 3, 4, 5)).mean(axis=0) for s in written if len(s) > 1]
    if scored:
        found = module("repetition").compute(predictions=stories)
        assert [found[f"in_self_bleu_{n}"] for n in (2, 3, 4, 5)] == pytest.approx(np.mean(scored, axis=0))
        assert [s is not None for s in found["per_story"]] == [len(s) > 1 for s in written]


@given(sentence, any_text)
@settings(max_examples=40, deadline=None)
def test_a_story_is_wholly_relevant_to_itself(story, reference):
    found = module("relevance").compute(predictions=[story, story], references=[story, reference], keywords=[[story], [story, reference]])
    itself, other = found["per_story"]
    assert itself["rouge_1"] == itself["rouge_l"] == itself["keywords_kept"] == 1
    assert itself["rouge_2"] == float(len(words(story)) > 1)
    assert all(0 <= value <= 1 for value in other.values())


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.1), min_size=2, max_size=6))
def test_mean_pairwise_distance_is_its_definition(vectors):
    pairs = [1 - np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(np.array(vectors), 2)]
    assert mean_pairwise_distance(vectors) == pytest.approx(np.mean(pairs), **exact)


@given(several)
def test_style_vectors_are_unit_and_not_negative(texts):
    vectors = style_vectors(texts)
    assert (vectors >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)


@given(any_text)
def test_no_word_is_lost_between_sentences(text):
    assert sum(sentence_lengths(text)) == len(words(text))
