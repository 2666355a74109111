"""LSP, long story structural positions: the order tokens D_t that tell a paragraph where in its story it stands.

LongStory, section on discourse tokens: first, body or last paragraph; which third; and a warning one paragraph before the end.
"""

from __future__ import annotations

from plottwist.errors import PlotTwistError

ORDER_TOKENS = ("<intro>", "<body>", "<tail>", "<front>", "<middle>", "<ending>", "<next_is_ending>")
MOST_PARAGRAPHS = 1000


def order_tokens(position: int, paragraphs: int) -> tuple[str, ...]:
    """D_t of the paragraph at ``position`` (from 0) of a story of so many paragraphs.

    The paper leaves open what a one-paragraph story is; here the last paragraph is ``<tail>`` even when it is the first.

    Raises:
        PlotTwistError: a number of paragraphs outside 1-1000, or a position outside the story.
    """
    check_paragraphs(paragraphs)
    if not 0 <= position < paragraphs:
        raise PlotTwistError(f"a story of {paragraphs} paragraphs has no paragraph {position + 1}; positions count from 0")
    role = "<tail>" if position == paragraphs - 1 else "<intro>" if position == 0 else "<body>"
    third = ("<front>", "<middle>", "<ending>")[3 * position // paragraphs]
    return (role, third, "<next_is_ending>") if position == paragraphs - 2 else (role, third)


def check_paragraphs(paragraphs: int) -> None:
    """Raises: PlotTwistError unless a story can have so many paragraphs."""
    if not 1 <= paragraphs <= MOST_PARAGRAPHS:
        raise PlotTwistError(f"cannot write {paragraphs} paragraphs; ask for 1 to {MOST_PARAGRAPHS}")
