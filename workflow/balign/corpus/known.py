"""Elements that recur (journals, dates, headings): looked up by their own XML.

The handlers of :mod:`balign.corpus.citation`, or a regular expression for the common form, read
each such XML once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree

from balign.corpus.citation import MEDLINE_CITATION, Handlers, walk
from balign.corpus.flat import flat, offsets_of, sums
from balign.corpus.schema import MESH, PARSED_SCHEMA, Row, empty_row

_REMEMBERED = 1 << 16  # entries a table

PARSER = etree.XMLParser(no_network=True, load_dtd=False, remove_pis=True)
# An element without children.
_LEAF = re.compile(r'<(\w+)(?: \w+="[^"<>]*")?>([^<>]*)</\1>', re.ASCII)
# A descriptor or qualifier of MeSH, cut before its code.
_NAME = re.compile(
    r'(\w+)" MajorTopicYN="([YN])"[^<>]*>([^<>]*)</(Descriptor|Qualifier)Name>\s*'
    r"(?:<QualifierName|</MeshHeading>\s*(?:<MeshHeading>\s*<DescriptorName)?)",
    re.ASCII,
)
_CHEMICAL = re.compile(
    r"\s*<Chemical>\s*<RegistryNumber>([^<>]*)</RegistryNumber>\s*"
    r'<NameOfSubstance UI="(\w+)">([^<>]*)</NameOfSubstance>\s*',
    re.ASCII,
)


class Part(Protocol):
    """What makes columns of one part of the citations.

    ``read`` takes the XML of the part in one citation, None or nothing where there is none, and
    refuses with an exception what is not of the plain form; ``arrays`` makes a column each of what
    it returned.
    """

    @property
    def columns(self) -> Sequence[str]:
        """The columns that are made of it."""
        ...

    @property
    def read(self) -> Callable[[bytes | None], Any]:
        """Read the part of one citation."""
        ...

    def arrays(self, values: Sequence[Any]) -> list[pa.Array]:
        """Return a column each of what was read of many citations."""
        ...


class _Known(dict[bytes | None, int]):
    """Numbers of elements by their XML; filled by a function from XML to values."""

    def __init__(self, make: Callable[[str], Sequence[Any]], types: Sequence[pa.DataType]) -> None:
        self._make = make
        self._empty = [pa.array([], kind) for kind in types]
        self._arrays = self._empty
        self._new: list[Sequence[Any]] = []

    def __missing__(self, xml: bytes | None) -> int:
        self._new.append(self._make((xml or b"").decode()))
        number = self[xml] = len(self)
        return number

    def arrays(self) -> list[pa.Array]:
        """Return the values that elements have by their numbers."""
        if self._new:
            pairs = zip(self._arrays, zip(*self._new, strict=True), strict=True)
            self._arrays = [pa.concat_arrays([old, pa.array(v, old.type)]) for old, v in pairs]
            self._new = []
        found = self._arrays
        if len(self) > _REMEMBERED:
            self.clear()
            self._arrays = self._empty
        return found


class Remembered:
    """Elements that are looked up as a whole."""

    def __init__(self, make: Callable[[str], Sequence[Any]], *columns: str) -> None:
        self.columns = columns
        self._known = _Known(make, [PARSED_SCHEMA.field(name).type for name in columns])
        self.read: Callable[[bytes | None], int] = self._known.__getitem__

    def arrays(self, values: Sequence[int]) -> list[pa.Array]:
        """See :class:`Part`."""
        numbers = pa.array(values, pa.int32())
        return [array.take(numbers) for array in self._known.arrays()]


class Items:
    """Lists whose items are looked up one by one."""

    def __init__(self, make: Callable[[str], Row], column: str, end: bytes) -> None:
        self.columns = (column,)
        self._end = end
        self._type = PARSED_SCHEMA.field(column).type
        self._known = _Known(lambda xml: (make(xml),), [self._type.value_type])

    def read(self, xml: bytes | None) -> list[int]:
        """See :class:`Part`."""
        if not xml:
            return []
        *items, rest = xml.split(self._end)
        if rest.strip():
            raise ValueError("a list of another form")
        return list(map(self._known.__getitem__, items))

    def arrays(self, values: Sequence[list[int]]) -> list[pa.Array]:
        """See :class:`Part`."""
        (items,) = self._known.arrays()
        items = items.take(pa.array(chain.from_iterable(values), pa.int32()))
        return [pa.ListArray.from_arrays(offsets_of(values), items, type=self._type)]


class Mesh:
    """Headings, looked up name by name."""

    columns = ("mesh",)

    def __init__(self) -> None:
        self._known = _Known(_name, [pa.bool_(), pa.string(), pa.bool_(), pa.string()])

    def read(self, xml: bytes | None) -> list[int]:
        """See :class:`Part`."""
        return list(map(self._known.__getitem__, xml.split(b' UI="')[1:])) if xml else []

    def arrays(self, values: Sequence[list[int]]) -> list[pa.Array]:
        """See :class:`Part`."""
        numbers = np.fromiter(chain.from_iterable(values), np.int32)
        is_descriptor, ui, major, name = self._known.arrays()
        begins = is_descriptor.to_numpy(False)[numbers]
        descriptors, qualifiers = np.flatnonzero(begins), np.flatnonzero(~begins)
        headings = np.searchsorted(descriptors, offsets_of(values)).astype(np.int32)
        after = np.searchsorted(qualifiers, [*descriptors, len(numbers)]).astype(np.int32)
        one, more = pa.array(numbers[descriptors]), pa.array(numbers[qualifiers])
        majors = major.take(more)
        flags = sums(majors.to_numpy(False))
        any_major = pa.array(flags[after[1:]] > flags[after[:-1]])
        columns = {
            "ui": ui.take(one),
            "name": name.take(one),
            "major": pc.or_(major.take(one), any_major),
            "qualifiers": pa.ListArray.from_arrays(after, name.take(more)),
            "descriptor_major": major.take(one),
            "qualifier_uis": pa.ListArray.from_arrays(after, ui.take(more)),
            "qualifier_majors": pa.ListArray.from_arrays(after, majors),
        }
        kinds = list(MESH.value_type)
        items = pa.StructArray.from_arrays([columns[kind.name] for kind in kinds], fields=kinds)
        return [pa.ListArray.from_arrays(headings, items, type=MESH)]


def terms(handlers: Handlers, inside: str, **elements: str) -> Part:
    """Return what looks up elements of text, of which one column each is made."""
    slow = reader(handlers, *elements.values(), inside=inside)
    around = 2 if inside == "{}" else 0  # tags of an element that holds them

    def read(xml: str) -> tuple[Any, ...]:
        found = _LEAF.findall(xml)
        named, tags = dict(found), 2 * len(found) + around * bool(xml)
        if len(named) < len(found) or xml.count("<") != tags or xml.count(">") != tags:
            return slow(xml)
        return tuple(flat(named.get(element, "")) or None for element in elements)

    return Remembered(read, *elements.values())


def reader(
    handlers: Handlers, *columns: str, inside: str = "{}"
) -> Callable[[str], tuple[Any, ...]]:
    """Return a function from the XML of some elements to what the handlers make of them."""

    def read(xml: str) -> tuple[Any, ...]:
        row = empty_row()
        walk(etree.fromstring(f"<X>{inside.format(xml)}</X>", PARSER), row, handlers)
        return tuple(row[column] for column in columns)

    return read


def _name(xml: str) -> tuple[bool, str, bool, str]:
    """Return of a MeSH name whether it is a descriptor's, its code, flag and text."""
    found = _NAME.fullmatch(xml.rstrip())
    if found is None:
        raise ValueError("a name of another form")
    return found[4] == "Descriptor", found[1], found[2] == "Y", flat(found[3])


def chemical(xml: str) -> Row:
    """Read a ``Chemical`` that lacks its end tag."""
    if found := _CHEMICAL.fullmatch(xml):
        number = flat(found[1])
        registry = None if number in ("", "0") else number
        return {"ui": found[2], "name": flat(found[3]), "registry": registry}
    ((chemical,),) = _read_chemicals(f"<ChemicalList>{xml}</Chemical></ChemicalList>")
    return dict(chemical)


_read_chemicals = reader(MEDLINE_CITATION, "chemicals")
