"""Examples in which words were swapped for other words of the vocabulary, the same everywhere in the example.

A generator draws names and phrases from lists, so a model learns to copy the tokens on those lists and fails at the
first one that it never had to copy. Swapping a share of an example's words for any others of the vocabulary, in the
question, the tool's result and the answer alike, keeps what is to be copied where, and leaves no token out. Words
that the answers are built from are never swapped.

Mostly words are swapped for words alike. In a scrambled example, letters, digits and marks are swapped too, each for
any token: what looks unlikely has to be copied all the same, and where code and habit part, the code is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import numpy as np

from recipes.dataset import Encoder, Example

SHARE_OF_WORDS = 0.4  # of an example's different words
SCRAMBLED = 0.4  # this share of the renamed examples has nearly all tokens of a result swapped, not only words
SHARE_OF_TOKENS = 0.8  # of a scrambled example's different tokens
KEPT_TEXT = (
    "search_code read_file list_files find_definition name arguments pattern path assistant user system tool_call "
    "tool_response no match matches definition of in file files line lines more error there is nothing about this code "
    "base that did not work Found Here is its source what in it These are the Found There That class def self return "
    "import from the nearest "
    "workspace ' : . '. .'"
)


class Renaming:
    """Swaps words in examples of one tokenizer. `kept_texts` are texts whose words are never swapped."""

    def __init__(self, encoder: Encoder, kept_texts: Iterable[str] = ()) -> None:
        tokenizer = encoder.tokenizer
        kept = set(encoder.prefix.tolist())
        for text in (KEPT_TEXT, KEPT_TEXT.replace(" ", "\n"), *kept_texts):
            kept |= set(tokenizer.encode(text, add_special_tokens=False))
        texts = {token: str(tokenizer.decode([token])) for token in range(len(tokenizer)) if token not in kept}
        # Swapped within its kind only: with a space before it or not, capitalised or not, short or long.
        kinds: dict[tuple[bool, bool, bool], list[int]] = {}
        self._kind_of: dict[int, list[int]] = {}
        self._end, self._open, self._close = (
            tokenizer.encode(mark, add_special_tokens=False)[0]
            for mark in ("<|im_end|>", "<tool_response>", "</tool_response>")
        )
        self._spaced = {token for token, text in texts.items() if text.startswith(" ")}
        self._ordinary = [token for token in range(len(tokenizer)) if _is_ordinary(str(tokenizer.decode([token])))]
        self._movable = {token for token in self._ordinary if token in texts}
        for token, text in texts.items():
            word = text.removeprefix(" ")
            if word.isascii() and word.isalpha() and len(word) > 1:
                kind = (text != word, word[0].isupper(), len(word) > 3)
                self._kind_of[token] = kinds.setdefault(kind, [])
                kinds[kind].append(token)

    def words(self) -> Iterable[int]:
        """All words that can be swapped."""
        return self._kind_of.keys()

    def ordinary(self) -> Iterable[int]:
        """All tokens that another can become: those that show, but for the marks of turns and calls."""
        return self._ordinary

    def rename(self, example: Example, rng: random.Random) -> Example:
        """The example with a share of its different words, or tokens, swapped, each for the same one everywhere.

        No two become the same one, and none becomes one that stays in the example.
        """
        tokens = example.tokens.tolist()
        told, said = self._told(tokens)
        if rng.random() < SCRAMBLED:
            share, present = SHARE_OF_TOKENS, (told & self._movable) - said
        else:
            question = set(tokens[: tokens.index(self._end)])
            # How a question is put stays as it is: what it shares with a result is names, or small words with a space.
            put = {token for token in question if token not in told or token in self._spaced}
            share, present = SHARE_OF_WORDS, (told & self._kind_of.keys()) - put
        others = dict.fromkeys(present, self._ordinary) if share == SHARE_OF_TOKENS else self._kind_of
        return self._swapped(example, rng, present, share, others)

    def _swapped(
        self, example: Example, rng: random.Random, present: set[int], share: float, others: Mapping[int, list[int]]
    ) -> Example:
        tokens = example.tokens.tolist()
        taken = set(tokens)
        swap: dict[int, int] = {}
        for token in [token for token in sorted(present) if rng.random() < share]:
            other = rng.choice(others[token])
            if other not in taken:
                taken.add(other)
                swap[token] = other
        return Example(np.array([swap.get(token, token) for token in tokens], dtype=np.int32), example.weights)

    def rename_shared(self, example: Example, rng: random.Random) -> Example:
        """The example with a share of the words swapped that its question, its calls and its results have in common.

        For conversations of several calls, in which nearly all other words say what to do.
        """
        tokens = example.tokens.tolist()
        told, _ = self._told(tokens)
        trained = {token for token, weight in zip(tokens, example.weights, strict=True) if weight}
        question = set(tokens[: tokens.index(self._end)])
        present = (told | question & trained) & self._kind_of.keys()
        return self._swapped(example, rng, present, SHARE_OF_WORDS, self._kind_of)

    def _told(self, tokens: list[int]) -> tuple[set[int], set[int]]:
        """The tokens of what the tools returned, and those of the question and the calls."""
        told: set[int] = set()
        said: set[int] = set()
        inside = False
        end = len(tokens) - 1 - tokens[::-1].index(self._close)
        for token in tokens[:end]:
            inside = (inside or token == self._open) and token != self._close
            (told if inside else said).add(token)
        return told, said


def _is_ordinary(text: str) -> bool:
    return text.isascii() and text.isprintable() and text.strip() != "" and not text.startswith("<")
