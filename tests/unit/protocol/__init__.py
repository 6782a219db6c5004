"""Names and values, as they travel."""
