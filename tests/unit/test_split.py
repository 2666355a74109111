from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from plottwist.corpora.split import film_key, premise_key, prompt_key, split, together


def test_shares_are_60_15_25():
    counts = Counter(split(f"sw-{i}") for i in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.60) < 0.01
    assert abs(counts["validation"] / 20_000 - 0.15) < 0.01
    assert abs(counts["test"] / 20_000 - 0.25) < 0.01


def test_the_split_of_known_keys_never_changes():
    known = {"film:tootsie": "train", "film:amadeus": "test", "film:scarlet-letter": "train", "sw-0": "train", "sw-1": "train"}
    assert {key: split(key) for key in known} == known


def test_a_film_is_one_film_however_a_table_writes_it():
    assert film_key("The Sting") == film_key("Sting, The") == film_key("The Sting (1973 film)") == film_key("the sting")
    assert film_key("Amélie") == film_key("Amelie")
    assert film_key("Ocean's Eleven") == film_key("Oceans Eleven")


def test_prompts_ignore_tags_and_punctuation():
    assert prompt_key("[WP] You wake up, alone.") == prompt_key("You wake up alone")
    assert premise_key("A cook, alone.") == premise_key("A cook alone")


@given(
    st.lists(st.tuples(st.integers(0, 20).map(str), st.integers(0, 20).map(str)), max_size=30),
    st.sets(st.integers(0, 20).map(str), max_size=3),
)
def test_pairs_share_their_deciding_key(pairs, anchors):
    decides = together(pairs, anchors)
    for a, b in pairs:
        assert decides[a] == decides[b]
    for key, decider in decides.items():
        assert decides[decider] == decider
        assert (decider in anchors) == any(k in anchors for k in decides if decides[k] == decides[key])
