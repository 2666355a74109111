"""plottwist: reproducible research on creative story generation.

The experiments are told in ``notebooks/``; this package is the thin layer under them. Start with
``plottwist.nqd`` (what is measured), ``plottwist.corpora`` (on what) and ``plottwist.results`` (how it is kept).
"""

__version__ = "0.1.0"
