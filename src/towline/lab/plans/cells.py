# SPDX-License-Identifier: GPL-2.0-only
"""The cells of a plan: the product of its axes and the combinations that it lists, each checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from towline.errors import SettingsError
from towline.lab.plans.axes import FREE, Axis, Value, apply, targets, unit_of, value_of, words
from towline.lab.plans.source import Source
from towline.lab.plans.toml_lines import Where
from towline.lab.run import Run, impairments_of, level_of, mtu_for
from towline.settings import LARGEST_MTU, Settings

MOST_CELLS = 10_000
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination. `number`: from 0, in the order of the product; `labels`: axis -> its value as people write it;
    `values`: axis -> a number in the record's unit (bytes, us, bit/s, share) or the label; `size_bytes`: of the file,
    None: as much as takes the plan's duration."""

    number: int
    labels: Mapping[str, str]
    values: Mapping[str, float | str]
    settings: Settings
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One axis or setting with one of its values, and where that stands in the plan."""

    name: str
    value: Value
    where: Where


Row = tuple[Assignment, ...]  # what makes a cell, in the order of the axes


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a plan says of its cells: what holds for all, the values of the axes, the listed combinations."""

    source: Source
    fixed: Row
    product: Mapping[str, Row]
    listed: tuple[Row, ...]

    @property
    def names(self) -> list[str]:
        """The axes, in order."""
        return list(self.product) or [one.name for one in self.listed[0]]

    def rows(self) -> Iterator[Row]:
        """The product, the last axis fastest, and then what is listed."""
        if self.product:
            yield from itertools.product(*self.product.values())
        yield from self.listed

    def values(self, name: str) -> list[Value]:
        """All values that an axis has in some cell, each once."""
        found = [*self.product.get(name, ()), *(one for row in self.listed for one in row if one.name == name)]
        return list({one.value.label: one.value for one in found}.values())

    def axis(self, name: str) -> Axis:
        """An axis in words."""
        numeric = all(not isinstance(value.value, str) for value in self.values(name))
        return Axis(name=name, label=words(name), unit=unit_of(name) if numeric else "", numeric=numeric)

    def thinned(self, kept: Mapping[str, str]) -> Layout:
        """First, middle and last of each axis and of the list, and the values of `kept` (the baseline)."""
        product = {name: _thin(row, partial(_is, kept.get(name))) for name, row in self.product.items()}
        listed = _thin(self.listed, lambda row: bool(kept) and kept.items() <= _labels(row).items())
        return Layout(source=self.source, fixed=self.fixed, product=product, listed=listed)

    def cells(self, size_bytes: int | None) -> tuple[Cell, ...]:
        """All cells; SettingsError for a combination that cannot be, and for an axis that changes nothing."""
        cells = tuple(self._cell(number, row, size_bytes) for number, row in enumerate(self.rows()))
        for name, (takes_effect, what) in _EFFECTIVE.items():
            axes = [one for one in self.names if targets(name) & targets(one)]
            if axes and not any(takes_effect(cell.settings) for cell in cells):
                raise self.source.wrong(_where_of(self, axes[0]), f"{axes[0]} changes nothing here: it needs {what}")
        return cells

    def _cell(self, number: int, row: Row, size_bytes: int | None) -> Cell:
        everything = (*self.fixed, *row)
        try:
            settings = _possible(everything)
        except SettingsError as error:
            said = ", ".join(f"{name} = {label}" for name, label in _labels(row).items())
            raise self.source.wrong(self._culprit(everything).where, f"{error} (in the cell {said})") from None
        sizes = [one.value.size_bytes for one in row if one.value.size_bytes is not None]
        return Cell(
            number=number,
            labels=_labels(row),
            values={one.name: one.value.value for one in row},
            settings=settings,
            size_bytes=sizes[0] if sizes else size_bytes,
        )

    def _culprit(self, row: Row) -> Assignment:
        """The last in the file without which it would be possible."""
        in_file = sorted(row, key=lambda one: self.source.line(one.where))
        for one in reversed(in_file):
            try:
                _possible(tuple(other for other in row if other is not one))
            except SettingsError:
                continue
            return one
        return in_file[-1]


def layout(source: Source) -> Layout:
    """What a plan says of its cells, every name and value checked; SettingsError."""
    data = source.data
    fixed = tuple(_settings(source, data.get("settings", {})))
    product = _product(source, source.table(("axes",), data.get("axes", {})))
    listed = _listed(source, data.get("cells", []), list(product))
    if not product and not listed:
        where: Where = ("axes",) if "axes" in data else ("cells",)
        raise source.wrong(where, "nothing is varied: a plan has [axes], each a list of values, or [[cells]]")
    found = Layout(source=source, fixed=fixed, product=product, listed=listed)
    varied = _apart(source, [(name, _where_of(found, name)) for name in found.names])
    for one in fixed:
        if targets(one.name) <= varied:
            raise source.wrong(one.where, f"{one.name} is varied: what stands here would never hold")
    if math.prod(len(row) for row in product.values()) + len(listed) > MOST_CELLS:
        raise source.wrong(("axes",), f"these are more than {MOST_CELLS} cells: take fewer values")
    _no_row_twice(found)
    return found


