"""The backend ``dense``: the concept whose name is nearest in the space of a text encoder.

The spans are another backend's. Every distinct name of the graph is embedded once, when the index
is built; the vectors are mapped into memory. A string is embedded once for all documents of a job
and compared with every name by a matrix product, block by block, on the accelerator where there
is one: exact, and of the memory of one block however many names there are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from balign.arrays import open_array
from balign.embedding import Encoder, embed_names, load_encoder
from balign.errors import DataError
from balign.files import read_json, sha256_file, write_json
from balign.linking.backends import Linker, build_index, open_linker
from balign.linking.graph_names import distinct_names
from balign.linking.mentions import answered
from balign.linking.settings import LinkingSettings
from balign.linking.strings import StringTable
from balign.progress import track

_NAMES = 65_536  # names embedded, and compared, at once
_QUERIES = 1_024  # strings compared at once; with the names 256 MiB
_SCALE = 10_000  # scores count in steps of 1e-4: far coarser than the rounding of an encoder


@dataclass
class DenseLinker:
    """A linker by embedding, see :class:`balign.linking.backends.Linker`.

    The score is the cosine similarity to the nearest name, 0 where it is negative.
    """

    encoder: Encoder
    settings: LinkingSettings
    vectors: npt.NDArray[np.float32]
    concepts: StringTable
    finder: Linker
    name: str = "dense"
    dropped: Counter[str] = field(default_factory=Counter)
    _known: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)

    @classmethod
    def build(cls, database: Path, settings: LinkingSettings, folder: Path) -> None:
        """Write the vectors of the names, and the index of the backend that finds the spans."""
        own = settings.dense
        model = model_folder(own.model)
        encoder = load_encoder(model)
        names = distinct_names(database)
        StringTable.of(names["concept"]).save(folder, "concepts")
        vectors = None
        for first in range(0, len(names), _NAMES):
            some = names["name"][first : first + _NAMES].to_list()
            part = embed_names(encoder, some, f"names embedded from {first:,} on", own.pooling)
            if vectors is None:
                vectors = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                    folder / "vectors.npy", "w+", part.dtype, (len(names), part.shape[1])
                )
            vectors[first : first + len(part)] = part
        facts = {"pooling": own.pooling, "spans": own.spans, "weights": weights_digest(model)}
        write_json(folder / "dense.json", facts)
        (folder / "spans").mkdir()
        build_index(own.spans, database, settings, folder / "spans")

    @classmethod
    def open(cls, folder: Path, settings: LinkingSettings) -> DenseLinker:
        """Map the vectors and load the encoder.

        Raises:
            DataError: if the index was made by another model, pooling or backend of spans.
        """
        own = settings.dense
        model = model_folder(own.model)
        facts = {"pooling": own.pooling, "spans": own.spans, "weights": weights_digest(model)}
        if (found := read_json(folder / "dense.json")) != facts:
            raise DataError(
                f"the names were embedded otherwise ({found}) than is wanted ({facts})",
                where=str(folder),
                hint="build the index again with `balign linking index`",
            )
        return cls(
            load_encoder(model),
            settings,
            open_array(folder / "vectors.npy"),
            StringTable.open(folder, "concepts"),
            open_linker(own.spans, folder / "spans", settings),
        )

    def link(self, documents: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
        """Find the mentions in some documents."""
        spans = self.finder.link(documents, sentences)
        self.dropped += self.finder.dropped
        self.finder.dropped.clear()
        surfaces = spans["surface"].to_list()
        new = sorted(set(surfaces) - self._known.keys())
        if new:
            asked = embed_names(self.encoder, new, "mentions embedded", self.settings.dense.pooling)
            place, score = nearest_names(asked, self.vectors, self.encoder.device)
            concepts = [self.concepts[number] for number in place.tolist()]
            self._known.update(zip(new, zip(concepts, score.tolist(), strict=True), strict=True))
        answers = [self._known[surface] for surface in surfaces]
        return answered(spans, answers, self.name)


def nearest_names(
    queries: npt.NDArray[np.float32], names: npt.NDArray[np.float32], device: torch.device
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the position of the nearest name of each query, and the similarity.

    Similarities are rounded to 1e-4; of equal ones the name of the lower position wins, so that
    the rounding of floating point in an encoder decides nothing.

    Args:
        queries: ``[q, d]``, normalised.
        names: ``[n, d]``, normalised; read block by block.
        device: where to compute.
    """
    best = torch.full((len(queries),), -2 * _SCALE, dtype=torch.int64, device=device)
    place = torch.zeros(len(queries), dtype=torch.int64, device=device)
    asked = torch.from_numpy(queries).to(device)
    for first in track(range(0, len(names), _NAMES), "blocks of names compared"):
        block = torch.from_numpy(np.array(names[first : first + _NAMES])).to(device)
        for begin in range(0, len(queries), _QUERIES):
            rows = slice(begin, begin + _QUERIES)
            similarity = asked[rows] @ block.T
            steps = (similarity.amax(dim=1) * _SCALE).round()
            # The first name that rounds to the best similarity.
            equal = similarity >= ((steps - 0.5) / _SCALE).unsqueeze(1)
            row = equal.to(torch.uint8).argmax(dim=1)
            better = steps.long() > best[rows]
            best[rows] = torch.where(better, steps.long(), best[rows])
            place[rows] = torch.where(better, row + first, place[rows])
    score = best.clamp(0, _SCALE).double() / _SCALE
    return place.cpu().numpy(), score.float().cpu().numpy()


def model_folder(model: str) -> Path:
    """Return the folder of a model that is given as one, or as the ``MANIFEST.json`` in it."""
    path = Path(model)
    return path.parent if path.name == "MANIFEST.json" else path


def weights_digest(model: Path) -> dict[str, Any]:
    """Return the sha256 of each file of weights."""
    return {file.name: sha256_file(file) for file in sorted(model.glob("*.safetensors"))}
