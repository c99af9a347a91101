"""The page of a landscape says what its record holds."""

import re
from pathlib import Path

import numpy as np

from sharpkit import landscape

DOCS = Path(__file__).resolve().parents[1] / "docs" / "landscape"


def test_the_figures_of_the_page_are_those_of_the_record():
    found = landscape.load(DOCS / "resnet20.npz")
    page = (DOCS / "README.md").read_text(encoding="utf-8")
    assert found.complete
    loss, share = found.values["loss"], found.values["accuracy"]
    centre = found.centre["loss"]
    assert f"({found.n:,} weights) on {found.samples:,} photographs" in page
    assert f"at {len(found.x)} x {len(found.y)} points" in page
    assert f"{centre:.3g} at the weights" in page
    assert f"{loss.min():.3g} to {loss.max():.3g}" in page
    assert f"accuracy of {found.centre['accuracy']:.1%}" in page
    assert share.max() <= 1
    assert loss[25, 25] == centre  # both axes are 0 there
    assert [axis.normalize for axis in found.axes] == ["filter", "filter"]
    assert np.isfinite(loss).all()
    for picture in re.findall(r"\]\(([\w.]+\.png)\)", page):
        assert (DOCS / picture).is_file()
