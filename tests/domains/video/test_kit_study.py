"""The study of a kit on another machine: its sources, geometry by source, encoders, and nothing else changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heldout.domains.video.encode.spec import load_spec
from heldout.domains.video.kit.study import Adaptation, adapt_study, adapted, named_geometry
from heldout.errors import HeldoutError, InputError
from heldout.evidence import write_json
from heldout.study import load_study

STUDY = """
study: small
corpus:
  reader: video_frames
  path: corpus/per_frame_canonical6.jsonl
  produce:
    sources:
      - {path: refs/declared.yuv, width: 160, height: 96, fps: 30, pix_fmt: yuv422p10le, frames: 4}
    encoders: [{name: libx264, preset: ultrafast}, {name: libx265}]
    cqs: [20, 45]
backbone: fr_regressor
fit: {epochs: 60}
seeds: [0, 1]
gate: {rules: [{id: mean-plcc, metric: plcc, at_least: 0.3}]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Callable[[str, int], Path]:
    def make(name: str, size: int = 16) -> Path:
        path = tmp_path / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(size)
        return path

    return make


def test_defect_8a4_sources_are_found_at_every_depth(study: Path, raw: Callable[..., Path], tmp_path: Path) -> None:
    """Step 02 would find nothing where the extraction had put the files."""
    raw("a_160x96_24fps_8bit_420.yuv")
    raw("netflix/deep/b_160x96_25fps_10bit_422.yuv")
    raw("bvi/c.y4m")
    found = adapted(study, tmp_path, Adaptation(ref_dir=tmp_path / "refs"))["corpus"]["produce"]["sources"]
    assert ["a_160x96_24fps_8bit_420.yuv", "c.y4m", "b_160x96_25fps_10bit_422.yuv"] == [
        Path(s["path"]).name for s in found
    ]


def test_defect_33_every_source_has_its_own_rate_and_format(
    study: Path, raw: Callable[..., Path], tmp_path: Path
) -> None:
    """24 and 30 frames a second would be forced to 25, and 10 bit 4:2:2 scored as 4:2:0."""
    raw("a_160x96_24fps_8bit_420.yuv")
    raw("b_160x96_29.97fps_10bit_422.yuv")
    raw("declared.yuv")
    raw("Tennis_24fps.yuv", 3_110_400 * 2)
    raw("noted_30fps.yuv")
    write_json(
        tmp_path / "refs" / "sources.json",
        {"sources": {"noted_30fps.yuv": {"width": 320, "height": 180, "pix_fmt": "yuv444p"}}},
    )
    out = adapt_study(study, tmp_path / "out" / "study.yaml", Adaptation(ref_dir=tmp_path / "refs"))
    found = {s.path.stem: (s.width, s.height, s.fps, s.pix_fmt, s.frames) for s in load_spec(out).spec.sources}
    assert {
        "a_160x96_24fps_8bit_420": (160, 96, "24/1", "yuv420p", None),
        "b_160x96_29.97fps_10bit_422": (160, 96, "30000/1001", "yuv422p10le", None),
        "declared": (160, 96, "30/1", "yuv422p10le", 4),
        "Tennis_24fps": (1920, 1080, "24/1", "yuv420p", None),
        "noted_30fps": (320, 180, "30/1", "yuv444p", None),
    } == found


def test_a_file_that_does_not_say_its_geometry_is_refused_unless_it_was_given(
    study: Path, raw: Callable[..., Path], tmp_path: Path
) -> None:
    """Pictures would be cut in the wrong places and scored all the same."""
    raw("film_24fps.yuv")
    with pytest.raises(InputError, match="does not say its own width, height, pix_fmt"):
        adapted(study, tmp_path, Adaptation(ref_dir=tmp_path / "refs"))
    geometry = {"width": 64, "height": 32, "pix_fmt": "yuv420p", "fps": "50"}
    (source,) = adapted(study, tmp_path, Adaptation(ref_dir=tmp_path / "refs", geometry=geometry))["corpus"]["produce"][
        "sources"
    ]
    assert (64, 32, "24/1") == (source["width"], source["height"], source["fps"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.yuv", {}),
        ("a_24fps.yuv", {"fps": "24/1"}),
        ("a_64x48.yuv", {"width": 64, "height": 48}),
        ("a_64x48_10bit_444.yuv", {"width": 64, "height": 48, "pix_fmt": "yuv444p10le"}),
    ],
)
def test_names_are_read_part_by_part(name: str, expected: dict[str, object]) -> None:
    """A name that says half of it would say nothing."""
    assert expected == named_geometry(Path(name))


def test_only_what_was_asked_for_differs(study: Path, raw: Callable[..., Path], tmp_path: Path) -> None:
    """The operator's machine would judge by other rules, or train another way."""
    raw("a_160x96_24fps_8bit_420.yuv")
    wanted = Adaptation(tmp_path / "refs", ["libx264"], [30], [5], tmp_path / "out" / "c" / "f.jsonl")
    here, there = load_study(adapt_study(study, tmp_path / "out" / "study.yaml", wanted)), load_study(study)
    changed = {"seeds", "corpus"}
    dumped = [each.spec.model_dump() for each in (here, there)]
    assert changed == {key for key in dumped[0] if dumped[0][key] != dumped[1][key]}
    assert "c/f.jsonl" == here.spec.corpus["path"]
    spec = load_spec(here.document.path).spec
    assert [("libx264", "ultrafast")] == [(e.name, e.preset) for e in spec.encoders]
    assert ([30], (5,)) == (spec.cqs, tuple(here.spec.seeds))
    before = here.document.path.stat().st_mtime_ns
    adapt_study(study, tmp_path / "out" / "study.yaml", wanted)
    assert before == here.document.path.stat().st_mtime_ns


WRONG = {
    "unknown-encoder": Adaptation(encoders=["libx246"]),
    "quality-out-of-range": Adaptation(cqs=[99]),
    "seed-out-of-range": Adaptation(seeds=[-1]),
    "no-sources": Adaptation(ref_dir=Path("nowhere-at-all")),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_overrides_are_refused_and_write_nothing(case: str, study: Path, tmp_path: Path) -> None:
    """Hours of encoding would end in an error, or the old study be lost."""
    with pytest.raises(HeldoutError) as caught:
        adapt_study(study, tmp_path / "out" / "study.yaml", WRONG[case])
    assert 2 == caught.value.exit_code
    assert not (tmp_path / "out" / "study.yaml").exists()


def test_quality_points_by_encoder_follow_the_encoders(study: Path, tmp_path: Path) -> None:
    """An encoder that was left out would still have points, and one that came in none."""
    study.write_text(STUDY.replace("cqs: [20, 45]", "cqs: {libx264: [20], libx265: [30]}"))
    found = adapted(study, tmp_path, Adaptation(encoders=["libx265"]))["corpus"]["produce"]
    assert {"libx265": [30]} == found["cqs"]
    with pytest.raises(InputError, match="no quality points for libsvtav1"):
        adapted(study, tmp_path, Adaptation(encoders=["libsvtav1"]))
    assert [7] == adapted(study, tmp_path, Adaptation(encoders=["libsvtav1"], cqs=[7]))["corpus"]["produce"]["cqs"]
