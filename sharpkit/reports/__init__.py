"""Several measures at once: reports of one point, and comparisons of two."""
