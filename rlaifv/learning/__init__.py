"""How the policy learns: torch only, no files, no model library."""
