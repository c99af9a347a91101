"""Models of other libraries: flat weights and a loss with exact products."""
