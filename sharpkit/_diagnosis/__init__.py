"""Whether a loss, its gradient and its products can be believed."""
