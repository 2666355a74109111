"""Text in, text out: a local model, an OpenAI-compatible server, or recorded answers, behind one small interface.

- ``local.Local``: a transformers chat model in this process.
- ``api.Api``: any OpenAI-compatible server; every answer is kept on disk and never paid for twice.
- ``replay.Replay``: the answers that ``Api`` kept, and nothing else.

``ask`` turns the text of an answer into a validated pydantic object. Importing this package loads neither torch nor httpx.
"""

from plottwist.backends.answers import ask
from plottwist.backends.base import Backend, Failure, Messages, Sampling

__all__ = ["Backend", "Failure", "Messages", "Sampling", "ask"]
