"""Seeded scenes, their pictures, what people would say of them, and the questions that check it."""
