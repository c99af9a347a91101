"""What results look like, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sharpkit.plot.figures import Draw, figure_of
from sharpkit.plot.measures import (
    draw_ball,
    draw_diagonal,
    draw_eigenvalues,
    draw_estimate,
    draw_groups,
    draw_number,
    draw_sharpness,
    draw_trace,
)
from sharpkit.plot.monitor import monitor_panels
from sharpkit.plot.reports import comparison_panels, report_panels
from sharpkit.plot.spectra import draw_density

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure_of", "monitor_panels", "panels"]

# By name: results import this room when they are drawn, not the other way round.
SINGLE: dict[str, Callable[[Any, Axes], None]] = {
    "AverageResult": draw_estimate,
    "BallResult": draw_ball,
    "BatchSharpnessResult": draw_estimate,
    "DensityResult": draw_density,
    "DiagonalResult": draw_diagonal,
    "EigenResult": draw_eigenvalues,
    "FisherRaoResult": draw_estimate,
    "GradientNoiseResult": draw_estimate,
    "GroupResults": draw_groups,
    "SharpnessResult": draw_sharpness,
    "TraceResult": draw_trace,
}
SEVERAL: dict[str, Callable[[Any], Sequence[Draw]]] = {
    "Comparison": comparison_panels,
    "Report": report_panels,
}


def panels(result: Any) -> Sequence[Draw]:
    """Return the functions that draw the panels of a result's figure, each on axes."""
    name = type(result).__name__
    return (
        SEVERAL[name](result)
        if name in SEVERAL
        else [partial(SINGLE.get(name, draw_number), result)]
    )
