"""The policy on vLLM: one engine in a process of its own, whose weights are exchanged while it serves."""
