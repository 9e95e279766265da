"""The policy service: the model that is being aligned, behind gRPC."""
