"""What stands behind the shell and the page: one place that knows which model answers which text.

Storyworld text goes to the small model (offline, committed weights); other English goes to a language model, where one is configured
(``PLOTTWIST_API_BASE``, ``PLOTTWIST_API_MODEL``; the key stays in its environment variable and is never shown), and is measured by the
reward model of notebook 01. Models are loaded when they are first needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from plottwist import profiles
from plottwist.backends import Backend, Failure, Sampling
from plottwist.corpora import storyworld as sw
from plottwist.errors import PlotTwistError
from plottwist.evaluation.records import CriticReport
from plottwist.generator.instruction import plot_messages
from plottwist.nqd import NQDS, NQDScores
from plottwist.paths import RESULTS
from plottwist.studio import explain, refine

if TYPE_CHECKING:
    from plottwist.reward.experiments import AnyRewardModel
    from plottwist.studio.small import StudioModel

COMMITTED = RESULTS / "cpu" / "models" / "07_refine_and_explain.studio"
_PROFILE = "cpu"  # whose settings the page decides by, as the recorded notebook 07 does

_NEEDS_API = "for free English set PLOTTWIST_API_BASE and PLOTTWIST_API_MODEL to a language model's server"


class Workshop:
    """Generate, rate, refine, explain.

    Args:
        model: folder of a studio model; the committed one if left out.
        backend: a language model for free English; the configured server if left out, or none.

    Raises:
        PlotTwistError: the named folder holds no studio model. Without the committed one there is still free English.
    """

    def __init__(self, model: Path | None = None, backend: Backend | None = None) -> None:
        self._folder = model or COMMITTED
        self._installed = (self._folder / refine.BANDS).is_file()
        self._backend = backend
        if model and not self._installed:
            raise PlotTwistError(f"{model} holds no studio model; {refine.MAKE_ONE}")

    @cached_property
    def backend(self) -> Backend | None:
        """The language model for free English, if one is configured."""
        if self._backend is not None or not os.environ.get("PLOTTWIST_API_BASE"):
            return self._backend
        from plottwist.backends.api import Api

        return Api()

    @cached_property
    def small(self) -> StudioModel:
        """The small Storyworld model. Raises PlotTwistError if its weights are not there."""
        from plottwist.studio.small import load_studio  # seconds of imports, which only its users pay

        return load_studio(self._folder)

    @cached_property
    def margin(self) -> float:
        """Spreads of quality by which a new version must be preferred: about the rater's error in comparing two."""
        return profiles.load(_PROFILE).studio.margin

    def described(self) -> str:
        """Who answers, for the page; never an address or a key."""
        small = "small model, offline" if self._installed else "no small model is installed (`plottwist run 07` makes one)"
        served = f"Free English: {self.backend.name}" if self.backend else "Free English: measured only, no language model is configured"
        return f"Storyworld: {small}. {served}."

    def is_story(self, text: str) -> bool:
        """Whether the small model works on a text."""
        return self.unread(text) is None

    def unread(self, text: str) -> str | None:
        """Why the small model does not work on a text, or None where it does.

        Raises:
            PlotTwistError: its folder is broken.
        """
        return self.small.unread(text) if self._installed else f"{self._folder} holds no studio model; {refine.MAKE_ONE}"

    def generate(self, premise: str, n: int = 1, seed: int = 0) -> tuple[list[str], str]:
        """n plots for a premise, and a warning where the premise is outside what the model knows ("" otherwise).

        Raises:
            PlotTwistError: an empty premise, or a server that cannot answer.
        """
        premise = refine.checked(premise, "premise")
        foreign = sorted(_words(premise) - sw.premise_terms())
        if self.backend and (foreign or not self._installed):
            return self._asked(premise, n, seed), ""
        plots = [_written(plot, self.small.name) for plot in self.small.generate(premise, n, seed)]
        return plots, f"outside what the small model knows ({', '.join(foreign[:6])}): expect it to drift; {_NEEDS_API}" if foreign else ""

    def rate(self, texts: Sequence[str]) -> list[NQDScores]:
        """Five scores of each text, by the rater of its world. Raises PlotTwistError for an empty one."""
        return [(self.small.rate if self.is_story(text) else self._english)([text])[0] for text in map(refine.checked, texts)]

    def rated_by(self, text: str) -> str:
        """Which rater measures a text: their scales differ, so scores of two raters do not compare."""
        return "the Storyworld rater" if self.is_story(text) else "the reward model of English plots"

    def evidence(self, text: str) -> list[CriticReport]:
        """What the five analytic critics quote, praise and blame; they chose nothing and rate apart from the rater."""
        from plottwist.evaluation.analytic import Analytic

        return Analytic().judge({"text": refine.checked(text)})[0].reports

    def refine(self, text: str, premise: str | None = None, seed: int = 0) -> refine.Refinement:
        """A better version, or the original with the reason why it stays.

        Raises:
            PlotTwistError: an empty text; one that the small model cannot read where no language model is configured.
        """
        text = refine.checked(text)
        why = self.unread(text)
        if why is None:
            return refine.refine([text], self.small, self.small.rate, self.small.bands, [premise], self.margin, seed)[0]
        if self.backend is None:
            raise PlotTwistError(f"the small model cannot refine this text: {why}; or {_NEEDS_API}")
        mind = refine.LanguageModel(self.backend)
        return refine.refine([text], mind, self._english, self._english_bands, [premise], self.margin, seed)[0]

    def explain(self, text: str) -> explain.Explanation:
        """The measured part for any text; the small model's facts for Storyworld; a language model's reasons for free English."""
        text = refine.checked(text)
        why = self.unread(text)
        if why and self.backend:
            return explain.explain(text, self.backend)
        found = explain.explain(text)
        if why:
            return found.model_copy(
                update={"note": f"measured part only, the small model cannot explain this text: {why}; or {_NEEDS_API}"}
            )
        return found.model_copy(update={"facts": self.small.explain([text])[0], "mind": self.small.name})

    def _english(self, texts: Sequence[str]) -> list[NQDScores]:
        return [rated.scores for rated in self._english_rater.rate_stream(iter(texts))]

    @cached_property
    def _english_rater(self) -> AnyRewardModel:
        from plottwist.reward import experiments, rating

        return experiments.load(rating.COMMITTED)

    @cached_property
    def _english_bands(self) -> refine.Bands:
        """Thirds of the PN ratings of the shipped training plots, which the rater was trained on."""
        from plottwist.corpora import shipped
        from plottwist.reward import ratings

        training = [row["plot_id"] for row in shipped.plots() if row["split"] == "train"]
        return refine.Bands.of(ratings.pn("plots").loc[training, list(NQDS)])

    def _asked(self, premise: str, n: int, seed: int) -> list[str]:
        """Plots by the language model."""
        plots = []
        for k in range(n):
            answer = self.backend.complete([plot_messages(premise)], Sampling(temperature=1.0, top_p=0.95, max_tokens=700, seed=seed + k))[
                0
            ]
            if isinstance(answer, Failure):
                raise PlotTwistError(f"{self.backend.name} wrote no plot: {answer.reason}")
            plots.append(_written(answer.rpartition("</think>")[2].strip(), self.backend.name))
        return plots


def _written(plot: str, by: str) -> str:
    if not any(c.isalpha() for c in plot):
        raise PlotTwistError(f"{by} wrote no plot: its answer has no words; try another seed or premise")
    return plot


def _words(text: str) -> set[str]:
    return {word.strip(".,;:!?\"'").removesuffix("'s") for word in text.lower().split()} - {""}
