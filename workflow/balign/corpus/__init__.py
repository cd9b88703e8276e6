"""Stage corpus."""
