"""Policy, labeler and trainer on a tiny real model; no network, no GPU."""
