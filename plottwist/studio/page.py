"""The studio page: premise or pasted plot in; generate, rate, refine, explain; served by ``plottwist studio`` (Voila), or in a notebook.

Every step runs in a thread of its own with progress and cancel, bad input is one line of status, and whatever a model or a person wrote is
escaped before it becomes HTML. Ordinary widgets throughout, so that Tab, Enter and Space reach everything.
"""

from __future__ import annotations

import base64
import html
import io
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as w
import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plottwist.errors import PlotTwistError
from plottwist.evaluation.records import CriticReport
from plottwist.figures import STYLE
from plottwist.figures import studio as pictures
from plottwist.nqd import NAMES
from plottwist.studio import diff
from plottwist.studio.explain import Explanation
from plottwist.studio.refine import Refinement, checked
from plottwist.studio.workshop import Workshop

MOST_PLOTS = 8
_STYLE = """<style>
.studio ins {background:#d9f2e3;text-decoration:none;border-bottom:2px solid #009E73} .studio del {background:#fbe3d6;color:#8a3b00}
.studio table {border-collapse:collapse} .studio td, .studio th {padding:2px 10px 2px 0;text-align:left;vertical-align:top}
.studio .plot {max-width:46em;line-height:1.45} .studio .status {font-weight:600}
</style>"""

Step = tuple[float, str]


class Session(BaseModel):
    """What a page holds, as it is saved and loaded."""

    model_config = ConfigDict(extra="forbid")
    premise: str = ""
    plot: str = ""
    plots: list[str] = Field(default=[], max_length=MOST_PLOTS)
    scores: list[dict[str, float]] = []
    refinement: Refinement | None = None
    explanation: Explanation | None = None


