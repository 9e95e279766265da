"""The benches' own parts: what they make, count and compare has an oracle; how fast anything is, is not tested here."""
