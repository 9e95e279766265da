"""A small world of pictures with exact ground truth, and a small model that hallucinates in it."""
