"""``make report``: the executed notebooks and the claims as a static site that opens from the file system, without a network.

Pages are rendered by nbconvert; equations become MathML; links between notebooks become links between pages, and links to files of
the repository keep pointing at them. Nothing is computed here: numbers come from results, pictures from stored tables.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from plottwist import claims, dag, figures, files, profiles, report, results
from plottwist.errors import PlotTwistError
from plottwist.paths import NOTEBOOKS, RESULTS

_HERE = Path(__file__).parent
_MATH = re.compile(r"(`+.*?`+)|\$\$(.+?)\$\$|(?<![\w$\\])\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\w)", re.S)
_LINK = re.compile(r"(\]\()(?!https?:|#|mailto:|data:)([^)\s]+)(\))")


def build(profile: str, out: Path) -> Path:
    """Write ``<out>/site/`` from the last run of a profile; returns the path of its ``index.html``.

    Raises:
        PlotTwistError: no notebook of this profile has been executed in ``out``.
    """
    name = profiles.load(profile).name
    executed = dag.notebooks(out.resolve() / "notebooks" / name)
    if not executed:
        raise PlotTwistError(f"no executed notebook of profile {name} in {out}; run `plottwist reproduce --profile {name}` first")
    site = out.resolve() / "site"
    shutil.rmtree(site, ignore_errors=True)
    titles = {stem: _title(nbformat.read(path, as_version=4), stem) for stem, path in executed.items()}
    for stem, path in executed.items():
        files.write_text(site / f"{stem}.html", _page(titles, name, stem, Markup(_body(path, site))))
    own = results.results_folder(out, name)
    pictures = _pictures(own, site / "figures", titles)
    recorded = {p: results.load(RESULTS / p) for p in profiles.names()} | {name: results.load(own)}
    verdicts = [v.row() | {"number": report.number(v.row())} for v in claims.judge_all(recorded)]
    content = _environment().get_template("index.html").render(verdicts=verdicts, pictures=pictures, profile=name, titles=titles)
    files.write_text(site / "index.html", _page(titles, name, "index", Markup(content)))
    return site / "index.html"


def _page(titles: dict[str, str], profile: str, current: str, body: Markup) -> str:
    from pygments.formatters import HtmlFormatter

    style = (_HERE / "style.css").read_text(encoding="utf-8") + HtmlFormatter(style="tango").get_style_defs(".highlight")
    title = titles.get(current, "Claims and figures")
    page = _environment().get_template("page.html")
    return page.render(titles=titles, profile=profile, current=current, title=title, body=body, style=Markup(style))


def _body(path: Path, site: Path) -> str:
    """The notebook's cells as HTML, code folded away where it has output to show."""
    from nbconvert import HTMLExporter

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _math(_LINK.sub(lambda m: m[1] + _target(m[2], site) + m[3], cell.source))
        elif cell.cell_type == "code":
            cell.outputs = [_static(output) for output in cell.outputs if output.get("name") != "stderr"]
    html, _ = HTMLExporter(template_name="basic", anchor_link_text=" ").from_notebook_node(notebook)
    return html


def _static(output: Any) -> Any:
    """A live widget has no life in a page: its plain text stays, its view goes."""
    for kind in [k for k in output.get("data", {}) if k.startswith("application/vnd.jupyter.widget")]:
        del output["data"][kind]
    return output


def _target(link: str, site: Path) -> str:
    """Where a link of a notebook points from the site."""
    path, hash_, anchor = link.partition("#")
    if re.fullmatch(r"\d\d_\w+\.ipynb", path):
        return path.removesuffix(".ipynb") + ".html" + hash_ + anchor
    return os.path.relpath(NOTEBOOKS / path, site) + hash_ + anchor


def _math(source: str) -> str:
    """Equations between dollars as MathML; code spans are left alone."""
    from latex2mathml.converter import convert

    def rendered(match: re.Match[str]) -> str:
        code, display, inline = match.groups()
        return code or (convert(display.strip(), display="block") if display else convert(inline))

    return _MATH.sub(rendered, source)


def _pictures(own: Path, target: Path, titles: dict[str, str]) -> list[dict[str, str]]:
    """Draw every figure of the run from its table; its caption is the first sentence of the docstring of the function that draws it."""
    known = figures.all_figures()
    pictures = []
    for figure in figures.available(own):
        figures.draw(figure, own, target)
        first = re.split(r"(?<=\.)\s", " ".join((known[figure].__doc__ or "").split()))[0]
        caption = re.sub(r"^\d\d: ", "", first)
        pictures.append({"file": f"figures/{figure}.png", "notebook": figure.split(".")[0], "id": figure, "caption": caption})
    return [p for p in pictures if p["notebook"] in titles]


def _title(notebook: nbformat.NotebookNode, stem: str) -> str:
    heading = next(
        (line for c in notebook.cells if c.cell_type == "markdown" for line in c.source.splitlines() if line.startswith("# ")), stem
    )
    return heading.removeprefix("# ").strip()


def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["colour"] = lambda status: status.split("(")[0].split(",")[0].strip().replace(" ", "-")
    return environment
