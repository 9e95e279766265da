"""Drives the online loop: durable, resumable, in shards that flow through the stages without waiting for each other."""
