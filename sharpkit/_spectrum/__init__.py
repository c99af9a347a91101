"""Products with a Hessian, and what is made of them: eigenvalues, traces, densities."""