class Page:
    """The page; ``view`` is what to display."""

    def __init__(self, workshop: Workshop | None = None) -> None:
        self.workshop = workshop or Workshop()
        self.session = Session()
        self._cancelled, self._running = threading.Event(), threading.Lock()
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
                "Explain": "labels, turning points, arc, cast", "Save JSON": "make a file of all that is on this page",
            }.items()
        }  # fmt: skip
        self.cancel = w.Button(description="Cancel", tooltip="stop after the step at hand", disabled=True)
        self._wire()
        self.view = self._laid_out()

    # -- the four jobs, as steps between which a person may cancel ------------------------------------------------

    def _generate(self) -> Iterator[Step]:
        premise, n, seed = checked(self.premise.value, "premise"), self.number.value, self.seed.value
        plots: list[str] = []
        warning = ""
        for k in range(n):
            yield k / n, f"writing plot {k + 1} of {n}"
            written, warning = self.workshop.generate(premise, 1, seed + k)
            plots += written
            self._show_plots(plots)
        yield from self._measure(plots)
        yield 1.0, warning or f"{n} plots written"

    def _rate(self) -> Iterator[Step]:
        yield 0.1, "measuring"
        yield from self._measure([checked(self.plot.value)])
        yield 1.0, "measured"

    def _measure(self, plots: list[str]) -> Iterator[Step]:
        """Scores, radar, and the evidence of the analytic critics."""
        scores, reports = [], []
        for k, plot in enumerate(plots):
            yield 0.5 + 0.5 * k / len(plots), f"measuring plot {k + 1} of {len(plots)}"
            scores.append(self.workshop.rate([plot])[0].as_dict())
            reports.append(self.workshop.evidence(plot))
        self.session.scores = scores
        table = pd.DataFrame([{"label": f"plot {k + 1}", **s} for k, s in enumerate(scores)])
        self.ratings.value = _ratings(table, reports)

    def _refine(self) -> Iterator[Step]:
        plot = checked(self.plot.value)
        yield 0.1, "measuring, then proposing new versions"
        found = self.session.refinement = self.workshop.refine(plot, self.premise.value or None, self.seed.value)
        self.refined.value = _refinement(found)
        yield 1.0, found.reason

    def _explain(self) -> Iterator[Step]:
        plot = checked(self.plot.value)
        yield 0.2, "reading"
        found = self.session.explanation = self.workshop.explain(plot)
        self.explained.value = _explanation(found)
        yield 1.0, found.note or "explained"

    # -- saving and loading --------------------------------------------------------------------------------------

    def _save(self) -> Iterator[Step]:
        self.session.premise, self.session.plot = self.premise.value, self.plot.value
        content = base64.b64encode(self.session.model_dump_json(indent=1).encode()).decode()
        self.saved.value = f'<a download="plottwist-studio.json" href="data:application/json;base64,{content}">plottwist-studio.json</a>'
        yield 1.0, "saved: follow the link beside the button"

    def load(self, content: bytes) -> None:
        """Put a saved session on the page. Raises PlotTwistError if it is none."""
        try:
            self.session = Session.model_validate(json.loads(content))
        except (ValueError, ValidationError, RecursionError) as error:
            raise PlotTwistError("the file is no saved studio session; choose one that this page made") from error
        self.premise.value, self.plot.value = self.session.premise, self.session.plot
        self.refined.value = _refinement(self.session.refinement) if self.session.refinement else ""
        self.explained.value = _explanation(self.session.explanation) if self.session.explanation else ""
        self.ratings.value = ""
        if self.session.plots:
            self._show_plots(self.session.plots, keep=True)

    # -- machinery -----------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        jobs = {"Generate": self._generate, "Rate": self._rate, "Refine": self._refine, "Explain": self._explain, "Save JSON": self._save}
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
        thread = threading.Thread(target=self._work, args=(job,), daemon=True)
        thread.start()
        return thread

    def _work(self, job: Callable[[], Iterator[Step]]) -> None:
        message = ""
        try:
            for share, message in job():
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
        for button in self.buttons.values():
            button.disabled = busy
        self.cancel.disabled = not busy
        if not busy:
            self.progress.value = 0.0

    def _tell(self, message: str) -> None:
        self.status.value = f'<span class="status" role="status" aria-live="polite">{html.escape(message)}</span>'

    def _show_plots(self, plots: list[str], keep: bool = False) -> None:
        self.session.plots = list(plots)
        self.choice.options = [(f"plot {k + 1}", k) for k in range(len(plots))]
        self.choice.layout.display = None if len(plots) > 1 else "none"
        if not keep:
            self.choice.value, self.plot.value = 0, plots[0]

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"] is not None and change["new"] < len(self.session.plots):
            self.plot.value = self.session.plots[change["new"]]

    def _loaded(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        try:
            self.load(bytes(change["new"][0]["content"]))
            self._tell("loaded")
        except PlotTwistError as error:
            self._tell(str(error))

    def _laid_out(self) -> w.VBox:
        heading = w.HTML(f"{_STYLE}<h1>Studio</h1><p>{html.escape(self.workshop.described())}</p>")
        rows = [
            heading,
            self.premise,
            w.HBox([self.number, self.seed, self.buttons["Generate"]]),
            self.choice,
            self.plot,
            w.HBox([self.buttons[n] for n in ("Rate", "Refine", "Explain")] + [self.cancel, self.progress]),
            self.status,
            self.ratings,
            self.refined,
            self.explained,
            w.HBox([self.buttons["Save JSON"], self.saved, self.loader]),
        ]
        view = w.VBox(rows)
        view.add_class("studio")
        return view


def _ratings(table: pd.DataFrame, reports: list[list[CriticReport]]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(row.label)}</th>" + "".join(f"<td>{row[name]:.1f}</td>" for name in NAMES) + "</tr>"
        for _, row in table.iterrows()
    )
    head = "".join(f"<th>{name}</th>" for name in NAMES.values())
    evidence = "".join(
        f"<details><summary>Evidence for plot {k + 1} (five analytic critics, apart from the rater)</summary><ul>{''.join(map(_report, own))}</ul></details>"
        for k, own in enumerate(reports)
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
    model = f"<h3>In plain words, by {html.escape(found.mind)}</h3><ul>{''.join(f'<li>{line}</li>' for line in said)}</ul>" if said else ""
    drawn = picture(pictures.arc(table), f"Emotional arc: {measured.shape}") if len(table) > 1 else ""
    return f'<h2>Explained</h2>{drawn}<p>Arc: {html.escape(measured.shape)}</p><table class="plot">{rows}</table><h3>Cast</h3><ul>{cast}</ul>{model}'


def picture(figure: Figure, alt: str) -> str:
    """A figure as an ``<img>`` that needs no file."""
    buffer = io.BytesIO()
    with matplotlib.style.context(STYLE):
        figure.savefig(buffer, format="png", dpi=130)
    return f'<p><img alt="{html.escape(alt)}" style="max-width:46em" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"></p>'
