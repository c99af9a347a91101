"""The minimum of scikit-learn's logistic regression, through a bare NumPy function.

It shows how much regularisation it takes to make a minimum flat, with an exact product
of the Hessian. This needs scikit-learn.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import sharpkit

inputs, labels = load_breast_cancer(return_X_y=True)
X = np.c_[StandardScaler().fit_transform(inputs), np.ones(len(inputs))]
SIGNS = 2.0 * labels - 1


def loss(w):
    """Return the mean logistic loss and its gradient."""
    margins = SIGNS * (X @ w)
    slopes = -SIGNS / (1 + np.exp(margins))
    return np.logaddexp(0, -margins).mean(), X.T @ slopes / len(X)


def hvp(w, v):
    """Return the Hessian of the mean loss times v: X' D X v / M."""
    p = 1 / (1 + np.exp(-(X @ w)))
    return X.T @ (p * (1 - p) * (X @ v)) / len(X)


def main() -> None:
    """Fit with three strengths of regularisation, check the functions, compare."""
    for strength in (100.0, 1.0, 0.01):
        model = LogisticRegression(C=strength, fit_intercept=False, max_iter=10_000)
        w = model.fit(X, labels).coef_.ravel()
        if strength == 100:
            print(sharpkit.check(w, loss, hvp=hvp))
        sharpness = sharpkit.sharpness(w, loss)
        largest = sharpkit.eigenvalues(w, loss, hvp=hvp)
        accuracy = np.mean((X @ w > 0) == labels)
        print(
            f"C = {strength:g}: accuracy {accuracy:.1%}, loss {loss(w)[0]:.4f}, "
            f"sharpness {float(sharpness):.3g} %, lambda_max {float(largest):.3g} ± "
            f"{largest.residuals[0]:.1g}"
        )


if __name__ == "__main__":
    main()
