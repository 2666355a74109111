"""What a chat model that was not fine-tuned here is asked with. Loads no torch: the page asks a server and nothing more."""

from __future__ import annotations

from plottwist.backends import Messages

_TASK = "You write story plots of 100 to 200 words: one paragraph, past or present tense, the whole story with its ending. Answer with the plot alone."


def plot_messages(premise: str) -> Messages:
    """Instruction and premise."""
    return [{"role": "system", "content": _TASK}, {"role": "user", "content": premise}]
