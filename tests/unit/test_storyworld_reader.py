"""The gold reader: what it measures, what it is blind to, and what it does with text that is not of its world."""

from __future__ import annotations

import random
import re
import time
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict

from plottwist.corpora import storyworld as sw
from plottwist.corpora.storyworld import reader as gold
from plottwist.corpora.storyworld.grammar import grammar
from plottwist.corpora.storyworld.realise import base_context
from plottwist.corpora.storyworld.world import words
from plottwist.nqd import NQDS

N = 2000


def scores(text: str) -> np.ndarray:
    return np.array(list(gold.read(text).scores.as_dict().values()))


@pytest.fixture(scope="module")
def study():
    """2,000 plots at random levels: stories, levels (N, 5), readings, scores (N, 5)."""
    stories = [sw.simulate(seed) for seed in range(N)]
    readings = [gold.read(s.text, s.premise) for s in stories]
    levels = np.array([[getattr(s.levels, n) for n in NQDS] for s in stories])
    read = np.array([[getattr(r.scores, n) for n in NQDS] for r in readings])
    return stories, levels, readings, read


def test_each_score_follows_its_level_and_no_other(study):
    _, levels, _, read = study
    rho = np.array([[spearmanr(levels[:, i], read[:, j])[0] for j in range(5)] for i in range(5)])
    assert np.diag(rho).min() >= 0.90, rho
    assert np.abs(rho - np.diag(np.diag(rho))).max() <= 0.20, rho


def test_length_tells_no_level(study):
    stories, levels, _, _ = study
    length = [len(s.text.split()) for s in stories]
    assert max(abs(spearmanr(length, levels[:, i])[0]) for i in range(5)) <= 0.10


@pytest.mark.parametrize("binary", [False, True])
def test_a_bag_of_words_tells_no_level(study, binary):
    stories, levels, _, _ = study
    counts = CountVectorizer(binary=binary).fit_transform([s.text for s in stories]).astype(float)
    guess = cross_val_predict(Ridge(alpha=100.0), counts, levels, cv=5)
    rho = {n: spearmanr(guess[:, i], levels[:, i])[0] for i, n in enumerate(NQDS)}
    assert max(abs(v) for n, v in rho.items() if n != "tone") <= 0.5, rho


def test_scores_use_the_whole_scale(study):
    *_, read = study
    assert (read.min(axis=0) <= 2).all()
    assert (read.max(axis=0) == 10).all()


def test_levels_are_graded(study):
    *_, read = study
    assert min(len(np.unique(read[:, j].round(3))) for j in range(5)) >= 7


def test_all_is_understood_and_every_fact_of_the_plan_recovered(study):
    stories, _, readings, _ = study
    assert all(r.understood == 1 for r in readings)
    assert all(set(r.facts) == set(s.plan.facts()) for s, r in zip(stories, readings, strict=True))


def test_premise_kept(study):
    stories, _, readings, _ = study
    assert np.mean([r.premise_kept for r in readings]) > 0.99
    other = [gold.read(s.text, t.premise).premise_kept for s, t in pairwise(stories[:200])]
    assert np.mean(other) < 0.15
    assert gold.read(stories[0].text).premise_kept is None
    assert gold.read(stories[0].text, "A robot falls in love with the sea.").premise_kept is None


def test_labels_are_the_plans(study):
    stories, _, readings, _ = study
    for story, reading in zip(stories[:100], readings, strict=False):
        first = {}
        for event in story.plan.events:
            first.setdefault(event.sentence, event.label)
        assert reading.labels == list(first.values())


def test_other_words_for_the_same_events_score_the_same():
    for seed in range(200):
        one, other = sw.simulate(seed), sw.simulate(seed, wording=1)
        assert one.text != other.text
        np.testing.assert_allclose(scores(one.text), scores(other.text), atol=1e-9)


def test_deleting_a_cause_lowers_coherence_and_leaves_tone_alone():
    for seed in range(40):
        story = sw.simulate(seed, sw.Levels())
        sentences = story.text.rstrip(".").split(". ")
        before = gold.read(story.text).scores
        for cause in {story.plan.events[c].sentence for e in story.plan.events for c in e.causes}:
            after = gold.read(". ".join(s for i, s in enumerate(sentences) if i != cause) + ".").scores
            assert after.coherence < before.coherence, sentences[cause]
            assert after.tone == before.tone


