"""The tokenizer gives the ids of open_clip's, without torch."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from scing_cli.core.encoders.tokenizer import END, START, VOCABULARY, tokenize

WORDS = [
    *("red", "backpacks", "it's", "I'LL", "jeans.", "2", "12b", "'", "<", "--", "C:\\x"),
    *("<start_of_text>", "<end_of_text>", "<|endoftext|>", "&amp;", "&lt;", "\x1b[31m", "  ", "\t\n"),
    *("naïve", "½", "ﬁ", "“x”", "😀", "سلام", "王", "é", "ſ", "K", "\u200b", "İ"),
]
reference = SimpleTokenizer()


def theirs(text: str) -> list[int]:
    return [reference.sot_token_id, *reference.encode(text), reference.eot_token_id]


@settings(deadline=None)
@given(st.one_of(st.text(), st.text(st.characters(max_codepoint=127)), st.lists(st.sampled_from(WORDS)).map(" ".join)))
@example("")
@example("coat " * 300)
def test_the_ids_are_those_of_open_clip(text: str) -> None:
    assert tokenize(text) == theirs(text)


def test_special_tokens_end_the_vocabulary() -> None:
    assert (START, END) == (reference.sot_token_id, reference.eot_token_id) == (VOCABULARY - 2, VOCABULARY - 1)


def test_torch_is_not_imported() -> None:
    code = "import sys; from scing_cli.core.encoders.tokenizer import tokenize; print(len(tokenize('a naïve coat')))"
    code += "; assert not {'torch', 'open_clip'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(len(theirs("a naïve coat")))
