"""Bars and log lines on standard error."""

from __future__ import annotations

import logging

import pytest

from zhiyin.cli._terminal import Bars, logged, stages
from zhiyin.run import Progress, Told


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error counts as a terminal of 120 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.mark.usefixtures("terminal")
def test_a_bar_shows_what_it_is_told_below(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    watcher: Progress = bars
    assert isinstance(watcher, Told)
    for step in bars.track(range(3), 3, "toy: epoch 1 of 2"):
        bars.tell(f"loss [{step}]\x1b[31m")
    shown = capsys.readouterr().err
    assert "toy: epoch 1 of 2" in shown
    assert "3/3" in shown
    assert "loss [2]\\x1b[31m" in shown, "what is told is no markup, and nothing that a terminal would obey"


@pytest.mark.usefixtures("terminal")
def test_the_innermost_bar_is_told_and_one_that_is_put_away_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars.tell("nobody listens")
    outer = bars.track(range(2), 2, "outer")
    next(outer)
    bars.tell("to the outer one")
    for _ in bars.track(range(1), 1, "inner"):
        bars.tell("to the inner one")
    assert len(bars._drawn) == 1
    (drawn,) = bars._drawn
    assert drawn.tasks[0].fields == {"said": "to the outer one"}
    outer.close()
    assert bars._drawn == []
    assert "nobody" not in capsys.readouterr().err


@pytest.mark.usefixtures("no_terminal")
def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    for _ in bars.track(range(3), 3, "toy"):
        bars.tell("loss")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("no_terminal")
def test_log_lines_are_printed_where_no_bars_are(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("zhiyin.for_this_test")
    with logged(logger.name):
        logger.info("epoch %d", 1)
        logger.debug("too much")
    logger.info("epoch %d", 2)
    assert capsys.readouterr() == ("", "epoch 1\n")
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])


@pytest.mark.usefixtures("terminal")
def test_log_lines_are_not_printed_where_bars_are(capsys: pytest.CaptureFixture[str]) -> None:
    with logged("zhiyin.for_this_test"):
        logging.getLogger("zhiyin.for_this_test").info("epoch 1")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("drawn", ["terminal", "no_terminal"])
def test_stages_are_told_with_their_seconds(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], drawn: str
) -> None:
    request.getfixturevalue(drawn)
    logger = logging.getLogger("zhiyin.for_this_test")
    with stages({logger.name: "learnt"}) as tell:
        logger.info("%d trees", 7)
        logger.warning("a warning ends no stage")
        tell("zhiyin.ranking.pipeline:Pipeline judged")
    logger.info("too late")
    assert capsys.readouterr().err.splitlines() == [
        "   0.0 s  learnt: 7 trees",
        "a warning ends no stage",
        "   0.0 s  pipeline judged",
    ]
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])
