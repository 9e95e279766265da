"""Clients of our own services: the ports over gRPC, with the same errors and messages as an implementation in this process."""
