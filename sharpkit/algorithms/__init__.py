"""One algorithm per file, each written once, on `Space` and `Box` alone."""
