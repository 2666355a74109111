"""The three jobs of a story model: generate, refine, explain (PAPERS.md, sections 1 and 4), for the shell and for the page.

- ``explain``: what a text says of itself, measured without any model: labels, turning points, arc, cast; a language model may add reasons.
- ``refine``: find the weakest dimension, choose how much to change by measured quality, keep the new version only if it is preferred.
- ``tasks``, ``small``, ``editing``: one small model fine-tuned to do all three jobs on Storyworld.
- ``page``: the studio page, served by ``plottwist studio``.
"""
