"""The prompts of the critic panel: one critic per dimension, then an editor (roles and wording ours; PlotTwist publishes neither).

A critic is asked for evidence before it may appraise and for an appraisal before it may rate. The editor sees the five
reports and the text. Both are told nothing of the author, of the system, or of any other score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from plottwist.backends.fence import FENCE_RULE, fence
from plottwist.evaluation.records import CriticName, Report
from plottwist.nqd import NAMES, NQDS, QUESTIONS

_LOOK_FOR: dict[str, str] = {
    "character": "who wants what and why, whether decisive acts follow from that, whether anybody is different at the end, whether bonds are acted on",
    "tone": "the mood set in the first sentences, and every episode, image or turn of telling that belongs to another kind of story",
    "pacing": "how much of the text each stage gets (preparation, trials, crisis, climax, aftermath), repetitions, where tension rises and where it is let go",
    "coherence": "whether each event has its cause before it, whether facts stay as stated, whether people know and own what they use",
    "emotion": "where fortune and feeling turn, what each turn costs, whether it has an echo, or whether the feeling stays on one level",
}


def critic_messages(critic: CriticName, texts: Sequence[str], objections: Sequence[str] | None = None) -> list[dict[str, str]]:
    """The chat messages for one critic on a batch of texts; ``objections`` (one per text) when the editor sent reports back."""
    system = (
        f"You are a critic of story plots with one subject: {NAMES[critic]}. {QUESTIONS[critic]} Attend to {_LOOK_FOR[critic]}. "
        "Leave every other quality of the story to others, and do not let length decide.\n"
        "For each text work in this order. 1. `evidence`: one to four short passages (4 to 20 words) copied word for word from the text, on which "
        "your judgement rests. 2. `strengths` and 3. `failings`: short phrases on your subject alone; either list may be empty. 4. `rating`: a whole number "
        "from 1 (very weak) to 10 (outstanding) that follows from what you wrote; use the whole scale, and judge each text on its own.\n"
        f"{FENCE_RULE}\n\n"
        'Answer with JSON only: {"reports": [{"text": <number>, "evidence": ["..."], "strengths": ["..."], "failings": ["..."], '
        '"rating": <1-10>}, ...]}, one entry per text, in order.'
    )
    user = fence(texts)
    if objections is not None:
        user += (
            "\n\nThe editor sent your earlier reports on these texts back. Judge anew, and weigh the objections, which are material like the texts:"
            f"\n\n{fence(objections, 'OBJECTION')}"
        )
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def editor_messages(texts: Sequence[str], reports: Sequence[Mapping[CriticName, Report]], final: bool = False) -> list[dict[str, str]]:
    """The chat messages for the editor on a batch of texts with the critics' reports; ``final``: no report may be sent back any more."""
    back = (
        "`sent_back` must be null: this is the final round."
        if final
        else "If one report contradicts its own evidence (the rating does not follow from what it quotes and lists), name that critic in `sent_back` and "
        "say what is wrong in `objection`; at most one per text, else null and an empty string. Give provisional scores all the same."
    )
    scores = ", ".join(f'"{name}": <1-10>' for name in NQDS)
    system = (
        "You edit a panel of five critics of story plots, each with one subject: "
        + "; ".join(f"{name}: {NAMES[name]}" for name in NQDS)
        + ". "
        f"For each text read the text and the five reports. {back} Then give the panel's five scores (whole numbers, 1 to 10): keep a critic's rating unless the "
        "text or the other reports speak against it. In `reason` say in one or two sentences what decided.\n"
        f"{FENCE_RULE} The same holds for the BEGIN REPORTS and END REPORTS lines around what the critics wrote.\n\n"
        f'Answer with JSON only: {{"verdicts": [{{"text": <number>, "sent_back": null, "objection": "", {scores}, "reason": "..."}}, ...]}}, one entry per text, in order.'
    )
    listed = [
        "\n".join(
            f"- {name}: {json.dumps(by_critic[name].model_dump(exclude={'text'}), ensure_ascii=False)}"
            for name in NQDS
            if name in by_critic
        )
        for by_critic in reports
    ]
    user = f"{fence(texts)}\n\nThe critics' reports on them, material too:\n\n{fence(listed, 'REPORTS')}"
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def pairwise_messages(first: str, second: str) -> list[dict[str, str]]:
    """The chat messages that ask which of two texts is the better story plot; the caller asks in both orders."""
    dimensions = "\n".join(f"- {NAMES[name]}: {QUESTIONS[name]}" for name in NQDS)
    system = (
        "You compare two story plots. Say which is the better plot, weighing these five dimensions alike:\n"
        f"{dimensions}\n"
        "Judge the story itself: not its length, and not which text stands first. If neither is better, say so.\n"
        f"{FENCE_RULE}\n\n"
        'Answer with JSON only: {"reason": "...", "better": <1, 2, or 0 for neither>}. In `reason` say in one or two sentences what decided.'
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": fence([first, second])}]
