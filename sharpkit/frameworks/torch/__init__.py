"""A PyTorch module, its loss and its data as a problem that every measure takes."""

from sharpkit.frameworks.torch.making import problem
from sharpkit.frameworks.torch.problems import Problem

__all__ = ["Problem", "problem"]
