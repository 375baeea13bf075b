"""Secrets in text: the patterns of detect-secrets, and of a few services that it does not know yet."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from heldout.errors import PrerequisiteError

# Of detect-secrets. Entropy is left to `public_encoded`: digests of files stand on every page here.
_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector",
    "IbmCosHmacDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector",
    "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SoftlayerDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_OURS = {
    "Hugging Face token": r"(?<![A-Za-z0-9])(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "GitHub fine-grained token": r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{22,}",
    "Google API key": r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}",
    "Google OAuth secret": r"(?<![A-Za-z0-9])GOCSPX-[A-Za-z0-9_-]{20,}",
    "Google access token": r"(?<![A-Za-z0-9])ya29\.[A-Za-z0-9_-]{20,}",
    "key of a language model service": r"(?<![A-Za-z0-9])sk-(?:ant|proj|or|svcacct)-[A-Za-z0-9_-]{20,}",
    "private key": r"BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY|AGE-SECRET-KEY-1[A-Z0-9]{50,}",
    "AWS temporary key": r"(?<![A-Za-z0-9])ASIA[A-Z0-9]{16}(?![A-Za-z0-9])",
    "DigitalOcean token": r"(?<![A-Za-z0-9])do[opr]_v1_[a-f0-9]{64}",
    "Weights & Biases key": r"(?i)wandb[\w ]{0,20}[\"']?\s*[:=]\s*[\"']?[0-9a-f]{40}(?![0-9a-f])",
    "shared access signature": r"[?&]sig=[A-Za-z0-9%+/]{40,}",
    "bearer token": r"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+[A-Za-z0-9._~+/=-]{16,}",
}
_SAID = re.compile(r"(?i)key|pass|pwd|secret|token|contrase")
_TOKEN_KEY = re.compile(r"(?i)^(?:.*[_.-])?(?:access|auth|api|bearer|refresh|session|hf|hub)[_-]?(?:token|key|secret)$")
_PLAIN = re.compile(r"(?i)^(?:null|none|true|false|\*+|x+|<.*>|\$\{?\w+\}?|your[-_ ].*|changeme|redacted|\d{1,6})$")


class Secret(NamedTuple):
    """A secret in a text.

    Attributes:
        kind: Whose.
        place: Offset of its first character.
    """

    kind: str
    place: int


def find_secrets(text: str) -> Iterator[Secret]:
    """Every secret in a text that a pattern knows.

    Raises:
        PrerequisiteError: If detect-secrets is not installed.
    """
    for kind, pattern in _patterns():
        for match in pattern.finditer(text):
            yield Secret(kind, match.start())
    plugins, keyword = _plugins()
    for plugin in plugins:
        for found in dict.fromkeys(plugin.analyze_string(text)):
            place = text.find(str(found))
            yield Secret(plugin.secret_type, max(place, 0))
    place = 0
    for line in text.splitlines(keepends=True):
        said = len(line) < 4096 and _SAID.search(line)
        if said and any(not _PLAIN.match(str(found)) for found in keyword.analyze_string(line)):
            yield Secret("a value that is called a secret", place)
        place += len(line)


def is_secret_value(key: str, value: str) -> bool:
    """Whether a value is a secret because of the key that it stands under.

    Raises:
        PrerequisiteError: If detect-secrets is not installed.
    """
    if not value or not _SAID.search(key) or _PLAIN.match(value) or " " in value:
        return False
    if _TOKEN_KEY.match(key):
        return len(value) >= 8
    quoted = value.replace('"', "")
    return len(value) >= 4 and bool(list(_plugins()[1].analyze_string(f'{key} = "{quoted}"')))


def require_search() -> None:
    """See that secrets can be searched for, before hours are spent on what is to be published.

    Raises:
        PrerequisiteError: If detect-secrets is not installed.
    """
    _plugins()


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(pattern)) for kind, pattern in _OURS.items())


@functools.cache
def _plugins() -> tuple[tuple[Any, ...], Any]:
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    except ImportError:
        raise PrerequisiteError(
            "the search for secrets needs detect-secrets", hint="pip install 'heldout[publish]'"
        ) from None
    known = {each.__name__: each for each in get_mapping_from_secret_type_to_class().values()}
    return tuple(known[name]() for name in _PLUGINS if name in known), known["KeywordDetector"]()
