"""A byte-level BPE tokenizer that splits names into small pieces, made from example texts.

Humps of camel case, underscores, dots, slashes, single digits, a final plural 's' and runs of white space are pieces
of their own, so that a name which was never seen is made of tokens that were, and is the same tokens wherever it
stands. Only a few small words carry the space before them. Every text comes back unchanged. Written for
`transformers` and mlx-lm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from punie_trace.suite.fresh.names import word_list
from recipes.chat import CHAT_TEMPLATE, END_OF_TEXT, SPECIAL_TOKENS, TURN_END

SMALL_WORDS = word_list(
    """
    a an and are as at be but by can do does for from has have how i if in into is it its me more not of on
    one or over so than that the their them then there they this to use used what when where which while will
    with you your
    """
)
PIECES = "|".join(
    (
        rf" (?:{'|'.join(SMALL_WORDS)})(?![A-Za-z0-9_])",
        r"[A-Z]+(?![a-z])",
        r"[A-Z]?[a-z]+?(?=s(?![a-z]))",
        r"[A-Z]?[a-z]+",
        r"[0-9]",
        r"\n+ *",
        r" +",
        r"[_./]",
        r"[^\sA-Za-z0-9_./]{1,3}",
    )
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` tokens if the texts give that many; special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 8192,
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [token for token in SPECIAL_TOKENS if token.startswith("<|im")],
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
