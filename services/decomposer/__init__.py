"""The decomposer service: answers into atomic claims, behind gRPC."""
