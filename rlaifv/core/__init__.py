"""The method as pure functions on frozen dataclasses: standard library only, no I/O."""