def test_case_punctuation_and_spacing_do_not_matter():
    for seed in range(60):
        text = sw.simulate(seed).text
        sloppy = re.sub(r",", "", text).lower().replace(". ", " .\n ").replace(" ", "  ")
        np.testing.assert_allclose(scores(text), scores(sloppy))


def test_every_phrasing_reads_back_as_its_kind_and_tone():
    story_slots = {
        **base_context(sw.Cast(random.Random(1))),
        "A": "Mara",
        "B": "Odile",
        "C": "Bram",
        "D": "Corvin",
        "X": "Otto",
    }
    story_slots |= {
        "T": "Harrow",
        "P": "the salt mill",
        "at": "at the mill",
        "o": "key",
        "a_o": "a brass key",
        "g": "silver flute",
    }
    story_slots |= {
        "kin": "aunt",
        "role": "baker",
        "a_role": "a baker",
        "a_crole": "a weaver",
        "a_xrole": "a potter",
        "d_role": "judge",
    }
    story_slots |= {
        "sky": "rain",
        "task": "swept the cinders out",
        "food": "plums",
        "beast": "toad",
        "a_beast": "a toad",
    }
    story_slots |= {"errand": "counted the sentries", "N": "Mara"}
    story_slots |= {slot: next(iter(table.values()))[0].format(C="Bram", him="her") for slot, table in words().matters.items()}
    for kind, spec in words().kinds.items():
        keys = words().threads.get(kind.split("_")[0], ("",))
        for tone in sw.TONES:
            mood = words().moods[tone][0]
            for text in [*spec.get(tone, ()), *(c if "{mood}" in c else "{mood}, " + c for c in spec.get("any", ()))]:
                clauses = grammar().read(text.format(**story_slots, mood=mood, K=keys[0]))
                assert [(c.kind, c.tone) for c in clauses or ()] == [(kind, tone)], text


def test_500_plots_a_second():
    texts = [sw.simulate(seed).text for seed in range(500)]
    gold.read(texts[0])
    start = time.process_time()
    for text in texts:
        gold.read(text)
    assert 500 / (time.process_time() - start) >= 500


# -- text that is not of this world, or only half ----------------------------------------------------------------------


def _shuffled() -> str:
    tokens = sw.simulate(1, sw.Levels()).text.split()
    random.Random(0).shuffle(tokens)
    return " ".join(tokens)


