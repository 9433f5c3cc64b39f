"""Distributions that intervals and tests need, exact and without scipy: the binomial's and Student's t."""

from __future__ import annotations

import math


def student_p_value(t: float, df: int) -> float:
    """Two-sided p-value of a value of Student's t with whole degrees of freedom."""
    return max(0.0, 2 * (1 - _student_cdf(abs(t), df)))


def student_quantile(p: float, df: int) -> float:
    """The value below which lies `p` (above one half) of Student's distribution, by halving."""
    low, high = 0.0, 1.0
    while _student_cdf(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, df) < p else (low, middle)
    return high


def _student_cdf(t: float, df: int) -> float:
    """Student's distribution for whole degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = 1.0, 0.0
    if df % 2:
        term = cosine
        for k in range(1, (df - 1) // 2 + 1):
            total += term
            term *= cosine * cosine * (2 * k) / (2 * k + 1)
        return 0.5 + (angle + sine * total) / math.pi
    for k in range(1, df // 2 + 1):
        total += term
        term *= cosine * cosine * (2 * k - 1) / (2 * k)
    return 0.5 + sine * total / 2


def binomial_cdf(n: int, p: float) -> list[float]:
    """P(at most k of n) for each k. Terms that a float cannot tell from 0 are not computed."""
    # Bernstein's inequality: beyond `reach` of the mean less than exp(-800) is left, and exp(-746) is 0.
    reach = 800 / 3 + math.sqrt((800 / 3) ** 2 + 1600 * n * p * (1 - p))
    first, last = max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach))
    every, log_p, log_q = math.lgamma(n + 1), math.log(p), math.log1p(-p)
    total, out = 0.0, [0.0] * first
    for k in range(first, last + 1):
        log_choose = every - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(log_choose + k * log_p + (n - k) * log_q)
        out.append(total)
    return out + [total] * (n - last)
