"""What the core needs from the world: Protocols of a few methods each; the docstring is the contract."""
