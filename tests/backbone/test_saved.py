"""`backbone: saved`: what skops archives and ONNX graphs answer, and what their gate finds."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from onnx_kit import by_name, linear_classifier, linear_regressor, onnx
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import dump_svmlight_file
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, StackingRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils._mocking import CheckingClassifier
from sklearn.utils._testing import assert_run_python_script_without_output
from skops.io import dump

from heldout.backbone import ClassScores, FeaturesView
from heldout.backbone.estimators import is_known
from heldout.backbone.saved import SavedBackbone, SavedParams
from heldout.backbone.skops_archive import read_archive
from heldout.errors import PrerequisiteError, StudyError, TamperedError

ROWS = pl.DataFrame({"b": [1.0, 2.0, -3.0], "a": [0.5, 0.25, 4.0]})


def bound(path: Path, data: bytes | None = None, **params: Any) -> SavedBackbone:
    if data is not None:
        path.write_bytes(data)
    return SavedBackbone(SavedParams(model=Path(path.name), **params)).bound(path.parent)


def answers(backbone: SavedBackbone, rows: pl.DataFrame = ROWS) -> Any:
    return backbone.predict(backbone.load(backbone.found()), FeaturesView(rows))


def codes(backbone: SavedBackbone, rows: pl.DataFrame = ROWS) -> list[str]:
    return [each.code for each in backbone.check_model(backbone.found(), FeaturesView(rows))]


def fitted(estimator: Any, path: Path, *, named: bool, target: Any) -> Any:
    rows = ROWS.select("a", "b")
    dump(estimator.fit(rows if named else rows.to_numpy(), target), path)
    return estimator


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the ``schema.json`` of an archive."""
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    state = json.loads(parts["schema.json"])
    change(state)
    with zipfile.ZipFile(path, "w") as target:
        for name, data in (parts | {"schema.json": json.dumps(state).encode()}).items():
            target.writestr(name, data)


