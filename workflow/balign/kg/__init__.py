"""Stage kg."""
