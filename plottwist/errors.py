"""The one exception type at the boundary: what went wrong, where, and how to mend it, in one line."""


class PlotTwistError(Exception):
    """Bad input or a broken surrounding (file, server, profile); never a bug in the package.

    The command line prints the message as one line and exits with code 2; line breaks in what it quotes become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))
