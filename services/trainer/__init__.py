"""The trainer service: preference pairs into a checkpoint, behind gRPC."""
