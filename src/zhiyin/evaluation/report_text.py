"""Numbers of a report as texts for people."""

from __future__ import annotations

from zhiyin.evaluation.significance import Estimate

NOTHING = Estimate(None)
"""What stands where a model has no value."""


def digits(value: float | None) -> str:
    """Four decimals; a dash for nothing."""
    return "–" if value is None else f"{value:.4f}"


def signed(value: float) -> str:
    """Four decimals with a sign.

    >>> signed(0.5), signed(-0.5)
    ('+0.5000', '−0.5000')
    """
    return f"{value:+.4f}".replace("-", "−")


def between(found: Estimate) -> str:
    """The interval of an estimate and the queries behind it."""
    if found.low is None or found.high is None:
        return f"{found.n:,} queries, no interval" if found.n else "of all lists together, no interval"
    return f"{found.low:.4f} to {found.high:.4f}, {found.n:,} queries"


def seconds(value: float) -> str:
    """A duration in a unit that fits.

    >>> seconds(0.0042), seconds(1.5), seconds(75)
    ('4 ms', '1.50 s', '75 s')
    """
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.0f} ms"


def p(value: float) -> str:
    """A p-value: "< 0.001" or three decimals."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_of(value: float) -> str:
    """A p-value with its name: "p < 0.001", "p = 0.020"."""
    return f"p {p(value)}" if value < 0.001 else f"p = {p(value)}"
