"""Whatever happened to the files of a real origin, what is loaded is a state that it had.

"A prefix" means: the state after some batch, its digest equal to the one that was taken in
the origin at that seq.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtmp_sync import NetConnection, Origin
from rtmp_sync.state.journal import Batch
from rtmp_sync.state.replicated_state import ReplicatedState
from rtmp_sync.storage.journal_format import (
    SNAPSHOT,
    SNAPSHOT_UNFINISHED,
    generations,
    journal_name,
)
from rtmp_sync.storage.recovery import MAX_ASIDE, Recovered, recover
from tests.support.origins import running, until, url

LIVES_UNTIL_A_SNAPSHOT = 10
Files = dict[str, bytes]


@dataclass
class Written:
    """What a real origin left, and the digest of its state at each seq that ended a batch."""

    files: Files
    digests: dict[int, bytes]

    def check(self, files: Mapping[str, bytes]) -> Recovered:
        """These files load to a prefix."""
        found = recover(files)
        state = found.state
        assert self.digests[state.journal.head] == state.digest() == state.recompute_digest()
        return found

    @property
    def journals(self) -> list[str]:
        return [journal_name(generation) for generation in generations(self.files)]


async def live(directory: Path, digests: dict[int, bytes], turns: int) -> None:
    """One life of a real origin with a client that changes things."""
    async with running(directory) as origin:
        watch(origin, digests)
        connection = NetConnection()
        await connection.connect(url(origin, "probe/room"), "x", "User")
        for name, persistent in (("kept", True), ("passing", False)):
            shared = await connection.shared_object(name, persistent=persistent)
            for turn in range(turns):
                await shared.set(f"key{turn % 7}", f"value {turn}")
            await shared.delete("key1")
        await connection.close()
        head = origin.state.journal.head
        await until(lambda: origin.persistence.written_seq >= head)


def watch(origin: Origin, digests: dict[int, bytes]) -> None:
    state = origin.state
    digests[state.journal.head] = state.digest()

    def note(batch: Batch) -> None:
        digests[batch.last_seq] = state.digest()

    origin.turn.on_batch.append(note)


@pytest.fixture(scope="module")
def one_journal(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A small one, for what is tried on every bit."""
    return written_by(tmp_path_factory.mktemp("one"), lives=1, turns=8)


@pytest.fixture(scope="module")
def snapshot_and_journal(tmp_path_factory: pytest.TempPathFactory) -> Written:
    written = written_by(tmp_path_factory.mktemp("both"), lives=LIVES_UNTIL_A_SNAPSHOT, turns=16)
    assert SNAPSHOT in written.files
    assert len(written.journals) == 1
    return written


@pytest.fixture(scope="module")
def many_journals(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return written_by(tmp_path_factory.mktemp("many"), lives=4, turns=16)


def written_by(directory: Path, *, lives: int, turns: int) -> Written:
    digests = {0: ReplicatedState().digest()}
    for _ in range(lives):
        asyncio.run(live(directory, digests, turns))
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    return Written(files, digests)


def test_all_of_it_is_there_and_nothing_is_said(snapshot_and_journal: Written) -> None:
    found = snapshot_and_journal.check(snapshot_and_journal.files)
    assert found.damage == ()
    assert found.state.journal.head == max(snapshot_and_journal.digests)


@pytest.mark.parametrize("which", ["one_journal", "snapshot_and_journal", "many_journals"])
def test_every_file_cut_at_every_byte_loads_to_a_prefix_and_is_named(
    which: str, request: pytest.FixtureRequest
) -> None:
    written: Written = request.getfixturevalue(which)
    for name in (*written.journals, SNAPSHOT):
        whole = written.files.get(name, b"")
        for at in range(len(whole)):
            found = written.check({**written.files, name: whole[:at]})
            first = next((damage for damage in found.damage if damage.file == name), None)
            if first is not None:
                assert first.offset + first.size == at
            else:  # the cut is at the end of a record, or nothing is left of the file
                assert at == 0 or name != SNAPSHOT


@pytest.mark.parametrize("which", ["one_journal", "snapshot_and_journal"])
def test_every_single_flipped_bit_leaves_a_prefix_and_is_said(
    which: str, request: pytest.FixtureRequest
) -> None:
    written: Written = request.getfixturevalue(which)
    name = SNAPSHOT if which == "snapshot_and_journal" else written.journals[0]
    whole = written.files[name]
    for at in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            found = written.check({**written.files, name: bytes(flipped)})
            assert found.damage[0].file == name
            assert found.damage[0].offset <= at


def test_a_tail_that_is_there_twice_counts_once(one_journal: Written) -> None:
    [name] = one_journal.journals
    whole = one_journal.files[name]
    for length in range(1, len(whole) + 1):
        found = one_journal.check({name: whole + whole[-length:]})
        assert found.state.journal.head == max(one_journal.digests)
        assert [(damage.offset, damage.size) for damage in found.damage] == [(len(whole), length)]


@pytest.mark.parametrize("zeros", [1, 7, 8, 20, 512, 4096])
def test_zeros_after_any_byte_as_some_file_systems_leave_them_load_to_a_prefix(
    snapshot_and_journal: Written, zeros: int
) -> None:
    for name in (*snapshot_and_journal.journals, SNAPSHOT):
        whole = snapshot_and_journal.files[name]
        for at in range(len(whole) + 1):
            snapshot_and_journal.check(
                {**snapshot_and_journal.files, name: whole[:at] + bytes(zeros)}
            )


def test_a_missing_generation_ends_what_is_loaded_and_the_rest_is_put_aside(
    many_journals: Written,
) -> None:
    names = many_journals.journals
    for missing in range(len(names)):
        files = {name: many_journals.files[name] for name in names if name != names[missing]}
        found = many_journals.check(files)
        assert list(found.journals) == names[:missing]
        assert list(found.aside) == names[missing + 1 :]
        assert [damage.file for damage in found.damage] == names[missing + 1 :]


def test_generations_in_the_wrong_place_are_not_mixed(many_journals: Written) -> None:
    names = many_journals.journals
    for one in range(len(names)):
        for other in range(len(names)):
            files = dict(many_journals.files)
            files[names[one]], files[names[other]] = files[names[other]], files[names[one]]
            many_journals.check(files)


def test_empty_and_unfinished_and_foreign_files_are_no_harm(many_journals: Written) -> None:
    files = {
        **many_journals.files,
        journal_name(99): b"",
        SNAPSHOT_UNFINISHED: b"half of it",
        "journal.": b"?",
        "journal.7": b"?",
        "journal.0000000001.gz": b"?",
        "journal.²": b"?",
        "notes.txt": b"mine",
    }
    found = many_journals.check(files)
    assert found.state.journal.head == max(many_journals.digests)
    assert found.damage == ()
    assert set(found.stale) == {journal_name(99), SNAPSHOT_UNFINISHED}
    assert found.generation == 99


def test_of_journals_that_were_put_aside_the_oldest_go(many_journals: Written) -> None:
    aside = [f"{journal_name(number)}.aside" for number in range(100, 100 + MAX_ASIDE + 3)]
    others = {"journal.notes.aside": b"", f"{SNAPSHOT}.aside": b"?"}
    files = {**dict.fromkeys(reversed(aside), b"?"), **others, **many_journals.files}
    found = many_journals.check(files)
    assert found.damage == ()
    assert list(found.stale) == aside[:3]


def test_a_directory_without_any_of_it_is_an_empty_copy() -> None:
    for files in ({}, {SNAPSHOT: b""}, {journal_name(1): b""}, {SNAPSHOT: bytes(4096)}):
        assert recover(files).state.empty
