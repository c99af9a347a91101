"""Maximisation of a loss in a box: the problem, its subspaces and the maximisers."""
