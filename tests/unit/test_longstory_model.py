"""LongStory's equations: fusion, contexts, calibrator; and what the baselines share with them."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional as F
from transformers import BartConfig, BartForConditionalGeneration, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.models.bart.modeling_bart import BartAttention

from plottwist.corpora import storyworld
from plottwist.errors import PlotTwistError
from plottwist.longstory import building, contexts, model
from plottwist.longstory.building import Size
from plottwist.longstory.contexts import Parts, mean_embedding
from plottwist.longstory.generation import begin, tell
from plottwist.longstory.order import ORDER_TOKENS
from plottwist.longstory.plain import HistoryParts
from plottwist.longstory.plotmachines import PlotParts
from plottwist.longstory.storyteller import Step
from plottwist.longstory.tokens import train_tokenizer

LIMITS = {"source_tokens": 20, "paragraph_tokens": 64}
SIZE = Size(width=32, layers=2, heads=2, positions=256, dropout=0.0, calibrator_width=16)
WEIGHTINGS = ("calibrated", "fixed", "learnable alpha")


@functools.cache
def stories():
    return [tuple(p) for p in storyworld.long_stories(8, (5, 8))["paragraphs"]]


@functools.cache
def tokenizer():
    return train_tokenizer([p for story in stories() for p in story], 600)


@torch.no_grad()
def stir(storyteller):
    """Weights and biases far from their start, where most differences drown and biases are zero."""
    generator = torch.Generator().manual_seed(1)
    for weight in storyteller.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return storyteller


def long_story(seed=0, size=SIZE, **parts):
    return stir(building.long_story(tokenizer(), Parts(**{**LIMITS, **parts}), size, seed))


def every_kind(size=SIZE):
    return [stir(storyteller) for storyteller in fresh(size)]


def fresh(size=SIZE):
    """One of each kind, untrained."""
    history = HistoryParts(**LIMITS, history_tokens=100)
    return [
        building.long_story(tokenizer(), Parts(**LIMITS), size, 0),
        building.plot_machines(tokenizer(), PlotParts(**LIMITS, state_slots=3), size, 0),
        building.plain_encoder_decoder(tokenizer(), history, size, 0),
        building.plain_decoder(tokenizer(), history, size, 0),
    ]


def name(value):
    return type(value).__name__


def step(position, story=0, paragraphs=None, keywords=("a storm", "brother")):
    told = stories()[story]
    return Step.at(keywords, position, paragraphs or len(told), told[:position])


def target(storyteller):
    return storyteller.target(storyteller.tokenizer.texts([stories()[0][0]])[0])


def read(storyteller, steps, memory=None):
    """Logits of the next true paragraph of each step, with the conditions they were made from."""
    memory = storyteller.first_memory([s.keywords for s in steps]) if memory is None else memory
    targets, mask = storyteller.tokenizer.padded([target(storyteller)] * len(steps), storyteller.device)
    conditions = storyteller.condition(steps, memory)
    return storyteller.logits(conditions, targets, mask), conditions


@pytest.mark.parametrize(
    "parts", [{"memory": False, "cheating": 0, "alpha": 1.0}, {"alpha": 1.0}, {"memory": False, "cheating": 0}], ids=str
)
def test_without_contexts_it_is_bart(parts):
    ours = long_story(**parts)
    plain = BartForConditionalGeneration(
        BartConfig(**{k: v for k, v in ours.config.to_dict().items() if k not in ("parts", "bert")})
    ).eval()
    missing, extra = plain.load_state_dict(ours.state_dict(), strict=False)
    assert not missing and not any("self_attn.q_proj" in e for e in extra)
    steps = [step(0), step(2, keywords=("moon",)), step(4, story=1)]
    ids, mask = tokenizer().padded([[tokenizer().start, *ours.source(s), tokenizer().end] for s in steps], ours.device)
    with torch.inference_mode():
        logits, conditions = read(ours, steps)
        targets, _ = tokenizer().padded([target(ours)] * 3, ours.device)
        theirs = plain(input_ids=ids, attention_mask=mask, labels=targets).logits
    assert conditions.weights[:, 0].tolist() == [1, 1, 1]
    torch.testing.assert_close(logits, theirs, atol=1e-5, rtol=0)


def test_with_contexts_it_is_not_bart():
    logits = [read(long_story(**parts), [step(3)])[0] for parts in ({}, {"alpha": 1.0})]
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_the_fusion_follows_the_equation():
    ours = long_story()
    attention = ours.model.encoder.layers[1].self_attn
    torch.manual_seed(0)
    q, m, c = torch.randn(2, 5, 32), torch.randn(2, 1, 32), torch.randn(2, 7, 32)
    weights = (torch.tensor([0.2, 0.5]), torch.tensor([0.3, 0.0]), torch.tensor([0.5, 0.5]))
    fused, _ = attention(q, attention_mask=None, contexts=model.Contexts(tuple(w[:, None, None] for w in weights), m, c, None))
    own = BartAttention.forward(attention, q)[0]
    over_m, over_c = attention.memory_attn(q, m)[0], attention.cheating_attn(q, c)[0]
    for row, (alpha, beta, gamma) in enumerate(zip(*weights, strict=True)):
        torch.testing.assert_close(fused[row], alpha * own[row] + beta * over_m[row] + gamma * over_c[row])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("on", [(True, 1), (True, 0), (False, 2), (False, 0)], ids=str)
def test_weights_sum_to_one_and_what_is_off_weighs_nothing(weighting, on):
    memory, cheating = on
    weights = long_story(memory=memory, cheating=cheating, weighting=weighting).weights([step(0), step(3)])
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert (weights[:, 1] > 0).all() == memory
    assert (weights[:, 2] > 0).all() == bool(cheating)


def test_calibrated_weights_follow_the_equation():
    ours = long_story(alpha=0.3)
    ids, mask = ours.calibrator_input([step(2)])
    b = ours.calibrator.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    beta = 0.7 * torch.sigmoid(b @ ours.calibrator.w.weight.T + ours.calibrator.w.bias).item()
    assert ours.weights([step(2)])[0].tolist() == pytest.approx([0.3, beta, 0.7 - beta], abs=1e-6)


@pytest.mark.parametrize("weight", [0.1, 0.2, 0.3, 0.4])
def test_fixed_weights_need_no_calibrator(weight):
    ours = long_story(weighting="fixed", memory_weight=weight)
    assert ours.calibrator is None
    assert ours.weights([step(1)])[0].tolist() == pytest.approx([0.5, weight, 0.5 - weight])


def test_order_tokens_reach_the_calibrator():
    ours = long_story()
    here = step(3)
    there = replace(here, order=("<tail>", "<ending>"))
    for s in (here, there):
        assert set(tokenizer().order(s.order)) <= set(ours.calibrator_input([s])[0][0].tolist())
    assert ours.calibrator_input([here])[0][0].tolist() != ours.calibrator_input([there])[0][0].tolist()
    assert (ours.weights([here]) - ours.weights([there])).abs().max() > 1e-4


def test_order_tokens_survive_a_previous_paragraph_longer_than_the_calibrator():
    ours = long_story(size=Size(**{**SIZE.model_dump(), "positions": 66}), source_tokens=20)
    s = Step(("storm",), ("<body>", "<middle>", "<next_is_ending>"), (" ".join(stories()[0]),))
    ids, _ = ours.calibrator_input([s])
    assert ids.shape == (1, 66)
    assert set(tokenizer().order(s.order)) < set(ids[0].tolist())
    ours.weights([s])


def test_without_discourse_nothing_knows_the_order():
    ours = long_story(discourse=False)
    a, b = step(3), replace(step(3), order=("<tail>", "<ending>"))
    torch.testing.assert_close(read(ours, [a])[0], read(ours, [b])[0], atol=0, rtol=0)


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_order_tokens_change_what_is_written(storyteller):
    a, b = step(3), replace(step(3), order=("<tail>", "<ending>"))
    assert (read(storyteller, [a])[0] - read(storyteller, [b])[0]).abs().max() > 1e-3


@pytest.mark.parametrize("spelt", ORDER_TOKENS)
def test_a_text_that_spells_an_order_token_is_not_one(spelt):
    ours = long_story()
    s = Step((f"storm {spelt}",), ("<intro>", "<front>"), (f"He read {spelt} aloud.",))
    seen = [*ours.source(s)[2:], *ours.calibrator_input([s])[0][0].tolist()[3:]]
    assert tokenizer().order([spelt])[0] not in seen
    assert spelt in tokenizer().decode(tokenizer().texts([f"He read {spelt} aloud."])[0])


@pytest.mark.parametrize("storyteller", every_kind(), ids=name)
def test_padding_changes_nothing(storyteller):
    """A step alone and the same step beside longer ones: same loss, weights and memory."""
    steps = [step(0, keywords=("moon",)), step(1), step(4, story=1, keywords=("a wide grey sea", "two brothers", "storm"))]
    texts = [stories()[0][0][:30], stories()[0][1], stories()[1][4] + stories()[1][5][:40]]
    torch.manual_seed(0)
    memory = storyteller.first_memory([s.keywords for s in steps])
    memory = F.normalize(memory + torch.randn_like(memory), dim=-1) if memory.numel() else memory
    with torch.inference_mode():
        nll, tokens, after = storyteller.losses(steps, memory, texts)
        weights = storyteller.condition(steps, memory).weights
        for i, (s, text) in enumerate(zip(steps, texts, strict=True)):
            alone, count, memory_alone = storyteller.losses([s], memory[i : i + 1], [text])
            assert (count.item(), alone.item()) == (tokens[i].item(), pytest.approx(nll[i].item(), rel=2e-6))
            torch.testing.assert_close(memory_alone[0], after[i], atol=1e-6, rtol=0)
            if weights is not None:
                torch.testing.assert_close(storyteller.condition([s], memory[i : i + 1]).weights[0], weights[i], atol=1e-6, rtol=0)


def test_padding_is_left_out_of_the_mean():
    embeddings = torch.tensor([[[1.0], [3.0], [1000.0]], [[5.0], [5.0], [5.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert mean_embedding(embeddings, mask).tolist() == [[2.0], [0.0]]


def test_memory_follows_the_equation():
    torch.manual_seed(0)
    update = contexts.Memory(6)
    m, h = torch.randn(2, 3, 6), torch.randn(2, 6)
    w1, w2, w3, w4 = (w.weight for w in (update.w1, update.w2, update.w3, update.w4))
    for b in range(2):
        for k in range(3):
            candidate = torch.tanh(w1 @ m[b, k] + w2 @ h[b])
            g = torch.sigmoid(w3 @ m[b, k] + w4 @ h[b])
            new = (1 - g) * m[b, k] + g * candidate
            torch.testing.assert_close(update(m, h)[b, k], new / new.norm())


def test_cheating_follows_the_equation():
    torch.manual_seed(0)
    cheat, e = contexts.Cheating(6), torch.randn(1, 4, 6)
    c = torch.tanh(e[0, 2] @ cheat.w5.weight.T)
    torch.testing.assert_close(cheat(e)[0, 2], c / c.norm())


@pytest.mark.parametrize("storyteller", every_kind()[:2], ids=name)
def test_memory_is_detached_but_its_update_learns(storyteller):
    first = storyteller.first_memory([step(1).keywords]).detach().requires_grad_()
    nll, _, memory = storyteller.losses([step(1)], first, [stories()[0][1]])
    nll.sum().backward()
    assert first.grad is None
    assert storyteller.memory.w2.weight.grad.abs().max() > 0
    later = memory.detach().requires_grad_()
    storyteller.losses([step(2)], later, [stories()[0][2]])[0].sum().backward()
    assert later.grad is None
    assert storyteller.memory.w1.weight.grad.abs().max() > 0


def test_every_part_learns():
    ours = long_story()
    first = ours.condition([step(1)], ours.first_memory([step(1).keywords])).memory
    ours.losses([step(2)], first, [stories()[0][2]])[0].sum().backward()
    still = [n for n, p in ours.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # One slot of memory: the softmax over a single key is 1, so its query and key cannot matter. Key biases never do.
    assert all(
        "memory_attn.q_proj" in n or "memory_attn.k_proj" in n or "token_type" in n or n.endswith(("k_proj.bias", "key.bias"))
        for n in still
    )


def test_the_first_paragraph_has_an_empty_context():
    ours = long_story()
    before = read(ours, [step(0)])
    assert before[1].memory.abs().max() == 0
    second = read(ours, [step(1)])[0]
    with torch.no_grad():
        for layer in ours.model.encoder.layers:
            for attention in (layer.self_attn.memory_attn, layer.self_attn.cheating_attn):
                for weight in attention.parameters():
                    weight.normal_()
    torch.testing.assert_close(read(ours, [step(0)])[0], before[0], atol=0, rtol=0)
    assert (read(ours, [step(1)])[0] - second).abs().max() > 1e-3


def test_an_empty_paragraph_leaves_the_memory_as_it_was():
    for storyteller in every_kind()[:2]:
        memory = storyteller.condition([step(2)], storyteller.first_memory([step(2).keywords])).memory
        after = storyteller.condition([replace(step(3), earlier=("",))], memory).memory
        torch.testing.assert_close(after, memory, atol=0, rtol=0)


@pytest.mark.parametrize("c", [1, 2, 3])
def test_cheating_reads_the_last_c_paragraphs(c):
    ours = long_story(cheating=c, weighting="fixed", memory=False)
    s = step(4)
    for back in range(1, 5):
        changed = list(s.earlier)
        changed[-back] = "Something else happened."
        difference = (read(ours, [s])[0] - read(ours, [replace(s, earlier=tuple(changed))])[0]).abs().max()
        assert (difference > 1e-4) == (back <= c)


def test_a_cheating_context_longer_than_the_positions_is_cut_at_its_beginning():
    ours = long_story(size=Size(**{**SIZE.model_dump(), "positions": 80}), source_tokens=20, cheating=3)
    c, mask = ours._cheat([Step(("storm",), ("<body>",), stories()[0][:3])])
    assert c.shape[1] == 80 and mask.all()
    read(ours, [step(3)])


@pytest.mark.parametrize(
    "parts",
    [
        {"memory": False},
        {"cheating": 0},
        {"discourse": False},
        {"weighting": "fixed", "memory_weight": 0.4},
        {"weighting": "learnable alpha"},
        {"cheating": 3},
    ],
    ids=str,
)
def test_a_saved_variant_is_the_same_model(parts, tmp_path):
    ours = long_story(**parts)
    ours.save(tmp_path)
    again = building.load(tmp_path)
    assert again.parts == ours.parts
    torch.testing.assert_close(read(again, [step(2), step(0)])[0], read(ours, [step(2), step(0)])[0], atol=0, rtol=0)


@pytest.mark.parametrize("storyteller", every_kind()[1:], ids=name)
def test_a_saved_baseline_is_the_same_model(storyteller, tmp_path):
    storyteller.save(tmp_path)
    again = building.load(tmp_path)
    assert type(again) is type(storyteller) and again.parts == storyteller.parts
    torch.testing.assert_close(read(again, [step(2)])[0], read(storyteller, [step(2)])[0], atol=0, rtol=0)


@pytest.fixture
def pretrained(tmp_path):
    """A tiny BART and a tiny BERT with a tokenizer of its own, in the Hub format, as other people would have saved them."""
    bart, bert = tmp_path / "bart", tmp_path / "bert"
    torch.manual_seed(3)
    small = train_tokenizer(stories()[0], 400).backend
    base = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(small.backend_tokenizer.to_str()),
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    base.save_pretrained(bart)
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 64))}
    BartForConditionalGeneration(BartConfig(vocab_size=len(base), d_model=32, max_position_embeddings=128, **sizes)).save_pretrained(bart)
    letters = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,"])}
    letters |= {f"##{c}": len(letters) + i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz")}
    pieces = Tokenizer(models.WordPiece(letters, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=pieces, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"
    ).save_pretrained(bert)
    BertModel(
        BertConfig(
            vocab_size=len(letters),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
    ).save_pretrained(bert)
    return bart, bert


def test_pretrained_weights_are_used_and_saved(pretrained, tmp_path):
    bart, bert = pretrained
    ours = model.LongStory.from_weights(bart, bert, Parts(**{**LIMITS, "alpha": 1.0})).eval()
    plain, small = BartForConditionalGeneration.from_pretrained(bart), BertModel.from_pretrained(bert)
    ids = torch.tensor([[0, 30, 40, 50, 2]])
    steps = [Step(("storm",), ("<body>", "<middle>"), (stories()[0][0],))]
    rows = ours.model.shared.weight[: plain.config.vocab_size]
    torch.testing.assert_close(rows, plain.model.shared.weight)
    torch.testing.assert_close(ours.model.decoder.layers[1].fc1.weight, plain.model.decoder.layers[1].fc1.weight)
    torch.testing.assert_close(
        ours.calibrator.bert.encoder.layer[0].attention.self.query.weight, small.encoder.layer[0].attention.self.query.weight
    )
    contexts_of = ours.condition(steps, ours.first_memory([("storm",)]))
    with torch.inference_mode():
        expected = plain.model.encoder(input_ids=ids).last_hidden_state
        alone = model.Contexts(tuple(torch.ones(1, 1, 1) * w for w in (1, 0, 0)), torch.zeros(1, 1, 32), torch.zeros(1, 1, 32), None)
        torch.testing.assert_close(ours.model.encoder(input_ids=ids, contexts=alone).last_hidden_state, expected, atol=1e-5, rtol=0)
    calibrated, _ = ours.calibrator_input(steps)
    assert calibrated[0, 0] == ours.calibrator_tokenizer.start == 2  # [CLS]
    assert set(ours.calibrator_tokenizer.order(steps[0].order)) < set(calibrated[0].tolist())
    written = next(tell(ours, begin(ours, ["storm"], 2))).last  # facebook/bart-large forces an end at the limit; that would hide a failure
    assert written.ended == (written.tokens < ours.limits.paragraph_tokens)
    ours.save(tmp_path / "ours")
    again = building.load(tmp_path / "ours")
    assert torch.equal(again.calibrator_input(steps)[0], calibrated)
    torch.testing.assert_close(again.condition(steps, again.first_memory([("storm",)])).memory, contexts_of.memory)


def test_missing_weights_are_a_clear_error(pretrained, tmp_path):
    bart, bert = pretrained
    with pytest.raises(PlotTwistError, match="tokenizer"):
        model.LongStory.from_weights(tmp_path / "nothing", bert)
    (bart / "model.safetensors").unlink()
    with pytest.raises(PlotTwistError, match="safetensors"):
        model.LongStory.from_weights(bart, bert)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"cheating": 4}, "cheating"),
        ({"memori": True}, "memori"),
        ({"alpha": -0.1}, "alpha"),
        ({"weighting": "fixed", "memory_weight": 0.6}, "memory_weight"),
    ],
    ids=str,
)
def test_wrong_parts_are_a_clear_error(wrong, what):
    with pytest.raises(PlotTwistError, match=what) as error:
        Parts.read(wrong)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_storyteller_is_a_clear_error(pretrained, tmp_path):
    with pytest.raises(PlotTwistError, match="BartForConditionalGeneration"):
        building.load(pretrained[0])
    with pytest.raises(PlotTwistError, match="cannot read"):
        building.load(tmp_path / "nothing")
    with pytest.raises(PlotTwistError, match="positions"):
        long_story(size=Size(width=32, positions=32))
