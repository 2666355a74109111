"""The evaluate modules: loadable by path without a network, exact on examples, one line for bad input."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from plottwist import metrics
from plottwist.errors import PlotTwistError
from plottwist.metrics.vectors import mean_pairwise_distance, pairwise_distances, semantic_vectors, style_vectors
from plottwist.paths import ROOT

NAMES = ("diversity", "homogenization", "repetition", "relevance", "length_control")
PLOTS = [
    "A keeper lights the lamp. His brother rows home through the storm, and the lamp goes out!",
    "The queen sold her crown; nobody in the city would say why.",
    "A keeper lights the lamp. His sister walks home along the shore.",
]
STORY = {"predictions": [["The lamp went out.", "The storm came."]], "ended": [[True, True]], "tokens": [8]}
INPUTS = {
    "diversity": {"predictions": PLOTS},
    "homogenization": {"predictions": PLOTS},
    "repetition": {"predictions": [PLOTS]},
    "relevance": {"predictions": PLOTS, "references": PLOTS, "keywords": [["lamp"]] * 3},
    "length_control": {**STORY, "references": [2], "tokens_asked": [8]},
}


@pytest.fixture(scope="module", params=NAMES)
def module(request):
    return metrics.load(request.param)


def compute(name, **inputs):
    return metrics.load(name).compute(**inputs)


def test_all_load_by_path_without_a_network(tmp_path):
    code = f"""
import socket
def refused(*args, **kwargs): raise AssertionError("a network was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
import evaluate
for name in {NAMES}: evaluate.load("plottwist/metrics/" + name)
print(evaluate.load("plottwist/metrics/diversity").compute(predictions={PLOTS})["semantic_distance"])
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout.splitlines()[-1]) < 2


def test_what_is_returned_is_documented(module):
    documented = module.inputs_description.replace("distinct_1 .. distinct_4", "distinct_1 distinct_2 distinct_3 distinct_4")
    documented = documented.replace("in_self_bleu_2 .. in_self_bleu_5", "in_self_bleu_2 in_self_bleu_3 in_self_bleu_4 in_self_bleu_5")
    named = documented.split("Returns:")[1].replace(",", " ").replace(":", " ").split()
    assert set(module.compute(**INPUTS[module.name])) <= set(named)
    assert module.citation and module.description


def test_nothing_given_is_one_line_and_leaves_the_module_fit_for_use(module):
    before = module.compute(**INPUTS[module.name])
    with pytest.raises(PlotTwistError) as error:
        module.compute(**{name: [] for name in module.features})
    assert "\n" not in str(error.value)
    assert module.compute(**INPUTS[module.name]) == before


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        ("diversity", {"predictions": PLOTS[:1]}, "at least 2"),
        ("diversity", {"predictions": [PLOTS[0], "", "!"]}, "text 2 has no words"),
        ("diversity", {"predictions": PLOTS, "vectors": [[1.0]]}, "one vector per text"),
        ("diversity", {"predictions": PLOTS, "vectors": [[1.0], [0.0], [1.0]]}, "none of them zero"),
        ("diversity", {"predictions": PLOTS, "vectors": [[1.0], [float("nan")], [1.0]]}, "finite"),
        ("homogenization", {"predictions": ["one", " "]}, "text 2 has no words"),
        ("repetition", {"predictions": [["One paragraph."], ["One.", " "]]}, "none of 2 stories"),
        ("relevance", {"predictions": ["a"], "references": [""], "keywords": [["a"]]}, "reference 1 has no words"),
        ("relevance", {"predictions": ["a"], "references": ["a"], "keywords": [[]]}, "story 1: no keywords"),
        ("relevance", {"predictions": ["a"], "references": ["a"], "keywords": [["a", "?"]]}, "without words"),
        ("length_control", {**STORY, "ended": [[True]], "references": [2], "tokens_asked": [8]}, "2 paragraphs but 1 ends"),
        ("length_control", {**STORY, "references": [0], "tokens_asked": [8]}, "at least 1"),
        ("length_control", {**STORY, "references": [2], "tokens_asked": [0]}, "at least 1"),
    ],
)
def test_bad_input_is_one_line(name, inputs, said):
    with pytest.raises(PlotTwistError, match=said) as error:
        compute(name, **inputs)
    assert "\n" not in str(error.value)


