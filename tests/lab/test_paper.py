import numpy as np
import pytest

from sharpkit.lab import paper
from sharpkit.lab.networks import NETWORKS


def test_the_tables_have_every_network():
    for table in (paper.ACCURACY, paper.FULL_SPACE, paper.SUBSPACE, paper.CONSERVATIVE):
        assert tuple(table) == NETWORKS
    assert tuple(paper.AUGMENTED) == ("C1", "C2", "C3", "C4")


def test_some_numbers_as_printed():
    assert paper.ACCURACY["F2"]["test-LB"] == (59.45, 1.05)
    assert paper.FULL_SPACE["C2"]["0.001-LB"] == (925.32, 38.29)
    assert paper.SUBSPACE["F1"]["0.0005-LB"] == (9.17, 0.14)
    assert str(paper.AUGMENTED["C4"]["test-LB"]) == "65.88 ± 0.13"


def test_the_gaps_are_those_of_the_paper():
    gaps = [
        row["test-SB"].mean - row["test-LB"].mean for row in paper.ACCURACY.values()
    ]
    np.testing.assert_allclose(gaps, [0.22, 4.57, 2.78, 1.98, 3.13, 5.27], atol=1e-9)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("number", [3, 7])
def test_paths_have_the_grid_of_the_paper(number, network):
    curve = paper.figure(number, network)
    np.testing.assert_allclose(curve["alpha"], np.linspace(-1, 2, 25), atol=1e-3)
    assert {len(values) for values in curve.values()} == {25}


def test_the_loss_of_the_paper_is_capped():
    """Keras clips probabilities at 1e-7: no curve rises above -ln(1e-7)."""
    for network in NETWORKS:
        assert max(paper.figure(7, network)["train_loss"]) < -np.log(1e-7) + 0.05


def test_other_networks_have_no_curve():
    assert paper.figure(4, "F1") is None
    assert paper.figure(6, "C1")["LB_1e-3"]["sharp"][0] == pytest.approx(50.18)
