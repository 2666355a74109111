"""The critic panel: an independent judge that never sees the reward model (PlotTwist, agentic evaluation)."""
