"""The text encoder: a Hugging Face folder loaded with an MLM head, and logits where needed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from balign.errors import DataError
from balign.files import sha256_file
from balign.pretrain.packing import Packed, enable_packing, encode_packed
from balign.sources.manifest import open_source

log = logging.getLogger(__name__)

_GELU_LINEAR = 4.0  # gelu(x) = x to 1e-3 from about 3 on
_GELU_HALF = 0.1  # gelu(x) = x/2 (1 + 0.8 x) near 0: at 0.1 a tenth off


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
        source = open_source(path)
        if source.skipped:
            raise DataError(
                f"the encoder '{source.name}' was skipped: {source.reason}",
                where=str(path),
                hint="choose another encoder in pretrain.models",
            )
        facts = {key: str(getattr(source, key)) for key in ("version", "licence", "homepage")}
        found = EncoderFolder(source.folder, source.name, facts)
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


class _GivenStates(nn.Module):
    """Stands in a masked-language model for its encoder, and returns the states it is given."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        if hasattr(encoder, "embeddings"):  # DeBERTa's newer head takes them from here
            self.embeddings = encoder.embeddings

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=inputs_embeds)


class TextEncoder(nn.Module):
    """A transformer with its MLM head, whose logits are computed at chosen positions only."""

    def __init__(self, model: Any) -> None:
        """Wrap a masked-language model of transformers.

        The head is whatever the model's own forward does after its encoder: the model is copied,
        parameters shared, with the encoder replaced by one that returns given states. So BERT,
        RoBERTa, DeBERTa, ModernBERT, ELECTRA, DistilBERT, MPNet and their like need no code each.

        Raises:
            DataError: for an architecture that does not compute logits from states in this way.
        """
        super().__init__()
        self.adopt(model)

    def adopt(self, model: Any) -> None:
        """Wrap another model of transformers, as an objective does that changes the architecture.

        Raises:
            DataError: as for a new one.
        """
        self.model = model
        head = copy.copy(model)
        head._modules = {**model._modules, model.base_model_prefix: _GivenStates(model.base_model)}
        self._head = (head,)  # in a tuple, or its parameters would be registered twice
        try:
            with torch.no_grad():
                shape = self.logits(torch.zeros(2, self.hidden), torch.tensor([1])).shape
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise self._unknown() from error
        if shape[0] != 1 or shape[1] < model.get_input_embeddings().num_embeddings:
            raise self._unknown()
        if not enable_packing(model):
            log.info("a '%s' sees padded sub-batches of like length", model.config.model_type)

    def _unknown(self) -> DataError:
        return DataError(
            f"the MLM head of a '{self.model.config.model_type}' is not known",
            hint="use an encoder of the BERT family: BERT, RoBERTa, DeBERTa, ModernBERT, ELECTRA, "
            "DistilBERT, MPNet",
        )

    @property
    def hidden(self) -> int:
        """Return the width d of the states."""
        return int(self.model.config.hidden_size)

    def encode(self, text: Packed, **given: Any) -> Tensor:
        """Return the last layer's states [t, d] of packed texts of t pieces together.

        Args:
            text: the texts.
            given: what else the model takes, where it is one of an objective's own.
        """
        return encode_packed(self.model, text, **given)

    def logits(self, states: Tensor, positions: Tensor) -> Tensor:
        """Return MLM logits [m, vocabulary] at ``positions`` [m] of the states [t, d].

        The head at all positions would cost 4.6 times a whole step (METHODS.md, section 2).
        """
        picked = states.index_select(0, positions)
        out: Tensor = self._head[0](inputs_embeds=picked[None]).logits[0]
        return out

    def body(self) -> list[nn.Parameter]:
        """Return the parameters that come from pre-training: all but the head's own."""
        return list(self.model.base_model.parameters())


