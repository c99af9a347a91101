"""Extreme eigenpairs by thick-restart Lanczos, and a search for those passed over.

Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems",
SIAM J. Matrix Anal. Appl. 22 (2000). A Krylov space holds one vector of each
eigenspace, so further copies of a multiple eigenvalue do not show in it. Therefore,
once the pairs have converged, the process goes on from a random vector in the
complement of all it holds, until an eigenvalue passed over would have appeared there.
"""

from sharpkit._spectrum.thick_restart.beyond import Which
from sharpkit._spectrum.thick_restart.search import Found, Search

__all__ = ["Found", "Search", "Which"]
