"""Scripted stand-ins for the four services: deterministic, instant, no model. For tests and smoke installs, never the demo."""
