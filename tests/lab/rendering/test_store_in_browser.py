"""From finished runs in a store to what a reader sees in a browser."""

import numpy as np
import pytest
from tasks_here import work
from tiny_study import TINY
from typer.testing import CliRunner

from sharpkit.cli.app import app
from sharpkit.lab.experiments import ask, experiment, tasks
from sharpkit.lab.jobs.task import with_needs
from sharpkit.lab.store import Store

ASKED = ("table2", "fig3")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        for name in ASKED:
            ask(store, name, TINY)
            for task in with_needs(tasks(name, TINY)):
                work(task, folder)
    result = CliRunner().invoke(app, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def test_the_page_shows_the_numbers_of_the_store(written, opened):
    with Store(written) as store:
        accuracy = [
            100 * store.get(trial["LB"].key).metrics["test"]["accuracy"]
            for trial in (experiment("table2").trial(TINY, s) for s in TINY.seeds)
        ]
        paths = [
            store.get(trial["path"].key).metrics["train_loss"]
            for trial in (experiment("fig3").trial(TINY, s) for s in TINY.seeds)
        ]
    with opened(at=written / "report.html") as page:
        row = page.locator("table.result").first.locator("tbody tr").nth(1)
        assert row.locator("th").inner_text() == "LB"
        shown = row.locator("td").nth(1).inner_text()
        assert shown == f"{np.mean(accuracy):.2f} ± {np.std(accuracy, ddof=1):.2f}"
        assert page.locator("figure.chart").count() == 2
        assert page.locator(".contourlayer .contour").count() == 1
        drawn = page.evaluate("document.querySelector('.plot').data")
        curve = next(each for each in drawn if each.get("name") == "loss, train")
        np.testing.assert_allclose(_numbers(curve["y"]), np.mean(paths, axis=0))


def _numbers(values):
    """Plotly may keep numbers as a list or as an object with an entry for each."""
    return list(values.values()) if isinstance(values, dict) else values
