"""What a chat model that was not fine-tuned here is asked with. Loads no torch: the page asks a server and nothing more."""

from __future__ import annotations

from plottwist.backends import Messages
from plottwist.errors import PlotTwistError

FORMS = {
    "synopsis": "You write story plots of 100 to 200 words: one paragraph, past or present tense, the whole story with its ending. "
    "Answer with the plot alone.",
    "fable": "You write fables of 100 to 200 words: few figures, animals or plain folk, one turn that follows from what they are, "
    "and a last sentence that draws the moral. Answer with the fable alone.",
    "dialogue": "You write stories of 100 to 200 words told in speech alone: every line begins with the name of who speaks and a colon, "
    "and what happens, up to the ending, shows in what they say. Answer with the dialogue alone.",
    "screenplay": "You write short screenplays of 150 to 250 words: scene headings, action in present tense, names above their lines, "
    "and the whole story with its ending. Answer with the screenplay alone.",
    "lesson": "You write teaching stories of 100 to 200 words: somebody meets a difficulty, tries, errs and finds out, and what they learn "
    "shows in what they do, with the whole story to its ending. Answer with the story alone.",
}


def plot_messages(premise: str, form: str = "synopsis") -> Messages:
    """Instruction and premise. Raises PlotTwistError for a form that is not in ``FORMS``."""
    return [{"role": "system", "content": FORMS[checked(form)]}, {"role": "user", "content": premise}]


def checked(form: str) -> str:
    """The form, if it is one of ``FORMS``. Raises PlotTwistError otherwise."""
    if form not in FORMS:
        raise PlotTwistError(f"no form '{form}'; known: {', '.join(FORMS)}")
    return form
