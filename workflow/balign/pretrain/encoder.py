"""The text encoder: a Hugging Face folder loaded with an MLM head, and logits where needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from balign.errors import DataError
from balign.files import read_json, sha256_file

log = logging.getLogger(__name__)

_GELU_LINEAR = 4.0  # gelu(x) = x to 1e-3 from about 3 on


@dataclass(frozen=True)
class EncoderFolder:
    """A pretrained encoder on disk.

    Attributes:
        path: the Hugging Face folder.
        name: name of the source, or of the folder.
        facts: ``version``, ``licence`` and ``homepage`` where the source tells them.
    """

    path: Path
    name: str
    facts: dict[str, str] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Return the sha256 of the files that decide what the encoder computes."""
        files = sorted(self.path.glob("*.safetensors"))
        files += [self.path / name for name in ("config.json", "tokenizer.json")]
        return {file.name: sha256_file(file) for file in files if file.is_file()}


def resolve_encoder(path: Path) -> EncoderFolder:
    """Find an encoder given as a source's ``MANIFEST.json`` or as a Hugging Face folder.

    Raises:
        DataError: if the source was skipped, or the folder lacks the configuration or weights in
            safetensors (pickled weights run code when they are read, so none is).
    """
    found = EncoderFolder(path, path.resolve().name)
    if path.name == "MANIFEST.json":
        manifest = read_json(path)
        if manifest["status"] != "ok":
            raise DataError(
                f"the encoder '{manifest['name']}' was skipped: {manifest['reason']}",
                where=str(path),
                hint="choose another encoder in pretrain.models",
            )
        facts = {key: str(manifest[key]) for key in ("version", "licence", "homepage")}
        found = EncoderFolder(path.parent, str(manifest["name"]), facts)
    if not (found.path / "config.json").is_file() or not any(found.path.glob("*.safetensors")):
        raise DataError(
            "not an encoder: config.json or a *.safetensors file is missing",
            where=str(found.path),
            hint="save the model with save_pretrained(folder, safe_serialization=True)",
        )
    return found


def load_tokenizer(folder: Path) -> Any:
    """Load a fast tokenizer from a folder, without network or remote code.

    Raises:
        DataError: if there is none, or it has no mask token or no offsets (not a fast one).
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the tokenizer cannot be loaded: {error}", where=str(folder)) from error
    if not tokenizer.is_fast or tokenizer.mask_token_id is None:
        raise DataError(
            "the tokenizer must be a fast one (it gives offsets) and have a mask token",
            where=str(folder),
        )
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' reports and its own progress bars out of the log for a while."""
    import transformers

    messages: Any = transformers.logging
    verbosity = messages.get_verbosity()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        messages.enable_progress_bar()


class TextEncoder(nn.Module):
    """A transformer with its MLM head, whose logits are computed at chosen positions only."""

    def __init__(self, model: Any) -> None:
        """Wrap a masked-language model of transformers.

        Raises:
            DataError: for an architecture whose head is not known.
        """
        super().__init__()
        self.model = model
        self._head()

    @property
    def hidden(self) -> int:
        """Return the width d of the states."""
        return int(self.model.config.hidden_size)

    def _head(self) -> Any:
        for name in ("cls", "lm_head"):  # BERT and its like; RoBERTa and its like
            if hasattr(self.model, name):
                return getattr(self.model, name)
        raise DataError(
            f"the MLM head of a '{self.model.config.model_type}' is not known",
            hint="use an encoder of the BERT or RoBERTa family",
        )

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last layer's states [batch, length, d] of ids and mask [batch, length]."""
        out: Tensor = self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        return out

    def logits(self, states: Tensor, positions: Tensor) -> Tensor:
        """Return MLM logits [m, vocabulary] at ``positions`` [m] of the flattened states.

        The head at all positions would cost 4.6 times a whole step (METHODS.md, section 2).
        """
        picked = states.reshape(-1, states.shape[-1]).index_select(0, positions)
        out: Tensor = self._head()(picked)
        return out

    def body(self) -> list[nn.Parameter]:
        """Return the parameters that come from pre-training: all but the head's own."""
        return list(self.model.base_model.parameters())


def load_text_encoder(
    folder: Path, piece_counts: npt.NDArray[np.int64] | None = None
) -> tuple[TextEncoder, bool]:
    """Load an encoder with the checkpoint's MLM head, or a new one where it has none.

    Args:
        folder: Hugging Face folder with safetensors.
        piece_counts: [vocabulary], how often each word piece occurs in the training text, for the
            bias of a new head; the bias is zero without it.

    Returns:
        The encoder in float32, and whether its head is new.

    Raises:
        DataError: if transformers cannot read the folder, or the head is of an unknown kind.
    """
    import transformers

    try:
        with quiet_transformers():  # a missing head is handled here, not news to report
            model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
                str(folder),
                output_loading_info=True,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the encoder cannot be loaded: {error}", where=str(folder)) from error
    encoder = TextEncoder(model)
    prefix = f"{model.base_model_prefix}."
    body = sorted(key for key in loading["missing_keys"] if key.startswith(prefix))
    if body:
        raise DataError(
            f"the checkpoint lacks weights of the encoder: {body[0]}", where=str(folder)
        )
    new_head = bool(loading["missing_keys"])
    if new_head:
        _initialise_head(encoder, piece_counts)
        log.info("the checkpoint has no MLM head; a new one is tied to its embeddings")
    return encoder, new_head


def _initialise_head(encoder: TextEncoder, piece_counts: npt.NDArray[np.int64] | None) -> None:
    """Start a head as: state, normalised, against the word embeddings, plus log frequency.

    The transform of BERT's head is LayerNorm(gelu(dense(x))). With the identity as ``dense`` and
    no bias, gelu would cut the negative half of the state off; a bias of 4 moves the states (at
    most 3.5 in MiniLM) to where gelu is linear, and LayerNorm takes the constant away again, so
    the transform is LayerNorm(x). With the log frequency of the pieces as output bias the MLM loss
    of MiniLM on PubMed starts at 7.5 instead of 10.8, and 30 steps on the head alone at 1e-3 bring
    it to 6.7 instead of 7.2 (measured): the encoder need not learn what a table of counts knows.
    """
    head = encoder._head()
    transform = getattr(getattr(head, "predictions", head), "transform", head)
    output = encoder.model.get_output_embeddings()
    embeddings = encoder.model.get_input_embeddings()
    if output.weight is not embeddings.weight:
        output.weight = embeddings.weight
        encoder.model.config.tie_word_embeddings = True
    norm = transform.LayerNorm if hasattr(transform, "LayerNorm") else transform.layer_norm
    with torch.no_grad():
        nn.init.eye_(transform.dense.weight)
        nn.init.constant_(transform.dense.bias, _GELU_LINEAR)
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
        nn.init.zeros_(output.bias)
        if piece_counts is not None:
            smoothed = torch.from_numpy(piece_counts + 0.1)
            output.bias.copy_((smoothed / smoothed.sum()).log().float())
