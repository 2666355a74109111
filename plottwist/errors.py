"""The one exception type at the boundary: what went wrong, where, and how to mend it, in one line."""


class PlotTwistError(Exception):
    """Bad input or a broken surrounding (file, server, profile); never a bug in the package.

    The command line prints the message as one line and exits with code 2.
    """
