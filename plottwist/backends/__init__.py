"""Text in, text out: a local model, an OpenAI-compatible server, or recorded answers, behind one small interface."""
