"""What every document is: typed, strict in what this version writes, and open to what a later one adds."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Utc = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)$")]
Open = dict[str, Any]  # truly open: what a plug-in says of itself


class Part(BaseModel):
    """A block of a document. Unknown keys are kept: a newer version, or a published format, may say more."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, protected_namespaces=())


class Document(Part):
    """A whole document.

    Attributes:
        SCHEMA: What its key ``schema`` says, without the number.
        WHERE: The file that it is, as a user finds it.
    """

    SCHEMA: ClassVar[str]
    WHERE: ClassVar[str]

    def unknown(self) -> list[str]:
        """Keys that this model does not know, with dots, sorted: nothing of what this version writes."""
        return sorted(_unknown(self))


def _unknown(part: Part, place: str = "") -> list[str]:
    found = [f"{place}{key}" for key in part.model_extra or {}]
    for name in type(part).model_fields:
        value = getattr(part, name)
        values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        found += [key for each in values if isinstance(each, Part) for key in _unknown(each, f"{place}{name}.")]
    return found
