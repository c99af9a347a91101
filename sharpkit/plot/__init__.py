"""One function per result type, drawn with matplotlib."""

from sharpkit.plot.measures import (
    plot_density,
    plot_eigenvalues,
    plot_groups,
    plot_sharpness,
    plot_trace,
)
from sharpkit.plot.reports import plot_comparison, plot_report

__all__ = [
    "plot_comparison",
    "plot_density",
    "plot_eigenvalues",
    "plot_groups",
    "plot_report",
    "plot_sharpness",
    "plot_trace",
]
