"""The analytic panel: its records, what moves each measure, what must not, and the replayed and the streamed panel."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from plottwist.backends.replay import text_sha256
from plottwist.cli import app
from plottwist.corpora import shipped
from plottwist.errors import PlotTwistError
from plottwist.evaluation import analytic, measures, panel
from plottwist.evaluation.reading import MAX_SENTENCES, arc, read, turning_points, valence
from plottwist.nqd import NQDS

STORY = (
    "Mara wants to keep the lighthouse that her brother Jon means to sell. She hides his letter under the stair because she is afraid. "
    "A storm wrecks the ferry, and Jon drowns. Mara weeps alone in the terrible dark. In the morning the keeper brings her the lamp. "
    "At last she forgives the sea, and the lighthouse is full of light, love and joy."
)


@pytest.fixture(scope="module")
def plots():
    return [row["plot"] for row in shipped.plots() if row["split"] == "train"][:14]


def one(text: str):
    return read([text])[0]


def test_the_record_is_whole_and_every_quote_stands_in_the_text(plots):
    texts = {f"p{i}": text for i, text in enumerate([STORY, *plots])}
    judged = panel.judge(texts, analytic.Analytic(), date="2026-01-31")
    assert [j.item for j in judged] == list(texts)
    for judgement in judged:
        text = texts[judgement.item]
        assert judgement.mind == "analytic" and judgement.date == "2026-01-31" and judgement.text_sha256 == text_sha256(text)
        assert [r.critic for r in judgement.reports] == list(NQDS)
        assert judgement.scores == {r.critic: r.rating for r in judgement.reports}
        for report in judgement.reports:
            assert 1 <= len(report.evidence) <= 4 and all(panel.occurs(quote, text) for quote in report.evidence)
    assert len({j.reason for j in judged}) > 1


def test_a_text_is_judged_alike_alone_and_among_others(plots):
    together = panel.judge({str(i): text for i, text in enumerate(plots)}, analytic.Analytic())
    (alone,) = panel.judge({"x": plots[3]}, analytic.Analytic())
    assert [alone.scores[n] for n in NQDS] == pytest.approx([together[3].scores[n] for n in NQDS], abs=0.05)


@pytest.mark.slow
def test_the_shipped_quartiles_are_those_of_the_training_plots():
    assert list(analytic._quartiles()) == [m.name for m in measures.MEASURES]
    measured = analytic.quartiles(analytic.training_plots())
    for name, quartiles in analytic._quartiles().items():
        assert measured[name] == pytest.approx(quartiles, abs=5e-3), name


def test_a_level_is_a_quarter_a_half_and_three_quarters_at_the_quartiles_and_never_saturates():
    assert [analytic._level(v, 2, 3, 4) for v in (2, 3, 4)] == pytest.approx([0.25, 0.5, 0.75])
    far = [analytic._level(v, 2, 3, 4) for v in (-2, -1, 7, 8)]
    assert far == sorted(far) and far[0] > 0 and far[-1] < 1 and len(set(far)) == 4
    assert analytic._level(0.0, 0.0, 0.0, 0.0) == 0.5


@pytest.mark.parametrize(
    ("measure", "better", "worse"),
    [
        (measures.motives, "He wants to sail because he is poor. He goes.", "He sails. He goes."),
        (measures.follow_through, "She longs for the sea. Days pass. She sails the sea.", "She longs for the sea. Days pass. He buys a cheese."),
        (measures.change, "She lies. He waits. At last she understands him.", "She lies. He waits. She lies to him."),
        (measures.bonds, "There Mara meets Jon. Then Jon leaves Mara.", "There Mara waits. Then Jon leaves."),
        (measures.unity, "The ship sails. The ship sinks. The crew of the ship swims.", "The ship sails. Tax forms are due. A violin is tuned."),
        (measures.stray, "The ship sails. The ship sinks. The crew of the ship swims.", "The ship sails. The ship sinks. Cheese costs two euros."),
        (measures.mood_kept, "The sea is grey. The sea is cold. The sea rises.", "The sea is grey. The sea is cold. A clown sells popcorn."),
        (measures.rush, "He goes there. He comes back. He goes again.", "He goes. He comes. He goes to war, wins it, marries, reigns, is betrayed and dies."),
        (measures.fresh_events, "He mends a boat. She burns bread. They count stars.", "He mends a boat. He mends a boat again. He mends his boat."),
        (measures.links, "A wolf waits. The wolf howls. Howls wake men.", "A wolf waits. Bread burns. Men wake."),
        (measures.acquaintance, "He finds a lamp. The lamp glows.", "The lamp glows. He finds a lamp."),
        (measures.the_dead_rest, "There Jon dies. Then Mara rows. She weeps for Jon.", "There Jon dies. Then Jon rows. Jon weeps for her."),
        (measures.span, "He is happy and loved. He waits. His love is murdered in horror.", "He sits. He waits. He walks."),
        (measures.turns, "He is happy. He is murdered. She rejoices in love. War kills.", "He sits. He waits. He walks. He goes."),
        (measures.cost, "She is tortured and weeps in agony.", "She is pleased and smiles."),
    ],
)  # fmt: skip
def test_a_measure_moves_as_its_sentence_says(measure, better, worse):
    assert measure(one(better))[0] > measure(one(worse))[0]


def test_events_in_one_stage_are_less_balanced():
    even = " ".join(["He walks, and he waits." for _ in range(10)])
    crowded = " ".join(["He walks and waits there now."] * 8 + ["He goes, sees, fights, loses, flees, hides; weeps, dies."] * 2)
    assert measures.balance(one(even))[0] > measures.balance(one(crowded))[0]


def test_tension_that_rises_late_and_a_turn_that_lasts():
    glad, grim = "They laugh with joy and love.", "They are murdered in terror and agony."
    rising = " ".join([glad] * 4 + ["They wait there."] * 2 + [grim] * 3 + [glad])
    falling = " ".join([grim] * 4 + ["They wait there."] * 2 + [glad] * 4)
    assert measures.tension(one(rising))[0] > 0.5 > measures.tension(one(falling))[0]
    flicker = " ".join([glad, grim] * 5)
    assert measures.turns_hold(one(rising))[0] > measures.turns_hold(one(flicker))[0]


def test_the_order_of_sentences_is_seen():
    split = ["A ship sails to sea.", "The ship meets a storm at sea.", "The storm breaks the mast.", "A baker in town bakes bread.", "The baker sells bread.", "People of the town eat the bread."]  # fmt: skip
    mixed = [split[i] for i in (0, 3, 1, 4, 2, 5)]
    assert measures.sequence(one(" ".join(split)))[0] > measures.sequence(one(" ".join(mixed)))[0]


@pytest.mark.parametrize("text", ["Yes", "No. No. No.", "a" * 5000, "Ünïcode – “quotes” 東京. Ça va!", "One.\n\nTwo;\tthree?!", "9 a 9"])
def test_any_text_with_a_word_has_five_finite_scores(text):
    (judgement,) = panel.judge({"x": text}, analytic.Analytic())
    assert all(1 <= judgement.scores[n] <= 10 for n in NQDS)
    assert all(panel.occurs(q, text) for r in judgement.reports for q in r.evidence)


def test_without_a_word_there_is_no_score_by_default():
    judged = panel.judge({"x": "?! 123", "y": STORY}, analytic.Analytic())
    assert set(judged[0].scores.values()) == {None} and "no words" in judged[0].reason
    assert None not in judged[1].scores.values()
    with pytest.raises(PlotTwistError, match="'z' is empty"):
        panel.judge({"z": " "}, analytic.Analytic())


def test_a_book_is_read_to_a_limit_and_the_reason_says_so():
    (judgement,) = panel.judge({"x": " ".join(f"He walks to door {i}." for i in range(MAX_SENTENCES + 5))}, analytic.Analytic())
    assert f"first {MAX_SENTENCES} sentences" in judgement.reason


def test_turning_points_stand_where_feeling_turns():
    feeling = valence(["They laugh with joy."] * 10 + ["They are murdered in agony."] * 10 + ["They laugh with joy."] * 10)
    found = turning_points(feeling)
    assert {10, 20} <= set(found) and found == sorted(found) and len(found) <= 5
    assert turning_points(np.zeros(10)) == []
    assert arc(feeling).shape == feeling.shape and arc(feeling).min() >= feeling.min()


def test_recorded_judgements_are_found_by_their_words(tmp_path):
    judged = panel.judge({"a": STORY}, analytic.Analytic())
    panel.write(tmp_path / "j.jsonl", judged)
    known, unknown = panel.judge({"b": STORY, "c": "Another story."}, panel.Recorded(tmp_path / "j.jsonl"))
    assert known == judged[0].model_copy(update={"item": "b"})
    assert set(unknown.scores.values()) == {None} and "no recorded judgement" in unknown.reason


def test_the_command_streams_one_judgement_a_row(tmp_path):
    source, out = tmp_path / "plots.jsonl", tmp_path / "judged.jsonl"
    source.write_text("".join(json.dumps({"plot": text}) + "\n" for text in [STORY, " ", STORY]))
    assert CliRunner().invoke(app, ["judge", str(source), "--out", str(out)], catch_exceptions=False).exit_code == 0
    first, empty, last = (json.loads(line) for line in out.read_text().splitlines())
    assert [first["item"], empty["item"], last["item"]] == ["1", "2", "3"]
    assert first["scores"] == last["scores"] and set(empty["scores"].values()) == {None} and "empty text" in empty["reason"]
    source.write_text(json.dumps({"plot": STORY}) + "\nnot json\n")
    with pytest.raises(PlotTwistError, match="line 2"):
        CliRunner().invoke(app, ["judge", str(source), "--out", str(tmp_path / "no.jsonl")], catch_exceptions=False)
    assert not (tmp_path / "no.jsonl").exists() and not list(tmp_path.glob(".*tmp"))
    with pytest.raises(PlotTwistError, match="no mind 'oracle'"):
        CliRunner().invoke(app, ["judge", str(source), "--mind", "oracle"], catch_exceptions=False)


def test_the_shipped_judgements_replay_from_the_command(tmp_path):
    plot = next(row["plot"] for row in shipped.plots() if row["split"] == "test")
    (tmp_path / "p.jsonl").write_text(json.dumps({"plot": plot}) + "\n")
    result = CliRunner().invoke(app, ["judge", str(tmp_path / "p.jsonl"), "--mind", "replay"], catch_exceptions=False)
    assert None not in json.loads(result.stdout.splitlines()[-1])["scores"].values()
