"""``plottwist refine | explain | studio``: one text from a file or standard input, or the page on localhost."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plottwist.errors import PlotTwistError
from plottwist.nqd import NAMES
from plottwist.paths import NOTEBOOKS

if TYPE_CHECKING:
    from plottwist.studio.refine import Refinement

TEMPLATES = Path(__file__).with_name("jupyter")
PAGE = NOTEBOOKS / "08_studio.ipynb"
MODEL_VARIABLE = "PLOTTWIST_STUDIO_MODEL"


def read_text(source: str) -> str:
    """A text file, or standard input for ``-``. Raises PlotTwistError if it cannot be read as UTF-8."""
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise PlotTwistError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PlotTwistError(f"{source} is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def refine_file(source: str, premise: str | None, model: Path | None, seed: int, as_json: bool) -> None:
    """Print the refined version: what was measured, the word diff, the text to use; or the whole record as JSON."""
    from plottwist.studio.workshop import Workshop  # loads torch: only whoever asks for a text to be worked on pays

    found = Workshop(model).refine(read_text(source), premise, seed)
    print(found.model_dump_json(indent=1) if as_json else _told(found))


def explain_file(source: str, model: Path | None, as_json: bool) -> None:
    """Print the explanation, or the whole record as JSON."""
    from plottwist.studio import explain
    from plottwist.studio.workshop import Workshop

    found = Workshop(model).explain(read_text(source))
    print(found.model_dump_json(indent=1) if as_json else explain.as_text(found))


def serve(port: int, token: bool, browser: bool, model: Path | None) -> None:
    """Become Voila, serving the page on localhost until it is stopped. With a token, only who has the printed address gets in.

    Raises:
        PlotTwistError: a folder without a studio model, or a server half configured, which the page itself could not say.
    """
    from plottwist.studio.workshop import Workshop

    print(Workshop(model).described(), file=sys.stderr)
    command = [
        sys.executable,
        "-m",
        "voila",
        str(PAGE),
        f"--port={port}",
        "--Voila.ip=localhost",
        "--template=studio",
        "--show_tracebacks=False",
    ]
    command += ["--token"] if token else []
    command += [] if browser else ["--no-browser"]
    own = {"JUPYTER_PATH": os.pathsep.join(filter(None, [str(TEMPLATES), os.environ.get("JUPYTER_PATH")]))}
    chosen = {MODEL_VARIABLE: str(model.resolve())} if model else {}
    os.execve(sys.executable, command, {**os.environ, **own, **chosen})


def page_model() -> Path | None:
    """The model folder that ``serve`` was given, in the page's own process."""
    return Path(os.environ[MODEL_VARIABLE]) if os.environ.get(MODEL_VARIABLE) else None


def served() -> bool:
    """Whether this process is a kernel of Voila."""
    return "VOILA_APP_PORT" in os.environ


def _told(found: Refinement) -> str:
    from plottwist.studio import diff

    scores = ", ".join(f"{name} {found.before[key]:.1f} -> {found.after[key]:.1f}" for key, name in NAMES.items())
    lines = [f"{found.band} draft, weakest in {NAMES[found.weakest]}; {found.reason}", f"{found.share_rewritten:.0%} rewritten; {scores}"]
    return "\n\n".join([*lines, diff.as_text(found.original, found.text), found.text] if found.kept else [*lines, found.text])
