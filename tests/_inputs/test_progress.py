import io

import pytest

from sharpkit._inputs import progress as module


def reporter(progress, budget):
    return module.reporter(
        progress, budget, title="sharpness", unit="evaluations", value="{:.4g} % so far"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)


def screen(text):
    """What a terminal shows after the text, trailing blanks included."""
    line = ""
    for part in text.split("\r"):
        line = part + line[len(part) :]
    return line


@pytest.mark.parametrize("budget", [7, None])
def test_a_callable_gets_what_the_line_would(budget, capsys):
    told = []
    with reporter(lambda *now: told.append(now), budget) as report:
        report(3, 0.0)
        report(4, 25.0)
    assert told == [(3, budget, 0.0), (4, budget, 25.0)]
    assert capsys.readouterr() == ("", "")


def test_its_exceptions_come_through():
    def stop(evaluations, budget, value):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), reporter(stop, 7) as report:
        report(3, 0.0)


def test_a_line_with_a_budget(quiet, capsys):
    with reporter(True, 20) as report:
        report(5, 25.0)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("\rsharpness: 5 of 20 evaluations, about 0 s left, ")
        assert err.endswith("25 % so far")


def test_the_time_left(quiet, capsys, monkeypatch):
    now = iter([100.0, 110.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(now))
    with reporter(True, 20) as report:
        report(5, 25.0)
    assert "about 30 s left" in capsys.readouterr().err


def test_a_line_without_a_budget(quiet, capsys):
    with reporter(True, None) as report:
        report(5, 25.0)
    assert "sharpness: 5 evaluations, 25 % so far" in capsys.readouterr().err


def test_a_line_before_anything_is_done(quiet, capsys):
    with reporter(True, 20) as report:
        report(0, 0.0)
    assert "\rsharpness: preparing" in capsys.readouterr().err


def test_a_shorter_line_covers_a_longer_one(quiet, capsys):
    with reporter(True, None) as report:
        report(5, 12.345)
        report(6, 50)
        shown = screen(capsys.readouterr().err)
    assert shown.rstrip() == "sharpness: 6 evaluations, 50 % so far"


@pytest.mark.parametrize("fails", [False, True])
def test_the_line_is_cleared(quiet, capsys, fails):
    try:
        with reporter(True, 20) as report:
            report(5, 12.345)
            report(15, 50.0)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    err = capsys.readouterr().err
    assert screen(err).strip() == ""
    assert err.endswith("\r")


def test_short_searches_show_nothing(capsys):
    with reporter(True, 20) as report:
        report(5, 25.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [
        (None, True, True),
        (None, False, False),
        (False, True, False),
        (True, False, True),
    ],
)
def test_who_sees_a_line(quiet, monkeypatch, progress, terminal, shown):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(module.sys, "stderr", stream)
    with reporter(progress, 20) as report:
        report(5, 25.0)
    assert ("sharpness: 5 of 20" in stream.getvalue()) is shown


def test_without_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module.sys, "stderr", stream := io.StringIO())
    with reporter(None, 20) as report:
        for done in range(1, 20):
            now[0] += 10
            report(done, float(done))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0] == "sharpness: 3 of 20 evaluations, about 170 s left, 3 % so far"


@pytest.mark.parametrize("told", [None, False, lambda *now: None])
def test_work_ends_at_its_time(monkeypatch, told):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    with module.until(5), reporter(told, 20) as report:
        report(1, 0.0)
        now[0] = 5.1
        with pytest.raises(module.OutOfTime):
            report(2, 0.0)
    with reporter(told, 20) as report:  # there is no end any more
        report(1, 0.0)


@pytest.mark.parametrize("progress", [None, True, False])
def test_no_stderr(quiet, capsys, monkeypatch, progress):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(module.sys, "stderr", stream)
        with reporter(progress, 7) as report:
            report(3, 1.0)
        module.say("text")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("progress", ["x", [], {}, 1, 0.5])
def test_no_progress(progress):
    match = r"progress=.* is of type .*; give True, False, None, or a function of"
    with pytest.raises(TypeError, match=match), reporter(progress, 7):
        pass


def test_work_in_many_pieces_is_no_silence_in_a_file(monkeypatch):
    now, told = [1000.0], io.StringIO()
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module.sys, "stderr", told)
    for piece in range(9):  # of 10 s each
        with reporter(None, 2) as report:
            for done in (1, 2):
                now[0] += 5
                report(done, float(piece))
    assert [line.split("so far")[0] for line in told.getvalue().splitlines()] == [
        "sharpness: 2 of 2 evaluations, about 0 s left, 2 % ",
        "sharpness: 2 of 2 evaluations, about 0 s left, 5 % ",
        "sharpness: 2 of 2 evaluations, about 0 s left, 8 % ",
    ]
    now[0] += 100  # of something else
    with reporter(None, 2) as report:
        now[0] += 5
        report(1, 0.0)
    assert len(told.getvalue().splitlines()) == 3
