"""Options of the registry that several commands share: where it is, who acts, and how a command takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from heldout.registry import Registry
    from heldout.registry.vouched import Asked

Place = Annotated[
    str,
    typer.Option("--registry", envvar="HELDOUT_REGISTRY", help="Folder, sqlite:///FILE or postgresql://USER@HOST/DB."),
]
Serving = Annotated[
    Path | None,
    typer.Option("--serving", envvar="HELDOUT_SERVING", help="Folder of the pointers; with PostgreSQL: registry."),
]
Freeze = Annotated[Path | None, typer.Option("--freeze", help="File of freeze windows; freeze.yaml beside the slots.")]
By = Annotated[str | None, typer.Option("--by", envvar="HELDOUT_ACTOR", help="Who does it, for the history.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the history.")]
Corpus = Annotated[
    Path | None, typer.Option("--corpus", help="The corpus file; by default where the run's record says.")
]
Refit = Annotated[bool, typer.Option("--refit", help="Train every fit again and compare; as long as the run took.")]
Key = Annotated[Path | None, typer.Option("--key", help="Public key of the signer, a PEM file.")]
Trust = Annotated[bool, typer.Option("--trust-code", help="Run the code that the run brings along: you have read it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
HERE = "registry"
EVIDENCE = ("corpus", "refit", "key")
Command = Callable[..., int | None]


@dataclass(frozen=True)
class Desk:
    """What every command asks beside its own options; each names those that it takes."""

    place: Place = HERE
    serving: Serving = None
    freeze: Freeze = None
    by: By = None
    reason: Reason = None
    corpus: Corpus = None
    refit: Refit = False
    key: Key = None
    as_json: Json = False
    trust_code: Trust = False

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[Registry]:
        """The registry, closed afterwards."""
        from heldout.registry import Registry

        with Registry(self.place, serving=self.serving, freeze=self.freeze, create=create) as registry:
            yield registry

    def asked(self) -> Asked | None:
        """What to verify a run with; None if no option says anything."""
        from heldout.registry.vouched import Asked

        if self.corpus is None and not self.refit and self.key is None and not self.trust_code:
            return None
        return Asked(corpus=self.corpus, refit=self.refit, key=self.key, trust_code=self.trust_code)


def desk_command(app: typer.Typer, name: str, *options: str) -> Callable[[Command], Command]:
    """Register a command whose first parameter is a ``Desk``.

    Args:
        app: Gets the command.
        name: Of the command.
        options: Fields of the desk that the command takes, behind its own options; the place it takes anyway.
    """
    hints = get_type_hints(Desk, include_extras=True)
    shared = [
        Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(Desk)
        if one.name in ("place", "serving", *options)
    ]

    def register(function: Command) -> Command:
        @wraps(function)
        def command(**given: Any) -> int | None:
            desk = Desk(**{one.name: given.pop(one.name) for one in shared})
            return function(desk, **given)

        _, *own = signature(function, eval_str=True).parameters.values()
        parameters = [*(one.replace(kind=Parameter.KEYWORD_ONLY) for one in own), *shared]
        del command.__wrapped__  # or Typer would ask for the desk
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        app.command(name)(command)
        return function

    return register
