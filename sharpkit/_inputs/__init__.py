"""What a user hands in: arrays and callbacks, checked; progress and warnings."""
