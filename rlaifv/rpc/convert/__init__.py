"""Records to wire messages and back: pure functions, `x_to_proto` and `x_from_proto`; wrong messages raise InvalidInput."""
