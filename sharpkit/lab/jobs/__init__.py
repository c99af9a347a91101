"""Pieces of work whose results are stored: training runs and what is measured."""
