"""Mentions on the pieces of each kind of tokenizer, trained here on a few lines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from balign.pretrain.tokenize import locate, tokenise_texts

WORDS = [
    "acute",
    "heart",
    "failure",
    "β-blocker",
    "Sjögren's",
    "naïve",
    "2α",
    "日本脳炎",
    "😷",
    "in",
]
LINES = [
    " ".join(WORDS),
    "heart, ( acute",
    " ".join(WORDS[::-1]),
    "heart failure in acute heart failure",
] * 3
NAMES = {
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
    "unk_token": "<unk>",
}
SPECIAL = ["<s>", "</s>", "<pad>", "<mask>", "<unk>"]


def byte_level(trim, prefix):
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(LINES, trainer)
    made.post_processor = (
        processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=prefix)
        if trim
        else template()
    )
    return made


def template():
    return processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )


def sentence_piece():
    """As DeBERTa v2 and v3 have it: Unigram after NFKC, spaces as a mark before each word."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(LINES, trainer)
    made.post_processor = template()
    return made


def word_piece():
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=130, special_tokens=SPECIAL, show_progress=False)
    made.train_from_iterator(LINES, trainer)
    made.post_processor = template()
    return made


KINDS = {
    "byte-level, offsets trimmed": lambda: byte_level(True, False),
    "byte-level, space before each text": lambda: byte_level(True, True),
    "byte-level, offsets with the space": lambda: byte_level(False, False),
    "SentencePiece": sentence_piece,
    "WordPiece": word_piece,
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return PreTrainedTokenizerFast(
        tokenizer_object=KINDS[request.param](),
        **NAMES,
    )


def squeeze(text):
    return "".join(text.split())


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_pieces_of_a_mention_read_as_its_surface(tokenizer, data):
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8))
    glue = data.draw(st.sampled_from([" ", "  ", " (", ", "]))
    text = glue.join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(len(words) - 1, first + 2)))
    start = len(glue.join([*words[:first], ""]))
    end = start + len(glue.join(words[first : last + 1]))
    pieces = tokenise_texts(tokenizer, ["in heart", text], 999, "texts")
    begin, stop = locate(pieces, np.array([1]), np.array([start]), np.array([end]))
    own = pieces.ids[pieces.indptr[1] :]
    # No punctuation of the text may hang on the mention's pieces, so they read as its surface.
    assert squeeze(tokenizer.decode(own[begin[0] : stop[0]])) == squeeze(text[start:end])
    # And no piece before or after has a part of it.
    before, after = (
        squeeze(tokenizer.decode(own[x])) for x in (slice(1, begin[0]), slice(stop[0], -1))
    )
    assert (before, after) == (squeeze(text[:start]), squeeze(text[end:]))


@pytest.mark.parametrize("mention", ["β-blocker", "日本脳炎", "😷", "heart"])
def test_a_mention_is_lost_exactly_if_a_piece_of_it_is_cut_off(tokenizer, mention):
    text = f"acute {mention} in heart failure"
    start, end = 6, 6 + len(mention)
    spans = np.array([0]), np.array([start]), np.array([end])
    whole = tokenise_texts(tokenizer, [text], 999, "texts")
    first, last = (int(x[0]) for x in locate(whole, *spans))
    assert 0 < first < last < len(whole.ids) - 1
    for longest in range(3, len(whole.ids) + 1):
        pieces = tokenise_texts(tokenizer, [text], longest, "texts")
        assert pieces.truncated[0] == (longest < len(whole.ids))
        found = tuple(int(x[0]) for x in locate(pieces, *spans))
        assert found == ((first, last) if longest > last else (0, 0))


def test_a_mention_inside_a_word_takes_the_pieces_it_touches(tokenizer):
    text = "acute heart"
    pieces = tokenise_texts(tokenizer, [text], 999, "texts")
    everything = locate(pieces, np.array([0]), np.array([0]), np.array([len(text)]))
    assert [int(x[0]) for x in everything] == [1, len(pieces.ids) - 1]
    begin, stop = locate(pieces, np.array([0]), np.array([8]), np.array([9]))  # the e of heart
    covered = set()
    for place in range(begin[0], stop[0]):
        covered |= set(range(pieces.start[place], pieces.end[place]))
    assert 8 in covered and stop[0] == begin[0] + 1


def test_characters_that_a_normaliser_changes_keep_their_place():
    made = sentence_piece()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        **NAMES,
    )
    text = "ﬀ acute ｈｅａｒｔ failure"  # NFKC makes two characters of one, and narrow of wide
    pieces = tokenise_texts(tokenizer, [text], 999, "texts")
    start = text.index("ｈ")
    begin, stop = locate(pieces, np.array([0]), np.array([start]), np.array([start + 5]))
    assert tokenizer.decode(pieces.ids[begin[0] : stop[0]]).strip() == "heart"
