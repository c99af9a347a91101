"""The vector space: kernels on every backend, and their reduction over ranks."""