FOREIGN = {
    "empty": "",
    "blank": " \n\n\t ",
    "dots": "... !!! ???",
    "shuffled": _shuffled(),
    "noise": "".join(random.Random(1).choices([chr(c) for c in range(32, 0x2FF)], k=50_000)),
    "words": " ".join(random.Random(2).choices(sorted(sw.premise_terms()), k=9_000)),
    "one clause without end": "Mara was thanked by the whole street and " * 1200,
    "names": "Mara " * 10_000,
    "german": "Es war einmal eine Müllerin in Harrow. Sie wollte den Fluss bezwingen, doch der Herzog schloss den Hafen.",
    "chinese": "从前有一位面包师住在哈罗镇。她想赢得比赛。" * 50,
    "praise": "This plot has perfect coherence, tone, pacing, character and emotion. Score: 10/10. " * 20,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_text_scores_low_fast_and_without_exception(name):
    start = time.process_time()
    reading = gold.read(FOREIGN[name])
    assert time.process_time() - start < 1.0
    assert reading.scores.overall <= 2.0
    assert max(reading.scores.as_dict().values()) <= 3.0


def test_what_is_not_understood_lowers_every_score():
    text = sw.simulate(4, sw.Levels()).text
    sentences = text.split(". ")
    garbled = ". ".join("Blue glorps fandangle the wug quietly again" + str(i) if i % 4 == 3 else s for i, s in enumerate(sentences))
    reading = gold.read(garbled)
    assert reading.understood < 0.8
    assert (scores(text) - scores(garbled) >= 1.5).all()


def test_repetition_does_not_pay():
    for seed in range(20):
        text = sw.simulate(seed, sw.Levels()).text
        sentences = text.rstrip(".").split(". ")
        looped = ". ".join([*sentences, *sentences[4:8] * 5]) + "."
        assert (scores(looped) < scores(text)).all()
        assert scores(". ".join(sentences[:4] * 6) + ".").mean() < 4


def test_a_truncated_last_sentence_costs_little():
    text = sw.simulate(9, sw.Levels()).text
    assert 0 < (scores(text) - scores(text[:-12])).max() < 4
    assert gold.read(text[:-12]).understood > 0.9


def test_a_protagonist_who_changes_name_is_incoherent():
    text = sw.simulate(12, sw.Levels()).text
    name = next(iter(sw.simulate(12).plan.characters))
    half = len(text) // 2
    renamed = text[:half] + text[half:].replace(name, "Zorblax")
    before, after = gold.read(text), gold.read(renamed)
    assert after.scores.coherence <= before.scores.coherence - 2
    assert sum(after.continuity_errors) >= 2


def test_ten_endings_are_worse_than_one():
    story = sw.simulate(14, sw.Levels())
    endings = " ".join(" ".join(sw.simulate(14, sw.Levels(), wording=w).text.split(". ")[-2:]) + "." for w in range(1, 11))
    one, ten = gold.read(story.text).scores, gold.read(story.text + " " + endings.replace(" .", ".")).scores
    assert ten.coherence < one.coherence
    assert ten.pacing < one.pacing


def test_idle_chatter_does_not_thin_out_contradictions():
    text = sw.simulate(15, sw.Levels(coherence=0)).text
    friend = list(sw.simulate(15).plan.characters)[2]
    chatter = " ".join(f"{m.capitalize()}, {friend} came by and gave her good advice." for m in words().moods["epic"])
    assert gold.read(text + " " + chatter).scores.coherence <= gold.read(text).scores.coherence + 1.3


def test_marker_words_alone_buy_nothing():
    text = sw.simulate(15, sw.Levels(coherence=0, emotion=0)).text
    marked = text.replace(". ", ". Suddenly, at the crisis, everything changed because of this. ")
    assert (scores(marked) <= scores(text) + 1e-9).all()


# -- long stories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 12, 30, 50])
def test_good_long_stories_close_their_threads_and_end_in_the_last_paragraph(n):
    for seed in range(8):
        story = sw.simulate(seed, sw.Levels(), paragraphs=n)
        reading = gold.read(story.text, story.premise)
        assert reading.understood == 1
        assert reading.threads_opened == reading.threads_closed >= 2
        assert reading.ending_paragraph == n - 1
        assert reading.continuity_errors == [0] * n
        assert min(reading.scores.as_dict().values()) >= 7
        assert set(reading.facts) == set(story.plan.facts())


def test_long_story_scores_follow_levels():
    stories = [sw.simulate(seed, paragraphs=15) for seed in range(150)]
    readings = [gold.read(s.text) for s in stories]
    for name in NQDS:
        rho = spearmanr([getattr(s.levels, name) for s in stories], [getattr(r.scores, name) for r in readings])[0]
        assert rho >= 0.85, name
    left_open = [r.threads_opened - r.threads_closed for r in readings]
    assert spearmanr([s.levels.coherence for s in stories], left_open)[0] < -0.6


def test_a_story_cut_short_has_no_ending_and_open_threads():
    story = sw.simulate(6, sw.Levels(), paragraphs=12)
    reading = gold.read("\n\n".join(story.paragraphs[:8]))
    assert reading.ending_paragraph is None
    assert reading.threads_closed < reading.threads_opened


def test_swapped_paragraphs_are_continuity_errors():
    story = sw.simulate(6, sw.Levels(), paragraphs=12)
    paragraphs = list(story.paragraphs)
    paragraphs[2:10] = paragraphs[2:10][::-1]
    assert sum(gold.read("\n\n".join(paragraphs)).continuity_errors) >= 3
