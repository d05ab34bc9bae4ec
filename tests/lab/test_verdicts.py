"""What makes a fault of the lab fail."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tests.lab.fault import Check, Fault, Faults, Result
from tests.lab.faults import FAULTS
from tests.lab.port_sampler import PortSampler, Sample
from tests.lab.report import markdown, merged, record_of
from tests.lab.run import longest_pauses
from tests.lab.scene import Scene
from tests.support.history import History
from tests.support.namespaces import Host

NOWHERE = cast(Host, None)  # nothing is connected to


async def _nothing(_: Scene) -> None: ...


def _result(*checks: Check, number: int = 1) -> Result:
    fault = Fault(number, "how", "expected", _nothing)
    return Result(fault, "file", "nftables", list(checks), ["seen"], [120.0, 80.0], 1.0)


def _sampled(**samples: list[tuple[float, float, bool]]) -> PortSampler:
    sampler = PortSampler(NOWHERE, dict.fromkeys(samples, ("", 0)))
    for node, taken in samples.items():
        sampler.samples[node] = [Sample(*one) for one in taken]
    return sampler


def test_every_fault_of_the_table_is_there() -> None:
    assert {fault.number for fault in FAULTS} == set(range(1, 41))
    assert all(fault.modes and fault.gates and fault.expected for fault in FAULTS)


def test_a_result_without_a_check_or_with_a_failed_one_does_not_pass() -> None:
    assert not _result().passed
    assert not _result(Check("one", True), Check("other", False)).passed
    assert _result(Check("one", True)).passed


def test_two_ports_that_are_open_at_one_instant_are_found() -> None:
    sampler = _sampled(
        A=[(1.0, 1.1, True), (1.2, 1.3, True), (2.0, 2.1, True), (2.2, 2.3, False)],
        B=[(1.0, 1.1, False), (1.4, 1.5, True), (1.8, 1.9, True)],
    )
    assert len(sampler.problems()) == 1


def test_ports_that_are_open_one_after_the_other_are_no_problem() -> None:
    sampler = _sampled(
        A=[(1.0, 1.1, True), (1.2, 1.3, True), (1.4, 1.5, False)],
        B=[(1.0, 1.1, False), (1.25, 1.35, True), (1.5, 1.6, True)],
    )
    assert sampler.problems() == []
    assert sampler.closed("A", 1.0) == 1.4
    assert sampler.opened("B", 1.0) == 1.35


def test_a_frozen_node_whose_kernel_answers_does_not_count_without_a_packet_filter() -> None:
    samples = [(1.0, 1.1, True), (1.2, 1.3, True), (1.4, 1.5, True)]
    sampler = _sampled(A=samples, B=samples)
    assert sampler.problems()
    sampler.ignore("A", 0.9, 2.0)
    assert sampler.problems() == []


def test_the_gap_is_the_longest_pause_from_before_the_fault_on() -> None:
    history = History()
    for at in (1.0, 2.0, 7.0, 7.5, 9.0):
        history.client("c00").acked(at)
    history.fault(5.0, "a fault long after the last write")
    history.rested_at = 9.1
    assert longest_pauses(history) == [5.0]


def test_a_later_outcome_takes_the_place_of_the_earlier_one_and_others_stay() -> None:
    faults = Faults()
    for number in (1, 2):
        faults(number, how="how", expected="expected")(_nothing)
    old = [record_of(_result(Check("x", False), number=number)) for number in (1, 2, 3)]
    new = [record_of(_result(Check("x", True), number=2))]
    records = merged(old, new, faults.all)
    assert [(one["number"], one["passed"]) for one in records] == [(1, False), (2, True)]


def test_the_table_names_what_was_not_as_expected() -> None:
    records = [record_of(_result(Check("B serves", False)))]
    text = markdown(records)
    assert "| 1 | file | how | expected | seen NOT: B serves | 100 | 120 | FAIL |" in text
    assert "0 of 1 outcomes" in text


def test_the_kept_table_is_of_all_faults() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lab.md").read_text()
    for number in range(1, 41):
        assert f"\n| {number} | " in text
