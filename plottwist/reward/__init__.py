"""Positive-Negative prompting, the ratings it gives, and the reward model trained on them (PlotTwist, section on the reward model)."""
