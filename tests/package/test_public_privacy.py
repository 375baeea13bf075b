"""Taking names out: twice is once, nothing is left, and what was told apart stays told apart."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.package.content.privacy import Names, Scrubber, find_private
from heldout.package.content.views import rewritten
from heldout.package.public.judge import Judge
from heldout.package.public.roles import default_publication

NAMES = Names(["wolkenstein"], of_this_machine=False)
word = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
folder = st.lists(word, min_size=1, max_size=4).map("/".join)
path = st.one_of(
    st.builds("/home/{}/{}".format, word, folder),
    st.builds("/Users/{}".format, word),
    st.builds("/{}/{}.mp4".format, folder, word),
    st.builds("C:\\Users\\{}\\{}".format, word, word),
    st.builds("\\\\{}\\{}".format, word, word),
    st.builds("file:///{}/{}".format, word, folder),
    st.builds("{}@example.org".format, word),
    st.just("wolkenstein"),
)
prose = st.text(string.ascii_letters + string.digits + " .,:;()[]'\"=-/\\@~%<>\n", max_size=30)
text = st.lists(st.one_of(prose, path), max_size=6).map(" ".join)
document = st.recursive(text | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
                        max_leaves=8)  # fmt: skip


@given(text)
@settings(max_examples=400)
def test_scrubbed_text_holds_nothing_private_and_scrubbing_again_changes_nothing(found: str) -> None:
    """A second look at a published text would find what the first one left."""
    scrubber = Scrubber(NAMES)
    once = scrubber.text(found)
    assert [] == list(find_private(once, NAMES))
    assert once == scrubber.text(once)
    assert once == Scrubber(NAMES).text(once)


@pytest.mark.slow
@given(document)
@settings(max_examples=200)
def test_a_scrubbed_document_is_clean_and_of_the_same_shape(found: Any) -> None:
    """A published JSON document would hold a home folder, or lose a number."""
    data = json.dumps(found).encode() + b"\n"
    scrubber = Scrubber(NAMES)
    changed = rewritten(data, "json", "metrics.json", scrubber.value, scrubber.text)
    private = {"HO-P031", "HO-P032", "HO-P033", "HO-P034"}
    codes = {each.code for each in Judge(default_publication(), NAMES).file("metrics.json", changed)}
    assert not codes & private
    assert numbers(found) == numbers(json.loads(changed))


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return sorted(number for item in value.values() for number in numbers(item))
    if isinstance(value, list):
        return sorted(number for item in value for number in numbers(item))
    return [value] if isinstance(value, float) else []


@given(st.sets(path, min_size=2, max_size=6))
def test_different_things_keep_different_names(found: set[str]) -> None:
    """Two groups would become one, and every metric another."""
    scrubber = Scrubber(NAMES)
    plain = {each.replace("\\", "/").rstrip("/") for each in found}
    assert len(plain) <= len({scrubber.text(each) for each in sorted(found)})


@given(st.sets(st.builds("/home/ann/{}.mp4".format, word), min_size=2, max_size=6))
def test_files_of_one_folder_keep_their_order(found: set[str]) -> None:
    """Intervals depend on the order of groups: published metrics could not be computed again."""
    scrubber = Scrubber(NAMES)
    ordered = sorted(found)
    assert sorted(map(scrubber.text, ordered)) == [scrubber.text(each) for each in ordered]


@pytest.mark.parametrize(
    "clean",
    [
        "ratio a/b, 3 km/h, n/a, and/or, 2026/11/21, 1/2/3",
        "https://example.org/home/ann/x and http://a.b:8080/c/d?e=/f/g",
        "recall@5, MRR@k, image@sha256:aabbcc",
        "figures/loss.png, fits/seed0/north, ./a/b, ../a/b",
        "x86\\_64, \\alpha\\beta, C: 5, a:/ b",
        "</td></tr><br/>",
        "python -m heldout run study.yaml --set train.epochs=50",
        "baselines/mean/folds/north/plcc",
        "kitchen__ep3:qa:7, clip.y4m|x265|12",
        "~ 5 %, a ~ b, ~/runs",
        "user: hello, assistant: hi",
    ],
)
def test_what_is_no_name_is_left_alone(clean: str) -> None:
    """A report would be full of holes, or an honest package refused."""
    assert [] == list(find_private(clean, NAMES))
    assert clean == Scrubber(NAMES).text(clean)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("/home/ann/clips/a.y4m", "HIDDEN-0001/a.y4m"),
        ("/home/ann", "HIDDEN-0001"),
        ("/home/ann.txt", "HIDDEN-0001"),
        ("C:\\Users\\ann\\a.csv", "HIDDEN-0001/a.csv"),
        ("scp ann@box:/data/x/a.csv .", "scp HIDDEN-0002:HIDDEN-0001/a.csv ."),
        ("ann@example.org", "HIDDEN-MAIL-0001"),
        ("%2Fhome%2Fann%2Fa%2Ey4m", "HIDDEN-0001%2Fa.y4m"),
    ],
)
def test_what_is_left_of_a_name(said: str, left: str) -> None:
    """Readers could not tell which clip a row is of, or could tell whose it was."""
    assert left == Scrubber(NAMES).text(said)
