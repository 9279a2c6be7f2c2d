"""The archive: what is kept comes back, and what was touched is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import Archive, ArchiveDamaged, BadRequest


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Five snapshots of a pair, at steps 0, 10 ... 40."""
    path = tmp_path_factory.mktemp("archive") / "run.aii"
    with Archive.create(path) as archive:
        engine.run(engine.check_request("kepler", steps=40), archive=archive, snapshot_every=10)
    return path


def test_snapshots_come_back_and_go_on_to_the_same_end(archive):
    assert [s.step for s in engine.list_snapshots(archive)] == [0, 10, 20, 30, 40]
    end = engine.read_snapshot(archive).digest()
    for step in (0, 10, 20, 30, 40):
        state = engine.read_snapshot(archive, step=step)
        assert state.step == step
        engine.advance(state, 40 - step)
        assert state.digest() == end


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_altered_byte_is_found_at_its_snapshot(archive, tmp_path_factory, data):
    content = bytearray(archive.read_bytes())
    snapshots = engine.list_snapshots(archive)
    at = data.draw(st.integers(len(b"AII archive 1\n"), len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    number = next(s.number for s in snapshots if at < s.offset + s.length)
    damaged = tmp_path_factory.mktemp("damaged") / "run.aii"
    damaged.write_bytes(content)
    with pytest.raises(ArchiveDamaged, match=f"breaks at snapshot {number}:"):
        engine.read_snapshot(damaged)
    for good in snapshots[: number - 1]:
        assert engine.read_snapshot(damaged, step=good.step).step == good.step


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_torn_end_is_found_at_its_snapshot(archive, tmp_path_factory, data):
    content, snapshots = archive.read_bytes(), engine.list_snapshots(archive)
    ends = [s.offset + s.length for s in snapshots]
    size = data.draw(st.integers(ends[0], ends[-1] - 1).filter(lambda size: size not in ends))
    torn = tmp_path_factory.mktemp("torn") / "run.aii"
    torn.write_bytes(content[:size])
    number = 1 + sum(end <= size for end in ends)
    with pytest.raises(ArchiveDamaged, match=f"breaks at snapshot {number}: the file ends"):
        engine.list_snapshots(torn)
    with pytest.raises(ArchiveDamaged):
        Archive.open(torn)
    assert torn.read_bytes() == content[:size]


def test_a_snapshot_of_another_run_does_not_fit_in(archive, tmp_path):
    """Each is whole by itself; the chain tells."""
    content, snapshots = archive.read_bytes(), engine.list_snapshots(archive)
    first, second = (
        content[s.offset - 48 : s.offset + s.length] for s in (snapshots[1], snapshots[2])
    )
    swapped = tmp_path / "swapped.aii"
    swapped.write_bytes(content.replace(first + second, second + first))
    with pytest.raises(ArchiveDamaged, match="breaks at snapshot 2"):
        engine.list_snapshots(swapped)


def test_two_runs_cannot_write_to_one_archive(tmp_path):
    path = tmp_path / "run.aii"
    with Archive.create(path) as archive:
        archive.append(engine.prepare("kepler"))
        with pytest.raises(BadRequest, match="Another run is writing"):
            Archive.open(path)
    Archive.open(path).close()


def test_a_full_disk_leaves_the_snapshots_before(tmp_path, monkeypatch):
    path = tmp_path / "run.aii"
    state = engine.prepare("kepler")
    with Archive.create(path) as archive:
        archive.append(state)
        engine.advance(state, 5)

        def full(descriptor):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space"):
                archive.append(state)
        archive.append(state)
    assert [s.step for s in engine.list_snapshots(path)] == [0, 5]


@pytest.mark.parametrize("content", [b"", b"something else entirely\n"])
def test_other_files_are_no_archives(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match="no archive of this engine"):
        engine.read_snapshot(path)
