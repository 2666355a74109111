"""The studio page: premise or pasted plot in; generate, rate, refine, explain; served by ``plottwist studio`` (Voila), or in a notebook.

Every step runs in a thread of its own with progress and cancel, bad input is one line of status, and whatever a model or a person wrote is
escaped before it becomes HTML. Cancel is answered at once: a call that a model is at work on cannot be stopped halfway, so it ends in the
background, what it finds is thrown away, and the next step waits for it. Ordinary widgets throughout, so that Tab, Enter and Space reach
everything.
"""

from __future__ import annotations

import base64
import codecs
import html
import io
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from typing import Annotated, Any, TypeVar

import ipywidgets as w
import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plottwist.errors import PlotTwistError
from plottwist.evaluation.records import CriticReport
from plottwist.figures import STYLE
from plottwist.figures import studio as pictures
from plottwist.nqd import NAMES, NQDS
from plottwist.studio import diff
from plottwist.studio.explain import Explanation
from plottwist.studio.refine import LONGEST, Refinement, Scores, checked, within
from plottwist.studio.workshop import Workshop

MOST_PLOTS = 8
LARGEST = 8_000_000  # bytes of a saved session: more than a page can hold
_TICK = 0.1  # seconds between two looks at Cancel
_STYLE = """<style>
.studio ins {background:#d9f2e3;text-decoration:none;border-bottom:2px solid #009E73} .studio del {background:#fbe3d6;color:#8a3b00}
.studio table {border-collapse:collapse} .studio td, .studio th {padding:2px 10px 2px 0;text-align:left;vertical-align:top}
.studio .plot {max-width:46em;line-height:1.45} .studio .status {font-weight:600}
</style>"""

Step = tuple[float, str]
Result = TypeVar("Result")
Text = Annotated[str, Field(max_length=LONGEST)]


class Rating(BaseModel):
    """What was measured of one plot: by which rater, and what the analytic critics, apart from it, quote for and against it.

    ``number`` is the plot's place among those written, from 1; None for a plot that was pasted or changed.
    """

    model_config = ConfigDict(extra="forbid")
    number: int | None = Field(default=None, ge=1, le=MOST_PLOTS)
    rater: str
    scores: Scores
    reports: list[CriticReport] = Field(max_length=len(NQDS))

    @property
    def label(self) -> str:
        return f"plot {self.number}" if self.number else "this plot"


class Session(BaseModel):
    """What a page holds, as it is saved and loaded."""

    model_config = ConfigDict(extra="forbid")
    premise: Text = ""
    plot: Text = ""
    plots: list[Text] = Field(default=[], max_length=MOST_PLOTS)
    ratings: list[Rating] = Field(default=[], max_length=MOST_PLOTS)
    refinement: Refinement | None = None
    explanation: Explanation | None = None


