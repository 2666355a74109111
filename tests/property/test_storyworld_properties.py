"""Whatever the levels, seed or text: stories read back, and the reader answers on its scale."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from plottwist.corpora import storyworld as sw
from plottwist.corpora.storyworld import reader as gold

level = st.floats(0, 1)
levels = st.builds(sw.Levels, level, level, level, level, level)
pieces = st.lists(st.one_of(st.text(max_size=30), st.sampled_from(sw.simulate(0).text.split(" "))), max_size=80)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), levels, st.one_of(st.none(), st.integers(5, 50)), st.sampled_from(sw.TONES))
def test_every_story_reads_back(seed, wanted, paragraphs, tone):
    story = sw.simulate(seed, wanted, paragraphs, tone)
    reading = gold.read(story.text, story.premise)
    assert reading.understood == 1
    assert set(reading.facts) == set(story.plan.facts())
    assert len(reading.continuity_errors) == len(story.paragraphs)


@settings(max_examples=150, deadline=None)
@given(pieces, st.text(max_size=200))
def test_the_reader_answers_any_text(parts, premise):
    reading = gold.read(" ".join(parts), premise)
    assert 0 <= reading.understood <= 1
    assert all(1 <= value <= 10 for value in reading.scores.as_dict().values())
    assert reading.threads_closed <= reading.threads_opened


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_dropping_a_sentence_never_raises_coherence_of_a_sound_plot(seed, data):
    story = sw.simulate(seed, sw.Levels())
    sentences = story.text.rstrip(".").split(". ")
    gone = data.draw(st.integers(0, len(sentences) - 1))
    rest = ". ".join(s for i, s in enumerate(sentences) if i != gone) + "."
    assert gold.read(rest).scores.coherence <= gold.read(story.text).scores.coherence
