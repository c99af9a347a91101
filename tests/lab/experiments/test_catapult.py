"""The verdicts on catapults, on made-up curves whose answer is known."""

import numpy as np

from sharpkit.lab.experiments import experiment
from sharpkit.lab.experiments.catapult import at_peak
from sharpkit.lab.outcome import HOLDS, OPEN


def decisions(findings):
    return [claim.decision for claim in findings.claims]


def test_catapult(made_up):
    def sharp(task):
        return 0.5 if task == "LB watched" else 0.1

    chosen, trials = made_up("catapult", sharp=sharp)
    found = experiment("catapult").find(chosen, trials)
    assert decisions(found) == [HOLDS] * 8
    assert found.claims[0].detail.startswith("ratio 5 ")
    rows = {row[0]: row for row in found.tables[0].rows}
    last = rows["LB, λ_max, batch statistics"]
    assert last[1:3] == ("1 ± 0", "5.657 ± 0.045")
    assert last[3:] == ("5 ± 0", "0.5000 ± 0.0079")
    assert found.notes == ()
    critical = found.charts[-1]
    assert [series.name for series in critical.series] == ["SB", "LB", "2/η"]
    assert critical.series[-1].y == (2000.0, 2000.0)
    assert critical.series[0].x[-1] == 10

    other = experiment("catapult").find(*made_up("catapult", sharp=lambda task: 1.0))
    assert decisions(other) == [OPEN] * 4 + [HOLDS] * 4


def test_a_peak_is_none_by_luck():
    """Of curves that are noise alone the largest is not the peak of the others."""
    random = np.random.default_rng(0)
    noise = 10 ** random.standard_normal((400, 4, 20))
    found = [np.log10(at_peak(curves) / curves[:, -1]).mean() for curves in noise]
    assert abs(np.mean(found)) < 4 * np.std(found) / len(found) ** 0.5
    assert np.log10(noise.max(axis=2) / noise[:, :, -1]).mean() > 1


def test_catapult_tells_of_other_weights(made_up):
    chosen, trials = made_up("catapult")
    trials[0]["SB watched"].metrics["same"] = False
    (note,) = experiment("catapult").find(chosen, trials).notes
    assert note.startswith("1 of 10 watched runs ended at other weights")


def test_records_without_a_value_are_passed_over(made_up):
    chosen, trials = made_up("catapult")
    for trial in trials:
        values = trial["LB watched"].metrics["curves"]["critical_sharpness, batch"]
        values["values"][3] = None
        values["values"][5], values["errors"][5] = 1e9, None  # there was no descent
    whole = experiment("catapult").find(*made_up("catapult"))
    found = experiment("catapult").find(chosen, trials)
    for ours, theirs in zip(
        found.charts[-1].series, whole.charts[-1].series, strict=True
    ):
        np.testing.assert_allclose(ours.y, theirs.y, rtol=1e-6)
