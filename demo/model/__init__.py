"""The demo model: a LLaVA of a few million parameters, and how it is trained."""
