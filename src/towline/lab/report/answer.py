# SPDX-License-Identifier: GPL-2.0-only
"""The short answer: how the cells of a plan compare, in sentences and in one table for each figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from towline.lab.measures import Measure
from towline.lab.plans.plan import Plan, Plot
from towline.lab.report import words
from towline.lab.report.page import items, paragraph
from towline.lab.report.shown import Comparison, Shown, differing, questions
from towline.lab.report.tables import Styled, table

_SENTENCES_MOST = 4  # more of them are a table
_TIMES = ("ns", "us", "s")  # units whose differences mean something by themselves
_STYLES = {"too few blocks": "grey", "no difference found": "grey"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a sweep says about one figure of the record."""

    plot: Plot
    measure: Measure
    comparisons: list[Comparison]


def answers(shown: Shown) -> list[Answer]:
    """One for each figure that the plan's plots ask for."""
    return [
        Answer(plot=plot, measure=measure, comparisons=shown.comparisons(plot, measure))
        for plot, measure in questions(shown.plan)
    ]


def in_a_line(shown: Shown, found: Sequence[Answer]) -> str:
    """The first question's answer, in one line."""
    if not shown.records:
        return "No run that counts has been made yet."
    if not found:
        return "See the plots over time: this plan compares no figures."
    return f"{_capital(found[0].measure.label)}: {summary(shown.plan, found[0].comparisons)}"


def summary(plan: Plan, comparisons: Sequence[Comparison]) -> str:
    """All comparisons of one figure in one line."""
    if not comparisons:
        return "no two cells can be compared."
    if len(comparisons) <= 2:
        return "; ".join(sentence(plan, one) for one in comparisons) + "."
    verdicts = Counter(one.word for one in comparisons)
    few = verdicts.pop("too few blocks", 0)
    told = ", ".join(f"{count} {word}" for word, count in verdicts.items())
    said = f"of {len(comparisons)} comparisons {told}" if told else f"{len(comparisons)} comparisons"
    said += f"{',' if told else ''} {few if told else 'all'} of too few blocks for a verdict" if few else ""
    with_ratio = sorted((one for one in comparisons if one.ratio), key=lambda one: one.ratio.ratio if one.ratio else 0)
    if not with_ratio:
        return said + "."
    ends = (f"{_size(one)} ({_name(plan, one)})" for one in (with_ratio[0], with_ratio[-1]))
    return f"{said}; the ratios go from {' to '.join(ends)}."


def sentence(plan: Plan, one: Comparison) -> str:
    """`ack every 32 over ack every 1 at loss 0%: 1.84 (1.79 to 1.90), faster`."""
    more = ""
    if one.ratio is not None and one.measure.unit in _TIMES:
        more = f"; difference in {one.measure.unit}: {_difference(one)}"
    return f"{_name(plan, one)}: {_size(one)}, {one.word}{more}"


def section(shown: Shown, found: Sequence[Answer]) -> str:
    """HTML of all answers."""
    plan = shown.plan
    parts = [paragraph(in_a_line(shown, found), kind="lead")]
    if not shown.records or not found:
        return parts[0]
    for number, one in enumerate(found):
        if number:
            parts.append(paragraph(f"{_capital(one.measure.label)}: {summary(plan, one.comparisons)}"))
        if 2 < len(one.comparisons) <= _SENTENCES_MOST:
            parts.append(items([sentence(plan, each) for each in one.comparisons]))
        elif len(one.comparisons) > _SENTENCES_MOST:
            parts.append(_matrix(plan, one))
    parts.append(paragraph(_how(shown, found), kind="note"))
    return "".join(parts)


def as_json(one: Comparison) -> dict[str, Any]:
    """A comparison in figures."""
    return {
        "cell": one.other.number,
        "ratio": None if one.ratio is None else one.ratio.ratio,
        "ratio_low": None if one.ratio is None else one.ratio.low,
        "ratio_high": None if one.ratio is None else one.ratio.high,
        "difference": one.difference.difference,
        "difference_low": one.difference.low,
        "difference_high": one.difference.high,
        "blocks": one.difference.n,
        "verdict": one.word,
    }


def _matrix(plan: Plan, answer: Answer) -> str:
    """A row for each pair of values compared, a column for each value of what they have in common."""
    cells: dict[tuple[str, str], dict[str, Comparison]] = {}
    for one in answer.comparisons:
        cells.setdefault(_pair(plan, one), {})[_place(plan, one)] = one
    places = list(dict.fromkeys(place for row in cells.values() for place in row))
    others = {theirs for _, theirs in cells}
    beside = f" to that with {next(iter(others))}" if len(others) == 1 else ""
    rows = [
        [ours if beside else f"{ours} over {theirs}", *(_entry(row[one]) if one in row else "" for one in places)]
        for (ours, theirs), row in cells.items()
    ]
    return table([f"{answer.measure.label}, ratio{beside}", *places], rows, kind="ratios")


def _entry(one: Comparison) -> Styled:
    word = "" if one.word == "too few blocks" else f" {one.word}"
    size = _size(one).replace(" ", "\xa0")  # a line of its own where there is little room
    return Styled(f"{size}{word}", _STYLES.get(one.word, "strong"))


def _size(one: Comparison) -> str:
    if one.ratio is None:  # theirs is 0: there is no ratio
        return f"{_difference(one)} {one.measure.unit}".rstrip()
    return words.estimate(one.ratio.ratio, one.ratio.low, one.ratio.high)


def _difference(one: Comparison) -> str:
    found = one.difference
    return f"{'+' if found.difference > 0 else ''}{words.estimate(found.difference, found.low, found.high)}"


def _name(plan: Plan, one: Comparison) -> str:
    ours, theirs = _pair(plan, one)
    place = _place(plan, one)
    return f"{ours} over {theirs}{f' at {place}' if place else ''}"


def _pair(plan: Plan, one: Comparison) -> tuple[str, str]:
    """What is compared, in the axes in which the two differ."""
    apart, _ = differing(one.cell, one.other)
    return words.values_of(plan.axes, apart, one.cell.labels), words.values_of(plan.axes, apart, one.other.labels)


def _place(plan: Plan, one: Comparison) -> str:
    """What both cells have in common, of what the plan varies."""
    _, same = differing(one.cell, one.other)
    varied = [name for name in same if len({cell.labels[name] for cell in plan.cells}) > 1]
    return words.values_of(plan.axes, varied, one.cell.labels)


def _how(shown: Shown, found: Sequence[Answer]) -> str:
    number = sum(len(one.comparisons) for one in found)
    said = (
        "A ratio is the median of the ratios within each block; in brackets its 95 % interval, by bootstrap over "
        "blocks. "
        "“Higher”, “lower”, “faster” and “slower” are said only where the interval excludes 1"
        " (a difference's: 0, where a figure is 0 in the cell compared with)."
    )
    if any(one.word == "too few blocks" for answer in found for one in answer.comparisons):
        return f"{said} Fewer than six blocks have no interval, and nothing is said of them."
    if number >= 10:
        return f"{said} Of {number} comparisons some {number * 0.05:.0f} would be called different by chance alone."
    return said


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]
