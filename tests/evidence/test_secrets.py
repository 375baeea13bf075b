"""Passwords belong into no message, whatever became of the address around them."""

from __future__ import annotations

import pytest

from heldout.evidence.secrets import without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u@h/db?password=s3cret&a=1", "postgresql://u@h/db?password=***&a=1"),
        ("postgresql://u@hssword=oneslpassword=s3cret", "postgresql://u@hssword=oneslpassword=***"),
        ("a=b=password=s3cret=more", "a=b=password=***"),
        ("a=b=c", "a=b=c"),
        ("key=" + "x=" * 2000, "key=" + "x=" * 2000),
    ],
)
def test_a_password_is_hidden_wherever_its_name_stands(text: str, shown: str) -> None:
    """A separator that was lost would show what comes behind it."""
    assert shown == without_passwords(text)