def test_diversity_by_hand():
    found = compute("diversity", predictions=["The cat sat.", "the cat ran"], vectors=[[1, 0], [0, 2]])
    assert [found[f"distinct_{n}"] for n in (1, 2, 3, 4)] == [4 / 6, 3 / 4, 1, 0]
    assert found["ngram_diversity"] == pytest.approx(4 / 6 + 3 / 4 + 1)
    assert found["compression_ratio"] == 24 / len(gzip.compress(b"The cat sat.\nthe cat ran"))
    assert found["semantic_distance"] == pytest.approx(1)


def test_the_texts_are_compressed_once():
    often = compute("diversity", predictions=["the lamp went out in the storm again"] * 200, vectors=np.ones((200, 1)))
    assert 40 < often["compression_ratio"] < 200  # compressed twice, it would come out near or below 1


def test_the_packaged_encoder_knows_what_is_alike():
    distances = pairwise_distances(semantic_vectors(["A cat slept on the mat.", "A kitten was asleep on a rug.", "The bank raised rates."]))
    assert distances.shape == (3, 3)
    assert distances[0, 1] < distances[0, 2]


def test_style_hears_habits_and_not_topics():
    terse = ["He ran. He fell. He got up.", "She dug. She hid. She sat down."]
    ornate = "And so, while the rain that had been falling since the morning went on, the old keeper, who knew it well, climbed up again."
    distances = pairwise_distances(style_vectors([*terse, ornate]))
    assert distances[0, 1] < 0.5 * distances[0, 2]
    curly = style_vectors(["“Don’t go,” he said.", '"Don\'t go," he said.'])
    assert mean_pairwise_distance(curly) == pytest.approx(0)


def test_the_last_document_counts_in_homogenization():
    texts = ["one two three four", "one two three four", "five six seven eight"]
    assert compute("homogenization", predictions=texts)["rouge_l"] == pytest.approx(1 / 3)
    assert compute("homogenization", predictions=texts)["self_bleu"] == pytest.approx(2 / 3)


def test_repetition_reads_each_story_by_itself():
    repeats, differs = ["One two three four five."] * 2, ["Alpha beta gamma.", "Delta epsilon zeta!"]
    found = compute("repetition", predictions=[repeats, differs, ["Alone."], [*repeats, " "]])
    assert found["scored"] == 3 and found["per_story"][2] is None
    assert found["per_story"][0] == found["per_story"][3] == {f"in_self_bleu_{n}": 1 for n in (2, 3, 4, 5)}
    assert found["per_story"][1]["in_self_bleu_2"] < 0.5
    assert found["in_self_bleu_4"] == pytest.approx(np.mean([found["per_story"][i]["in_self_bleu_4"] for i in (0, 1, 3)]))


def test_relevance_by_hand_and_by_the_rouge_package():
    keywords = [["Lamp goes out", "brother’s boat", "the  lamp"], ["crown"], ["lights"]]
    found = compute("relevance", predictions=[PLOTS[0], "", PLOTS[2]], references=[PLOTS[2], PLOTS[1], PLOTS[2]], keywords=keywords)
    package = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(PLOTS[2], PLOTS[0])
    first, empty, same = found["per_story"]
    assert [first[k] for k in ("rouge_1", "rouge_2", "rouge_l")] == pytest.approx([s.fmeasure for s in package.values()])
    assert first["keywords_kept"] == pytest.approx(2 / 3)
    assert set(empty.values()) == {0} and set(same.values()) == {1}
    assert found["keywords_kept"] == pytest.approx((2 / 3 + 1) / 3)


def test_a_keyword_is_kept_as_whole_words():
    found = compute(
        "relevance", predictions=["The stormy lighthouse."], references=["x"], keywords=[["storm", "light house", "lighthouse"]]
    )
    assert found["keywords_kept"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("paragraphs", "ended", "asked", "failed"),
    [
        (["A.", "B."], [True, True], 2, 0),
        (["A.", " "], [True, True], 2, 1 / 2),
        (["A.", "B"], [True, False], 2, 1 / 2),
        (["A."], [True], 2, 1 / 2),
        (["A.", "B.", "C."], [True, True, True], 2, 1 / 3),
        ([], [], 2, 1),
    ],
)
def test_length_control_by_hand(paragraphs, ended, asked, failed):
    made = {"predictions": [paragraphs], "ended": [ended], "references": [asked], "tokens": [30], "tokens_asked": [40]}
    found = compute("length_control", **made)
    assert (found["success"], found["failed_paragraphs"]) == (float(failed == 0), pytest.approx(failed))
    assert (found["token_ratio"], found["token_error"]) == (0.75, 0.25)
