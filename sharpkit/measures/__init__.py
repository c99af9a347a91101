"""The public measures, one per file; they validate, compose and report."""
