"""Training on flat weights: the loop, once, and what a regime changes in it."""
