"""The demonstration: networks of the paper's kind in minutes, without a store."""