class Page:
    """The page; ``view`` is what to display."""

    def __init__(self, workshop: Workshop | None = None) -> None:
        self.workshop = workshop or Workshop()
        self.session = Session()
        self._cancelled, self._running = threading.Event(), threading.Lock()
        self._bench = ThreadPoolExecutor(max_workers=1)  # one call at a time, a cancelled one that is still at work included
        wide = w.Layout(width="46em")
        self.premise = w.Textarea(
            description="Premise", placeholder="Who, where, what they want, what stands in the way", rows=3, layout=wide
        )
        self.number = w.BoundedIntText(description="Plots", value=2, min=1, max=MOST_PLOTS)
        self.seed = w.BoundedIntText(description="Seed", value=0, min=0, max=2**30)
        self.plot = w.Textarea(description="Plot", placeholder="Paste a plot here, or generate one", rows=9, layout=wide)
        self.choice = w.Dropdown(description="Show plot", options=[], layout=w.Layout(display="none"))
        self.progress = w.FloatProgress(max=1.0, layout=w.Layout(width="20em"))
        self.status = w.HTML()
        self.ratings, self.refined, self.explained = w.HTML(), w.HTML(), w.HTML()
        self.saved = w.HTML()
        self.loader = w.FileUpload(accept=".json", multiple=False, description="Load JSON")
        self.buttons = {
            name: w.Button(description=name, tooltip=tip)
            for name, tip in {
                "Generate": "write plots for the premise", "Rate": "measure the plot", "Refine": "propose a better version of the plot",
                "Explain": "labels, turning points, arc, cast", "Use new version": "put the refined version in place of the plot",
                "Save JSON": "make a file of all that is on this page",
            }.items()
        }  # fmt: skip
        self.cancel = w.Button(description="Cancel", tooltip="stop: what is finished stays, the rest is thrown away", disabled=True)
        self._wire()
        self.view = self._laid_out()

    # -- the jobs, as steps between which a person may cancel -----------------------------------------------------

    def _generate(self) -> Iterator[Step]:
        premise, n, seed = checked(self.premise.value, "premise"), self.number.value, self.seed.value
        plots: list[str] = []
        warning = ""
        for k in range(n):
            call = partial(self.workshop.generate, premise, 1, seed + k)
            written, warning = yield from self._at_work(call, 0.5 * k / n, f"writing plot {k + 1} of {n}")
            plots += written
            self._show_plots(plots)
        yield from self._measure(dict(enumerate(plots, start=1)))
        yield 1.0, warning or f"{n} plots written"

    def _rate(self) -> Iterator[Step]:
        plot, chosen = checked(self.plot.value), self.choice.value
        written = chosen is not None and self.session.plots[chosen] == self.plot.value
        yield from self._measure({chosen + 1 if written else None: plot})
        yield 1.0, "measured"

    def _measure(self, plots: dict[int | None, str]) -> Iterator[Step]:
        """Scores, radar, and the evidence of the analytic critics, of plots by number."""
        ratings = []
        for k, (number, plot) in enumerate(plots.items()):
            said = f"measuring plot {k + 1} of {len(plots)}"
            ratings.append((yield from self._at_work(partial(self._measured, number, plot), 0.5 + 0.5 * k / len(plots), said)))
        self.session.ratings = ratings
        self.ratings.value = _ratings(ratings)

    def _measured(self, number: int | None, plot: str) -> Rating:
        scores = self.workshop.rate([plot])[0].as_dict()
        return Rating(number=number, rater=self.workshop.rated_by(plot), scores=scores, reports=self.workshop.evidence(plot))

    def _refine(self) -> Iterator[Step]:
        call = partial(self.workshop.refine, checked(self.plot.value), self.premise.value or None, self.seed.value)
        found = yield from self._at_work(call, 0.2, "measuring, then proposing new versions")
        self.session.refinement = found
        self.refined.value = _refinement(found)
        yield 1.0, found.reason

    def _use(self) -> Iterator[Step]:
        if self.session.refinement is None or not self.session.refinement.kept:
            raise PlotTwistError("there is no new version to use; press Refine first")
        self.plot.value = self.session.refinement.text
        yield 1.0, "the refined version is the plot now"

    def _explain(self) -> Iterator[Step]:
        found = yield from self._at_work(partial(self.workshop.explain, checked(self.plot.value)), 0.2, "reading")
        self.session.explanation = found
        self.explained.value = _explanation(found)
        yield 1.0, f"explained; {found.note}" if found.note else "explained"

    # -- saving and loading --------------------------------------------------------------------------------------

    def _save(self) -> Iterator[Step]:
        self.session.premise, self.session.plot = within(self.premise.value, "premise"), within(self.plot.value, "plot")
        content = base64.b64encode(self.session.model_dump_json(indent=1).encode()).decode()
        self.saved.value = f'<a download="plottwist-studio.json" href="data:application/json;base64,{content}">plottwist-studio.json</a>'
        yield 1.0, "saved: follow the link beside the button"

    def load(self, content: bytes) -> None:
        """Put a saved session on the page, whole or not at all. Raises PlotTwistError if it is none."""
        session = _session(content)
        shown = (
            _ratings(session.ratings) if session.ratings else "",
            _refinement(session.refinement) if session.refinement else "",
            _explanation(session.explanation) if session.explanation else "",
        )
        self.session = session
        self._offer(session.plots)
        if session.plot in session.plots:
            self.choice.value = session.plots.index(session.plot)
        self.premise.value, self.plot.value = session.premise, session.plot  # after the choice, which puts a plot of its own there
        self.ratings.value, self.refined.value, self.explained.value = shown

    def _load(self, content: bytes) -> Iterator[Step]:
        yield 0.2, "loading"
        self.load(content)
        yield 1.0, "loaded"

    # -- machinery -----------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        jobs = {
            "Generate": self._generate, "Rate": self._rate, "Refine": self._refine, "Explain": self._explain,
            "Use new version": self._use, "Save JSON": self._save,
        }  # fmt: skip
        for name, job in jobs.items():
            self.buttons[name].on_click(lambda _, job=job: self.run(job))
        self.cancel.on_click(lambda _: self._cancelled.set())
        self.choice.observe(self._chosen, names="value")
        self.loader.observe(self._loaded, names="value")

    def run(self, job: Callable[[], Iterator[Step]]) -> threading.Thread | None:
        """Start a job in a thread of its own; None where another one is at work."""
        if not self._running.acquire(blocking=False):
            return None
        self._cancelled.clear()
        self._busy(True)
        self.saved.value = ""  # the link would give the page as it was before this step
        thread = threading.Thread(target=self._work, args=(job,), daemon=True)
        thread.start()
        return thread

    def _at_work(self, call: Callable[[], Result], share: float, message: str) -> Generator[Step, None, Result]:
        """A long call as steps, so that Cancel is answered while it runs; what a cancelled call finds is thrown away."""
        found = self._bench.submit(call)
        try:
            while True:
                done = wait([found], _TICK).done
                yield share, message if done or found.running() else "waiting for the cancelled step to end"
                if done:
                    return found.result()
        finally:
            found.cancel()

    def _work(self, job: Callable[[], Iterator[Step]]) -> None:
        message = ""
        try:
            with closing(job()) as steps:
                for share, message in steps:
                    self.progress.value = share
                    self._tell(message)
                    if self._cancelled.is_set() and share < 1:
                        message = "cancelled"
                        break
        except PlotTwistError as error:
            message = str(error)
        except BaseException:
            message = "this step broke off by a fault of the program (see the server's log); what was there before still stands"
            raise
        finally:
            self._tell(message)
            self._busy(False)
            self._running.release()

    def _busy(self, busy: bool) -> None:
        for button in (*self.buttons.values(), self.loader):
            button.disabled = busy
        self.cancel.disabled = not busy
        if not busy:
            self.progress.value = 0.0

    def _tell(self, message: str) -> None:
        self.status.value = f'<span class="status" role="status" aria-live="polite">{html.escape(message)}</span>'

    def _show_plots(self, plots: list[str]) -> None:
        """New plots, the first in the field; ratings of others go."""
        self._offer(plots)
        self.choice.value, self.plot.value = 0, plots[0]
        self.session.ratings, self.ratings.value = [], ""

    def _offer(self, plots: list[str]) -> None:
        self.session.plots = list(plots)
        self.choice.options = [(f"plot {k + 1}", k) for k in range(len(plots))]
        self.choice.layout.display = None if len(plots) > 1 else "none"

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"] is not None and change["new"] < len(self.session.plots):
            self.plot.value = self.session.plots[change["new"]]

    def _loaded(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.run(partial(self._load, bytes(change["new"][0]["content"])))
            self.loader.value = ()  # so that the same file can be loaded again

    def _laid_out(self) -> w.VBox:
        heading = w.HTML(f"{_STYLE}<h1>Studio</h1><p>{html.escape(self.workshop.described())}</p>")
        rows = [
            heading,
            self.premise,
            w.HBox([self.number, self.seed, self.buttons["Generate"]]),
            self.choice,
            self.plot,
            w.HBox([self.buttons[n] for n in ("Rate", "Refine", "Explain", "Use new version")] + [self.cancel, self.progress]),
            self.status,
            self.ratings,
            self.refined,
            self.explained,
            w.HBox([self.buttons["Save JSON"], self.saved, self.loader]),
        ]
        view = w.VBox(rows)
        view.add_class("studio")
        return view


def _session(content: bytes) -> Session:
    """A saved session. Raises PlotTwistError if it is none, naming the first place that is wrong."""
    if len(content) > LARGEST:
        raise PlotTwistError(f"the file has {len(content)} bytes, too many for a saved studio session; choose one that this page made")
    try:
        return Session.model_validate_json(content.removeprefix(codecs.BOM_UTF8))
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        where = " ".join(".".join(str(part)[:40] for part in error["loc"]).split()) or "the file"
        raise PlotTwistError(f"the file is no saved studio session ({where}: {error['msg']}); choose one that this page made") from problem


def _ratings(ratings: list[Rating]) -> str:
    table = pd.DataFrame([{"label": rating.label, **rating.scores} for rating in ratings])
    rows = "".join(
        f"<tr><th>{rating.label}</th>"
        + "".join(f"<td>{rating.scores[name]:.1f}</td>" for name in NAMES)
        + f"<td>{html.escape(rating.rater)}</td></tr>"
        for rating in ratings
    )
    head = "".join(f"<th>{name}</th>" for name in (*NAMES.values(), "by"))
    evidence = "".join(
        f"<details><summary>Evidence for {rating.label} (five analytic critics, apart from the rater)</summary>"
        f"<ul>{''.join(map(_report, rating.reports))}</ul></details>"
        for rating in ratings
    )
    return f"<h2>Ratings</h2><table><tr><th></th>{head}</tr>{rows}</table>{picture(pictures.radar(table), 'Radar of the five dimensions')}{evidence}"


def _report(report: CriticReport) -> str:
    said = "; ".join([*report.strengths, *report.failings]) or report.error or "nothing stands out"
    quotes = " … ".join(f"“{html.escape(quote)}”" for quote in report.evidence)
    return f"<li><b>{NAMES[report.critic]}</b>: {html.escape(said)}. {quotes}</li>"


def _refinement(found: Refinement) -> str:
    before, after = (sum(s.values()) / len(s) for s in (found.before, found.after))
    text = diff.as_html(found.original, found.text)
    facts = f"{found.band} draft, weakest in {NAMES[found.weakest]}; {found.reason}; {found.share_rewritten:.0%} rewritten; mean score {before:.1f} to {after:.1f}"
    return f'<h2>Refined</h2><p>{html.escape(facts)}</p><div class="plot diff">{text}</div>'


def _explanation(found: Explanation) -> str:
    measured = found.measured
    turns = {point.sentence: point.name for point in measured.turning_points}
    table = pd.DataFrame({"valence": measured.arc, "turning_point": [turns.get(i, "") for i in range(len(measured.arc))]})
    rows = "".join(
        f"<tr><th>{html.escape(label)}</th><td>{html.escape(part)}</td></tr>"
        for label, part in zip(measured.labels, measured.sentences, strict=True)
    )
    cast = "".join(
        f"<li><b>{html.escape(p.name)}</b>, named {p.mentions} times{html.escape(f'; wants {p.wants}' if p.wants else '')}"
        f"{html.escape(f'; against it: {p.against}' if p.against else '')}</li>"
        for p in measured.cast
    )
    said = [html.escape(fact) for fact in found.facts]
    said += [html.escape(f"{x.who} wants {x.wants}" + (f"; in the way: {x.obstacle}" if x.obstacle else "")) for x in found.wishes]
    said += [f"“{html.escape(t.quote)}”: {html.escape(t.why)}" for t in found.turns]
    said += [found.left_out] if found.left_out else []
    by = f", by {html.escape(found.mind)}" if found.mind else ""
    model = f"<h3>In plain words{by}</h3><ul>{''.join(f'<li>{line}</li>' for line in said)}</ul>" if said else ""
    drawn = picture(pictures.arc(table), f"Emotional arc: {measured.shape}") if len(table) > 1 else ""
    return f'<h2>Explained</h2>{drawn}<p>Arc: {html.escape(measured.shape)}</p><table class="plot">{rows}</table><h3>Cast</h3><ul>{cast}</ul>{model}'


def picture(figure: Figure, alt: str) -> str:
    """A figure as an ``<img>`` that needs no file."""
    buffer = io.BytesIO()
    with matplotlib.style.context(STYLE):
        figure.savefig(buffer, format="png", dpi=130)
    return f'<p><img alt="{html.escape(alt)}" style="max-width:46em" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"></p>'
