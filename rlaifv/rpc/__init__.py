"""Shared gRPC plumbing: server, channel, errors and statuses, converters, metrics, settings. Knows no model and no method."""
