"""Losses, masks, schedule and loop: everything here has an oracle."""
