"""Who may call what."""

from __future__ import annotations

import pytest

from rtmp_sync.state.access import OTHER, Limit, Rate, Rule, Whitelist

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


@pytest.mark.parametrize(
    ("tables", "user_type", "allowed"),
    [
        ({}, "Type1", {"setText", "clearText"}),
        ({"Type1": [Rule("*", False)]}, "Type1", set()),
        ({"Type1": [Rule("*", False), Rule("set*", True)]}, "Type1", {"setText"}),
        ({"Type1": [Rule("set*", True), Rule("*", False)]}, "Type1", {"setText"}),
        ({"Type1": [Rule("*Text", False), Rule("setText", True)]}, "Type1", {"setText"}),
        ({"Type1": [Rule("s*", True), Rule("set*", False)]}, "Type1", {"clearText"}),
        ({"Type1": [Rule("*ext", True), Rule("set*", False)]}, "Type1", {"clearText"}),
        ({"Type1": [Rule("set*", False), Rule("*ext", True)]}, "Type1", {"clearText"}),
        ({"Type1": [Rule("hidde?", True)]}, "Type1", {"setText", "clearText", "hidden"}),
        ({"Type1": [Rule("*", None, Rate(1.0, 1))]}, "Type1", {"setText", "clearText"}),
        ({"Type1": [Rule("*", True)]}, "Admin", {"clearText"}),
        ({"*": [Rule("*", False)]}, "Type1", set()),
        ({"*": [Rule("*", False)], "Type1": []}, "Type1", {"setText", "clearText"}),
        ({"*": [Rule("set*", True)]}, "stranger", {"setText"}),
        ({"*": [Rule("set*", True)]}, "", {"setText"}),
        ({"*": [Rule("set*", True)]}, "*", {"setText"}),
        ({"Guest": [Rule("set*", True)]}, "Guest", {"setText"}),
    ],
)
def test_the_most_specific_rule_of_the_file_decides(tables, user_type, allowed):
    assert Whitelist(DECORATED, {}, tables).methods(user_type) == allowed


def test_the_file_has_the_word_after_the_configuration():
    tables = {"Type1": [Rule("clearText", True)]}
    whitelist = Whitelist(DECORATED, {"Type1": {"setText": False, "clearText": False}}, tables)
    assert whitelist.methods("Type1") == {"clearText"}


def test_how_often_is_another_question_than_whether():
    tables = {
        "Type1": [
            Rule("*", None, Rate(100.0, 10), Rate(1000.0, 5)),
            Rule("set*", True),
            Rule("setText", None, Rate(1.0, 1)),
            Rule("hidden", None, Rate(1.0, 1)),
        ]
    }
    whitelist = Whitelist(DECORATED, {}, tables)
    permit = whitelist.find("Type1", "setText")
    assert permit.limits == (
        Limit("Type1", "setText", True, Rate(1.0, 1)),
        Limit("Type1", "*", False, Rate(1000.0, 5)),
    )
    assert whitelist.find("Type1", "clearText").limits[0].pattern == "*"
    assert whitelist.find("Type1", "hidden") is None
    assert whitelist.find("Admin", "clearText").limits == ()


@pytest.mark.parametrize(
    ("user_type", "method", "because"),
    [
        ("Type1", "setText", 'the whitelist file: ["Type1"] "s*" = true'),
        ("Type1", "clearText", "the configuration: allow.Type1.clearText"),
        ("Admin", "clearText", 'the application: @allow("Admin")'),
        ("Admin", "setText", "the application: @allow does not name 'Admin'"),
        ("Guest", "setText", "the configuration: allow.Guest is a list"),
        ("Admin", "hidden", 'the whitelist file: ["*"] "hidden" = false'),
        ("Type1", "__class__", "the application has no such method with @allow"),
    ],
)
def test_a_verdict_names_the_word_that_decided(user_type, method, because):
    tables = {"Type1": [Rule("s*", True)], "*": [Rule("hidden", False)]}
    overrides = {"Type1": {"clearText": False}, "Guest": ["setText"]}
    assert Whitelist(DECORATED, overrides, tables).judge(user_type, method).because == because


def test_counts_know_only_names_that_were_written_down():
    whitelist = Whitelist(DECORATED, {}, {"*": [Rule("setText", True)]})
    assert whitelist.counted_as("Type1", "hidden") == ("Type1", "hidden")
    assert whitelist.counted_as("stranger", "nonsense") == (OTHER, OTHER)
    assert whitelist.find("stranger", "setText").counted_as == (OTHER, "setText")
