"""Books, and a sitting: rules are written down in them before groups are judged, and the look is counted after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heldout.documents.names import LEDGER_FILE, POLICY_FILE
from heldout.gate import Policy
from heldout.ledger import targets
from heldout.ledger.history import History, histories
from heldout.ledger.policy import Declared, amend, policy_of, register
from heldout.ledger.trials import Ledger, Look, Outcome


@dataclass(frozen=True)
class Books:
    """Looks and registrations in one folder, and those of others that are asked beside them.

    Attributes:
        folder: Of a study's runs; or where else somebody keeps them, who says then in ``known`` which others are asked.
        beside: Folders of others that are asked too, such as those beside a corpus.
    """

    folder: Path
    beside: tuple[Path, ...] = field(default=(), kw_only=True)

    def known(self) -> Iterator[History]:
        """What these books and all that are asked say, these first; of a study, all of its folder of runs.

        Raises:
            TamperedError: If one does not hold.
        """
        yield from histories(self.folder)
        for folder in self.beside:
            if any((folder / name).exists() for name in (LEDGER_FILE, POLICY_FILE)):
                yield History.read(folder)

    def policy(self, declared: Declared) -> Policy:
        """What they say of declared rules."""
        return policy_of(list(self.known()), declared)

    def register(self, held: Ledger, declared: Declared, *, smoke: bool) -> None:
        """Write rules down before a look, unless something forbids it; a smoke look registers nothing."""
        if smoke:
            self.policy(declared)  # books that do not hold are found before anything is spent
        else:
            register(held, self.folder, declared, list(self.known()))

    def amend(self, declared: Declared, reason: str) -> Policy:
        """Allow changed rules, for a reason.

        Raises:
            InputError: Without a reason, or if there is nothing to amend.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return amend(self.folder, declared, reason, self.known)


@dataclass(frozen=True)
class Sitting:
    """Groups while they are judged.

    Attributes:
        held: The trial ledger, so that no look can come in between.
        books: In which the look is counted.
        declared: Rules, and the groups that they judge.
        policy: What the books say of them.
        look: The look, but for what comes of it.
    """

    held: Ledger
    books: Books
    declared: Declared
    policy: Policy
    look: Look

    @classmethod
    def begin(cls, held: Ledger, books: Books, declared: Declared, look: Look) -> Sitting:
        """Register the rules, and write down that these groups are about to be scored: nobody looks unseen.

        Raises:
            TamperedError: If the books do not hold.
        """
        books.register(held, declared, smoke=look.smoke is not None)
        policy, folder = books.policy(declared), books.folder
        seen = replace(
            look,
            groups_sha256=targets.store(folder, declared.groups.document),
            rules_sha256=targets.store(folder, declared.rules),
            policies_head=policy.head,
        )
        held.open(seen)
        return cls(held, books, declared, policy, seen)

    def count(
        self, outcome: Outcome, primary: Mapping[str, Any] | None = None, metrics_sha256: str | None = None
    ) -> dict[str, object]:
        """Count the look, with what came of it; the blocks ``trial`` and ``policy`` of a verdict."""
        look = replace(self.look, outcome=outcome, primary=primary, metrics_sha256=metrics_sha256)
        return {"trial": self.held.record(look).to_json(), "policy": self.policy.to_json()}
