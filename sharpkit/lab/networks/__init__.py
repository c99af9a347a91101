"""The paper's six networks: F1 and F2 are sharpkit's own, C1 to C4 PyTorch modules."""
