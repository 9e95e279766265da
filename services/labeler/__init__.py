"""The labeler service: yes or no to claims about an image, behind gRPC."""
