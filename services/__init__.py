"""One folder per container: settings, servicer, wiring."""
