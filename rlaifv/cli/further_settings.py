"""`--set`: settings of services that have no option of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlaifv.core.errors import InvalidInput

SettingsByService = Mapping[str, Mapping[str, str]]


def read_further(given: Sequence[str], services: Sequence[str], owner: str = "") -> dict[str, dict[str, str]]:
    """The settings by service, lower-case names. Each text is SERVICE.NAME=VALUE, or NAME=VALUE where all are for `owner`.

    `services` are the known services; each has an entry. Raises InvalidInput for a text of another form.
    """
    found: dict[str, dict[str, str]] = {name: {} for name in services}
    for text in given:
        where, equals, value = text.partition("=")
        service, _, name = where.rpartition(".")
        service = service or owner
        if not equals or not name or service not in found:
            form = "NAME=VALUE" if owner else "SERVICE.NAME=VALUE"
            raise InvalidInput.field("--set", text, f"must have the form {form}; services are {', '.join(services)}")
        found[service][name.lower()] = value
    return found


def joined(first: SettingsByService, second: SettingsByService) -> dict[str, dict[str, str]]:
    """Both; where they name the same setting, the second wins."""
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in {**first, **second}}