def _where_of(found: Layout, name: str) -> Where:
    return found.product[name][0].where[:2] if name in found.product else ("cells", 0)


def _apart(source: Source, named: Sequence[tuple[str, Where]]) -> frozenset[str]:
    """What several names determine together; SettingsError where two determine the same."""
    seen: dict[str, str] = {}
    for name, where in named:
        for target in targets(name):
            if target in seen:
                raise source.wrong(where, f"{name} says again what {seen[target]} says already")
            seen[target] = name
    return frozenset(seen)


def _settings(source: Source, written: object) -> Iterator[Assignment]:
    seen: dict[str, Where] = {}
    for name, value in source.table(("settings",), written).items():
        where = ("settings", name)
        setting = source.setting(where, name)
        _apart(source, [*seen.items(), (setting, where)])
        seen[setting] = where
        yield _assignment(source, setting, value, where)


def _product(source: Source, written: Mapping[str, object]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for name, values in written.items():
        where: Where = ("axes", name)
        axis = source.axis(where, name)
        if axis in found:
            raise source.wrong(where, f"{name} is another name of {axis}, which is an axis already")
        if not isinstance(values, list) or not values:
            raise source.wrong(where, f"an axis is a list of at least one value, such as {name} = [...]")
        row: list[Assignment] = []
        for number, value in enumerate(values):
            one = _assignment(source, axis, value, (*where, number))
            if any(other.value.label == one.value.label for other in row):
                raise source.wrong(one.where, f"{axis} has the value {one.value.label} twice")
            row.append(one)
        found[axis] = tuple(row)
    return found


def _listed(source: Source, written: object, names: list[str]) -> tuple[Row, ...]:
    if not isinstance(written, list):
        raise source.wrong(("cells",), "cells are tables, each under a line [[cells]]")
    rows: list[Row] = []
    for number, table in enumerate(written):
        where: Where = ("cells", number)
        given: dict[str, Assignment] = {}
        for name, value in source.table(where, table).items():
            axis = source.axis((*where, name), name)
            if axis in given:
                raise source.wrong((*where, name), f"{name} is another name of {axis}, which this cell has already")
            given[axis] = _assignment(source, axis, value, (*where, name))
        names = names or list(given)
        if not given or set(given) != set(names):
            told = ", ".join(names) or "at least one axis"
            raise source.wrong(where, f"every cell must say the same axes, each once: {told}")
        rows.append(tuple(given[name] for name in names))
    return tuple(rows)


def _assignment(source: Source, name: str, written: object, where: Where) -> Assignment:
    value = source.read(where, lambda one: value_of(name, one), written)
    return Assignment(name=name, value=value, where=where)


def _no_row_twice(found: Layout) -> None:
    seen: set[tuple[str, ...]] = set()
    for row in found.rows():
        labels = tuple(_labels(row).values())
        if labels in seen:
            raise found.source.wrong(row[0].where[:2], f"this cell is there twice: {', '.join(labels)}")
        seen.add(labels)


def _labels(row: Row) -> dict[str, str]:
    return {one.name: one.value.label for one in row}


def _possible(row: Row) -> Settings:
    """The settings of a cell; SettingsError where they, the path or the level do not allow them together."""
    settings = Settings(**apply(one.value.changes for one in row if one.name not in FREE))
    impairments_of(Run(source=1, settings=settings))
    level, mtu = level_of(settings), mtu_for(settings)
    largest = level.largest_payload_bytes(min(mtu, LARGEST_MTU))
    if mtu > LARGEST_MTU or (settings.payload_size or 0) > largest:
        raise SettingsError(
            f"a payload of {settings.payload_size} bytes does not fit a frame at level {level.name}: "
            f"payload_size is from 1 to {largest} there"
        )
    return settings


def _thin(values: Sequence[T], is_kept: Callable[[T], bool]) -> tuple[T, ...]:
    chosen = {0, len(values) // 2, len(values) - 1}
    return tuple(value for number, value in enumerate(values) if number in chosen or is_kept(value))


def _is(label: str | None, one: Assignment) -> bool:
    return one.value.label == label


def _is_emulated(settings: Settings) -> bool:
    return impairments_of(Run(source=1, settings=settings)) is not None


# Axes that mean something only beside another setting: without it a plan would measure nothing, with plots.
_EFFECTIVE: Mapping[str, tuple[Callable[[Settings], bool], str]] = {
    "ring_size": (lambda settings: settings.delivery == "ring", 'delivery = "ring" in some cell'),
    "loss_burst": (lambda settings: any(settings.loss), "a loss in some cell"),
    "clang_flags_emulator": (_is_emulated, "an impairment in some cell, or there is no emulator"),
}
