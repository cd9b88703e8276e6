"""Fixtures that every test folder may use."""

import os
import string
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = list(string.ascii_lowercase)
WORDS = ["heart", "attack", "asthma", "disease", "patients", "mice", "women", "children"]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def balign():
    """Run the command line in a process of its own and return the finished process."""

    def run(*arguments, **environment):
        own = {"PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "120"}
        return subprocess.run(
            [sys.executable, "-m", "balign", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    """A two-layer BERT with a hand-written vocabulary and seeded random weights."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = [*SPECIAL, *LETTERS, *["##" + letter for letter in LETTERS], *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.3,  # far enough from 0 that names differ
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(str(folder))
    return folder