class TestSkops:
    def test_features_go_by_name(self, tmp_path: Path) -> None:
        """Columns in the order of the corpus would be taken for others."""
        mine = fitted(Ridge(), tmp_path / "m.skops", named=True, target=[1.0, 2.0, 3.0])
        found = answers(bound(tmp_path / "m.skops"))
        assert mine.predict(ROWS.select("a", "b")).tolist() == found.tolist()

    def test_features_without_names_go_in_order(self, tmp_path: Path) -> None:
        """Nobody could say which column is which."""
        mine = fitted(Ridge(), tmp_path / "m.skops", named=False, target=[1.0, 2.0, 3.0])
        found = answers(bound(tmp_path / "m.skops", features=["a", "b"]))
        assert mine.predict(ROWS.select("a", "b").to_numpy()).tolist() == found.tolist()

    def test_labels_are_those_of_the_estimator_or_of_the_study(self, tmp_path: Path) -> None:
        """Probabilities would stand under other labels."""
        mine = fitted(LogisticRegression(), tmp_path / "m.skops", named=True, target=[0, 1, 0])
        plain, told = answers(bound(tmp_path / "m.skops")), answers(bound(tmp_path / "m.skops", classes=["no", "yes"]))
        assert isinstance(plain, ClassScores)
        assert (("0", "1"), ("no", "yes")) == (plain.classes, told.classes)
        assert mine.predict_proba(ROWS.select("a", "b")).tolist() == plain.probability.tolist()
        with pytest.raises(StudyError, match="answers 2 columns, and there are 3 classes"):
            answers(bound(tmp_path / "m.skops", classes=["no", "yes", "maybe"]))

    def test_code_of_nobody_is_not_made(self, tmp_path: Path) -> None:
        """A file from elsewhere would run whatever it names."""
        fitted(Ridge(), tmp_path / "m.skops", named=True, target=[1.0, 2.0, 3.0])
        rewrite(tmp_path / "m.skops", lambda state: state.update(__module__="subprocess", __class__="Popen"))
        backbone = bound(tmp_path / "m.skops")
        assert ["HO-M001"] == codes(backbone)
        with pytest.raises(TamperedError, match=r"subprocess\.Popen"):
            backbone.load(backbone.found())

    @pytest.mark.parametrize(
        ("step", "named"),
        [
            (FunctionTransformer(dump_svmlight_file), "dump_svmlight_file"),
            (FunctionTransformer(assert_run_python_script_without_output), "assert_run_python"),
            (FunctionTransformer(partial(np.add, 1)), "PartialNode"),
            (FunctionTransformer(StandardScaler().fit_transform), "MethodNode"),
            (FunctionTransformer(methodcaller("tofile", "x")), "OperatorFuncNode"),
            (FunctionTransformer(kw_args={"x": CheckingClassifier}), "CheckingClassifier"),
            (FunctionTransformer(kw_args={"x": CheckingClassifier()}), "CheckingClassifier"),
            (FunctionTransformer(kw_args={"x": Ridge}), "Ridge"),
            (FunctionTransformer(np.save), r"numpy\.save"),
            (FunctionTransformer(kw_args={"x": UTC}), "timezone"),
        ],
    )
    def test_nothing_that_could_be_called_is_made(self, tmp_path: Path, step: Any, named: str) -> None:
        """A file from elsewhere would run functions of the packages that it may name, and those start programs."""
        dump(make_pipeline(step, Ridge()), tmp_path / "m.skops")
        with pytest.raises(TamperedError, match=named) as caught:
            read_archive(tmp_path / "m.skops", is_known)
        assert caught.value.where == str(tmp_path / "m.skops")
        assert caught.value.hint

    def test_a_function_hidden_in_the_oldest_format_is_not_made(self, tmp_path: Path) -> None:
        """A file would say one name to whoever looks, and call another."""
        dump(FunctionTransformer(np.log1p), tmp_path / "m.skops")

        def hide(node: Any) -> None:
            for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
                hide(each)
            if isinstance(node, dict) and node.get("__loader__") == "FunctionNode":
                node["content"] = {"module_path": "os", "function": "system"}

        rewrite(tmp_path / "m.skops", hide)
        with pytest.raises(TamperedError, match="would be called"):
            read_archive(tmp_path / "m.skops", is_known)

    def test_a_class_of_another_package_is_not_made_under_a_known_name(self, tmp_path: Path) -> None:
        """Whatever a known module imports for itself would be at hand."""
        dump(Ridge(), tmp_path / "m.skops")
        rewrite(tmp_path / "m.skops", lambda state: state.update(__module__="sklearn.base", __class__="defaultdict"))
        with pytest.raises(TamperedError, match="defaultdict"):
            read_archive(tmp_path / "m.skops", is_known)

    @pytest.mark.parametrize(
        "estimator",
        [
            make_pipeline(SimpleImputer(), SelectKBest(f_regression, k=1), Ridge()),
            TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
            GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, scoring="r2", cv=2),
            HistGradientBoostingRegressor(max_iter=2),
            GradientBoostingRegressor(n_estimators=2),
            StackingRegressor([("a", Ridge())], cv=2),
            KNeighborsRegressor(n_neighbors=1, algorithm="kd_tree"),
        ],
    )
    def test_honest_estimators_are_read(self, tmp_path: Path, estimator: Any) -> None:
        """What is refused would be refused of everybody."""
        rows = pl.concat([ROWS, ROWS * 2]).select("a", "b").to_numpy()
        dump(estimator.fit(rows, np.arange(6.0)), tmp_path / "m.skops")
        found = read_archive(tmp_path / "m.skops", is_known).predict(rows)
        assert estimator.predict(rows).tolist() == found.tolist()

    def test_the_form_is_locked_and_nothing_stands_before_an_archive(self, tmp_path: Path) -> None:
        """One file would be two models under one digest, and which one answers would stand in no key."""
        fitted(Ridge(), tmp_path / "m.skops", named=True, target=[1.0, 2.0, 3.0])
        graph = linear_regressor([1.0, 2.0], 0.0)
        both = onnx.load_model_from_string(graph).SerializeToString() + (tmp_path / "m.skops").read_bytes()
        as_graph, as_archive = bound(tmp_path / "p.onnx", graph), bound(tmp_path / "p.skops", both)
        assert ("onnx", "skops") == (as_graph.params.form, as_archive.params.form)
        assert "onnx" == as_graph.params.model_dump(mode="json")["form"]
        assert ["HO-M001"] == codes(as_archive)
        with pytest.raises(TamperedError, match="before its archive"):
            as_archive.load(as_archive.found())
        with pytest.raises(StudyError, match="read as skops") as caught:
            bound(tmp_path / "m.skops", form="onnx")
        assert "fit.form" == caught.value.where
        (tmp_path / "q.skops").write_bytes(graph)
        assert answers(as_graph).tolist() == answers(as_graph.at(tmp_path / "q.skops")).tolist()

    def test_the_gate_names_what_is_wrong(self, tmp_path: Path) -> None:
        """A study would fail unit by unit, or be judged on other columns."""
        fitted(Ridge(), tmp_path / "m.skops", named=True, target=[1.0, 2.0, 3.0])
        assert [] == codes(bound(tmp_path / "m.skops"))
        assert ["HO-M002"] == codes(bound(tmp_path / "m.skops"), ROWS.drop("a"))
        fitted(Ridge(), tmp_path / "n.skops", named=False, target=[1.0, 2.0, 3.0])
        assert ["HO-M002"] == codes(bound(tmp_path / "n.skops"), ROWS.with_columns(c=1.0))
        assert ["HO-M001"] == codes(bound(tmp_path / "t.skops", (tmp_path / "m.skops").read_bytes()[:500]))
        assert ["HO-M001"] == codes(bound(tmp_path / "u.skops", b"\x80\x04cos\nsystem\n."))

    def test_what_it_lacks_is_said_with_the_way_to_get_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader would get a traceback of an import."""
        fitted(Ridge(), tmp_path / "m.skops", named=True, target=[1.0, 2.0, 3.0])
        backbone = bound(tmp_path / "m.skops")
        graph = bound(tmp_path / "m.onnx", linear_regressor([1.0, 2.0], 0.0))
        for name in ("skops.io", "heldout.backbone.skops_io", "onnx", "onnxruntime"):
            monkeypatch.setitem(sys.modules, name, None)
        import heldout.backbone as package

        monkeypatch.delattr(package, "skops_io", raising=False)
        for each, hint in ((backbone, "heldout[sklearn]"), (graph, "heldout[onnx]")):
            with pytest.raises(PrerequisiteError) as caught:
                each.check_model(each.found(), FeaturesView(ROWS))
            assert hint in str(caught.value.hint)
        with pytest.raises(PrerequisiteError):
            graph.load(graph.found())


class TestOnnx:
    def test_one_matrix_in_the_order_of_the_features(self, tmp_path: Path) -> None:
        """The weights of one column would meet another."""
        backbone = bound(tmp_path / "m.onnx", linear_regressor([0.5, -2.0], 3.0), features=["a", "b"])
        expected = ROWS.select("a", "b").to_numpy().astype(np.float32) @ np.float32([0.5, -2.0]) + np.float32(3)
        assert expected.astype(np.float64).tolist() == pytest.approx(answers(backbone).tolist(), rel=1e-6)

    def test_inputs_by_name(self, tmp_path: Path) -> None:
        """A graph with an input a feature could not be asked, or in the wrong order."""
        backbone = bound(tmp_path / "m.onnx", by_name({"a": 10.0, "b": 1.0}))
        assert (10 * ROWS["a"] + ROWS["b"]).to_list() == pytest.approx(answers(backbone).tolist(), rel=1e-6)
        assert ["HO-M002"] == codes(backbone, ROWS.rename({"a": "z"}))

    @pytest.mark.parametrize("maps", [True, False])
    def test_labels_of_maps_and_of_the_operator(self, tmp_path: Path, *, maps: bool) -> None:
        """Probabilities would stand under other labels, or under none."""
        data = linear_classifier([0.5, -2.0], 0.3, ["bad", "good"], maps=maps)
        found = answers(bound(tmp_path / "m.onnx", data, features=["a", "b"]))
        logit = ROWS.select("a", "b").to_numpy() @ [0.5, -2.0] + 0.3
        assert ("bad", "good") == found.classes
        assert (1 / (1 + np.exp(-2 * logit))).tolist() == pytest.approx(found.probability[:, 1].tolist(), rel=1e-5)

    def test_weights_of_a_graph_inside_in_another_file_are_refused(self, tmp_path: Path) -> None:
        """The digest would hold the outer graph alone."""
        model = onnx.load_model_from_string(linear_regressor([0.5, -2.0], 3.0))
        inner = onnx.helper.make_graph([], "inner", [], [], [onnx.TensorProto(name="w", data_location=1)])
        model.graph.node.append(onnx.helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner))
        assert ["HO-M004"] == codes(bound(tmp_path / "m.onnx", model.SerializeToString()))

    def test_weights_in_another_file_are_refused(self, tmp_path: Path) -> None:
        """The digest would hold a graph, and anybody could swap its weights."""
        model = onnx.load_model_from_string(linear_regressor([0.5, -2.0], 3.0))
        onnx.save_model(
            model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0,
            convert_attribute=False,
        )  # fmt: skip
        assert ["HO-M004"] == sorted({*codes(bound(tmp_path / "m.onnx"))})

    def test_operators_of_no_standard_are_refused(self, tmp_path: Path) -> None:
        """Code that nobody knows would answer."""
        model = onnx.load_model_from_string(linear_regressor([0.5, -2.0], 3.0))
        model.opset_import.add(domain="com.example", version=1)
        assert ["HO-M005"] == codes(bound(tmp_path / "m.onnx", model.SerializeToString()))
        model = onnx.load_model_from_string(linear_regressor([0.5, -2.0], 3.0))
        model.opset_import[0].version = 999
        assert ["HO-M005"] == codes(bound(tmp_path / "n.onnx", model.SerializeToString()))

    @pytest.mark.parametrize("where", ["graph", "subgraph", "function"])
    @pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniform", "Bernoulli", "Multinomial", "Dropout"])
    def test_operators_of_chance_are_refused(self, tmp_path: Path, operator: str, where: str) -> None:
        """A model would be asked until its noise is lucky; in a look at it, it looks like any other."""
        model = onnx.load_model_from_string(linear_regressor([0.5, -2.0], 3.0))
        node = onnx.helper.make_node(operator, ["y", "", "x"] if operator == "Dropout" else ["y"], ["z"])
        if where == "graph":
            model.graph.node.append(node)
        elif where == "subgraph":
            inner = onnx.helper.make_graph([node], "inner", [], [])
            model.graph.node.append(onnx.helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner))
        else:
            model.functions.append(onnx.helper.make_function("", "Mine", ["y"], ["z"], [node], model.opset_import))
        backbone = bound(tmp_path / "m.onnx", model.SerializeToString())
        (found,) = backbone.check_model(backbone.found(), FeaturesView(ROWS))
        assert ("HO-M005", True) == (found.code, operator in found.what)

    def test_a_dropout_that_drops_nothing_is_no_chance(self, tmp_path: Path) -> None:
        """Networks that were exported to answer would be refused."""
        model = onnx.load_model_from_string(linear_regressor([0.5, -2.0], 3.0))
        model.graph.node.append(onnx.helper.make_node("Dropout", ["y"], ["z"]))
        assert [] == codes(bound(tmp_path / "m.onnx", model.SerializeToString()))

    def test_a_damaged_graph_and_another_width_are_found(self, tmp_path: Path) -> None:
        """A study would fail unit by unit."""
        data = linear_regressor([0.5, -2.0], 3.0)
        assert ["HO-M001"] == codes(bound(tmp_path / "m.onnx", data[:-40]))
        assert ["HO-M001"] == codes(bound(tmp_path / "e.onnx", b""))
        assert ["HO-M002"] == codes(bound(tmp_path / "n.onnx", data), ROWS.with_columns(c=1.0))
