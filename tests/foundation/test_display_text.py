from __future__ import annotations

import json

import pytest

from foundation.display_text import escape_controls, format_one_line

DANGEROUS = [
    *(chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))),
    *(chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0x200E, 0x200F, 0x61C)),
    *("\ufeff", "\udcff"),
]


@pytest.mark.parametrize("sign", DANGEROUS, ids=lambda sign: f"{ord(sign):04x}")
def test_every_control_character_becomes_its_code(sign: str) -> None:
    assert escape_controls(f"a{sign}b\t\n") == f"a\\u{ord(sign):04x}b\t\n"
    shown = format_one_line(f"a{sign}b")
    assert sign not in shown and shown in (f"a\\u{ord(sign):04x}b", "a b")
    shown.encode()  # a lone surrogate could not be written


def test_ordinary_text_stays() -> None:
    text = "ViT-Tiny · 97.77 % (±0.3) naïve 日本語 β→δ 👩‍🔬\n\tnext"
    assert escape_controls(text) == text
    assert format_one_line("  indented stays") == "  indented stays"


def test_line_breaks_of_all_kinds_are_one_blank() -> None:
    assert format_one_line("a\r\nb\n\nc\x0bd\x85e\u2028f\tg") == "a b c d e f g"


def test_json_keeps_the_true_text() -> None:
    value = {"name\u202e": "a\x1b\x9b\u2066b\\ué"}
    text = escape_controls(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value and "\u202e" not in text and "é" in text
