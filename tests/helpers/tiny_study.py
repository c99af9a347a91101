"""A study small enough to be carried out within a test."""

from sharpkit.lab.data.source import Source
from sharpkit.lab.experiments.study import Study

TINY = Study(
    network="F1",
    width=0.02,
    source=Source("glyphs", 60, 50, seed=1000),
    small=10,
    large=30,
    until_loss=1.0,
    max_epochs=60,
    seeds=(1000, 1001),
    rate=1e-2,
)
