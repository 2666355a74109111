"""LongStory (arXiv 2311.15208): stories of any number of paragraphs, each written from keywords, its place and two contexts.

``order`` places a paragraph, ``contexts`` holds the Memory, the Cheating context and the calibrator that weighs them, ``model``
fuses them into BART. ``plotmachines`` and ``plain`` are the baselines behind the same interface (``storyteller``).
"""