def load_text_encoder(
    folder: Path,
    piece_counts: npt.NDArray[np.int64] | None = None,
    reproduce_original_head: bool = False,
) -> tuple[TextEncoder, bool]:
    """Load an encoder with the checkpoint's MLM head, or a new one where it has none.

    Args:
        folder: Hugging Face folder with safetensors.
        piece_counts: [vocabulary], how often each word piece occurs in the training text, for the
            bias of a new head; the bias is zero without it.
        reproduce_original_head: for the ablation, the original's head: new whatever the checkpoint
            has, random, and not tied to the embeddings.

    Returns:
        The encoder in float32, and whether its head is new.

    Raises:
        DataError: if transformers cannot read the folder, or the head is of an unknown kind.
    """
    import transformers

    from balign import modeling_kebiolm

    modeling_kebiolm.register()
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
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"the encoder cannot be loaded: {error}", where=str(folder)) from error
    encoder = TextEncoder(model)
    prefix = f"{model.base_model_prefix}."
    body = sorted(key for key in loading["missing_keys"] if key.startswith(prefix))
    if body:
        raise DataError(
            f"the checkpoint lacks weights of the encoder: {body[0]}", where=str(folder)
        )
    known = model.get_input_embeddings().num_embeddings
    if piece_counts is not None and len(piece_counts) > known:
        raise DataError(
            f"the tokenizer has {len(piece_counts)} word pieces, the encoder {known}",
            where=str(folder),
            hint="this tokenizer belongs to another encoder",
        )
    new_head = bool(loading["missing_keys"]) or reproduce_original_head
    if reproduce_original_head:
        _randomise_head(model)
        log.info("a new MLM head, random and not tied, as the original has it")
    elif new_head:
        _initialise_head(model, piece_counts)
        log.info("the checkpoint has no MLM head; a new one is tied to its embeddings")
    return encoder, new_head


def _head_modules(model: Any) -> list[nn.Module]:
    """Return the modules after the encoder."""
    parts = (m for name, m in model.named_children() if name != model.base_model_prefix)
    return [module for part in parts for module in part.modules()]


def _initialise_head(model: Any, piece_counts: npt.NDArray[np.int64] | None) -> None:
    """Start a head as: state, normalised, against the word embeddings, plus log frequency.

    The transform of BERT's head is LayerNorm(gelu(dense(x))), and that of the other families too.
    With the identity as ``dense`` and no bias, gelu would cut the negative half of the state off;
    a bias of 4 moves the states (at most 3.5 in MiniLM) to where gelu is linear, and LayerNorm
    takes the constant away again, so the transform is LayerNorm(x). ModernBERT's dense has no bias:
    a tenth of the identity comes to where gelu is x/2. With the log frequency of the pieces as
    output bias the MLM loss of MiniLM on PubMed starts at 7.5 instead of 10.8, and 30 steps on the
    head alone at 1e-3 bring it to 6.7 instead of 7.2 (measured): the encoder need not learn what a
    table of counts knows.

    ELECTRA's dense that changes the width keeps its random start.
    """
    modules, words = _head_modules(model), model.get_input_embeddings().weight
    square = (model.config.hidden_size, model.config.hidden_size)
    output = model.get_output_embeddings()
    if output.weight.shape == words.shape:  # in DeBERTa's newer head it is something else
        output.weight = words
        model.config.tie_word_embeddings = True
    biases = [p for m in modules for p in m.parameters(recurse=False) if p.shape == words.shape[:1]]
    with torch.no_grad():
        for module in modules:
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Linear) and module.weight.shape == square:
                nn.init.eye_(module.weight)
                if module.bias is None:
                    module.weight.mul_(_GELU_HALF)
                else:
                    nn.init.constant_(module.bias, _GELU_LINEAR)
        for bias in biases:
            nn.init.zeros_(bias)
            if piece_counts is not None:
                smoothed = torch.full(bias.shape, 0.1, dtype=torch.float64)  # may be padded
                smoothed[: len(piece_counts)] += torch.from_numpy(piece_counts)
                bias.copy_((smoothed / smoothed.sum()).log())


def _randomise_head(model: Any) -> None:
    """Start a head from normal weights, with output embeddings of its own."""
    words = model.get_input_embeddings().weight
    output = model.get_output_embeddings()
    if output.weight.shape == words.shape:
        model.config.tie_word_embeddings = False
        output.weight = nn.Parameter(torch.empty_like(words))
        # Its bias may be another part's too, which transformers does not restore when not tied.
        output.bias.requires_grad_(False)
        output.bias = nn.Parameter(torch.zeros_like(output.bias))
    for module in _head_modules(model):
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=model.config.initializer_range)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
