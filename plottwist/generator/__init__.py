"""The generator: a small mixture-of-experts writer, fine-tuned, scored, and aligned by preference (PlotTwist, DDPO and DORPO)."""
