"""The labeler on Triton: the model that runs inside tritonserver, the launcher around it, and the client in front of it."""
