"""Parameters that were set and not read are found, whatever way the code reads them."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heldout.errors import StudyError
from heldout.study.reads import tracked


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)
    depth: int = 3
    width: int = 8


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True)
    rate: float = 0.1
    name: str
    inner: Inner | None = None
    always: Inner = Field(default_factory=Inner)

    @property
    def double(self) -> float:
        return self.rate * 2

    def area(self) -> int:
        return self.always.depth * self.always.width


def test_a_parameter_at_its_default_need_not_be_read() -> None:
    """Every study would have to mention every parameter, or every fit to read all of them."""
    params, reads = tracked(Outer(name="x"))
    assert "x" == params.name
    assert [] == reads.unread()


def test_what_is_set_and_never_read_is_named() -> None:
    """A variant would be trained, scored and compared though it is the base under another name."""
    params, reads = tracked(Outer(name="x", rate=0.2))
    assert "x" == params.name
    with pytest.raises(StudyError, match=r"`fit\.rate` is set, and the training never read it") as caught:
        reads.check("fit")
    assert "fit.rate" == caught.value.where
    reads.check("fit", exempt=frozenset({"rate"}))
    assert 0.2 == params.rate
    reads.check("fit")


def test_a_block_that_was_only_looked_at_is_not_read() -> None:
    """`if params.inner:` would count as reading everything in it."""
    params, reads = tracked(Outer(name="x", inner=Inner(depth=5)))
    assert params.name
    assert ["inner"] == reads.unread()
    assert params.inner is not None
    assert ["inner.depth"] == reads.unread()
    assert 5 == params.inner.depth
    assert [] == reads.unread()


def test_a_block_of_defaults_counts_by_being_there() -> None:
    """`inner: {}` switches something on; if nobody looks, it switches nothing on."""
    params, reads = tracked(Outer(name="x", inner=Inner()))
    assert params.name
    assert ["inner"] == reads.unread()
    assert params.inner is not None
    assert [] == reads.unread()


def test_properties_and_methods_read_what_they_use() -> None:
    """A parameter that is only used through a derived value would look unread."""
    params, reads = tracked(Outer(name="x", rate=0.3, always=Inner(depth=4, width=2)))
    assert ("x", 0.6, 8) == (params.name, params.double, params.area())
    assert [] == reads.unread()


def test_the_view_cannot_be_written() -> None:
    """One fit could change the parameters of the next."""
    inner = Outer(name="x", inner=Inner()).inner
    assert inner is not None
    with pytest.raises(ValidationError):
        inner.depth = 9
    params, _ = tracked(Outer(name="x"))
    with pytest.raises(AttributeError):
        params.rate = 9.0
