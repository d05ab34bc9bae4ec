"""Who may call what."""

from __future__ import annotations

import pytest

from rtmp_sync.state.access import Whitelist

DECORATED = {"setText": {"Type1"}, "clearText": {"Type1", "Admin"}, "hidden": set()}


@pytest.mark.parametrize(
    ("overrides", "user_type", "method", "allowed"),
    [
        ({}, "Type1", "setText", True),
        ({}, "Admin", "setText", False),
        ({}, "Admin", "clearText", True),
        ({}, "", "setText", False),
        ({}, "Type1", "hidden", False),
        ({}, "Type1", "__init__", False),
        ({}, "Type1", "toString", False),
        ({}, "__class__", "setText", False),
        ({"Type1": {"setText": False}}, "Type1", "setText", False),
        ({"Type1": {"setText": False}}, "Type1", "clearText", True),
        ({"Type1": {"hidden": True}}, "Type1", "hidden", True),
        ({"Type1": ["hidden"]}, "Type1", "setText", False),
        ({"Type1": ["hidden"]}, "Type1", "hidden", True),
        ({"Guest": ["setText"]}, "Guest", "setText", True),
        ({"Guest": ["setText"]}, "Admin", "setText", False),
    ],
)
def test_own_entries_only_and_the_configuration_has_the_last_word(
    overrides, user_type, method, allowed
):
    assert (Whitelist(DECORATED, overrides).find(user_type, method) is not None) is allowed


def test_lists_what_a_type_may_call():
    whitelist = Whitelist(DECORATED)
    assert whitelist.methods("Type1") == {"setText", "clearText"}
    assert whitelist.methods("nobody") == frozenset()
