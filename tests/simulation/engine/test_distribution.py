"""One simulation on several ranks: the digest of one process, whatever happens to the ranks."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine.distribution import DistributedForce, NoAnswer, Sabotage, distribute
from simulation.engine.distribution.arena import Arena, create_arena
from simulation.engine.distribution.mpi_launch import find_mpirun
from simulation.engine.distribution.protocol import SABOTAGES, ForceLaw, TransportUnavailable
from simulation.engine.distribution.shares import Tiles
from simulation.engine.forces.direct import DirectSummation
from simulation.engine.forces.tiles import add_tiles
from tests.simulation.engine.multipole_cases import prepared

BODIES, STEPS = 96, 5
KINDS = {"direct": None, "fmm": 1e-3}


def request_for(force="direct", bodies=BODIES, steps=STEPS, **options):
    return engine.check_request(
        "plummer", bodies=bodies, steps=steps, force=force, accuracy=KINDS[force], **options
    )


def alone(request):
    state = engine.prepare_state(request)
    engine.advance(state, request.steps)
    return state


def run(request, **options):
    """Run a request on ranks; return its last state and the report."""
    with distribute(request, **options) as force:
        state = engine.prepare_state(request, force)
        engine.advance(state, request.steps)
    return state, force.report


def _why_no_mpi():
    try:
        find_mpirun()
    except TransportUnavailable as reason:
        return str(reason)
    return ""


needs_mpi = pytest.mark.skipif(bool(_why_no_mpi()), reason=_why_no_mpi() or "Open MPI works")
# Processes take some seconds to start: few of these tests are among the quick ones.
OVER_MPI = pytest.param("mpi", marks=[needs_mpi, pytest.mark.slow])
REAL = ["processes", OVER_MPI]
SLOW = [pytest.param("processes", marks=pytest.mark.slow), OVER_MPI]


class TestSameDigest:
    @pytest.mark.parametrize("strategy", ["load", "locality"])
    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("workers", [1, 2, 4])
    def test_on_any_number_of_ranks_and_threads(self, workers, threads, strategy):
        request = request_for()

        state, report = run(
            request, workers=workers, threads=threads, strategy=strategy, transport="in_process"
        )

        assert state.digest() == alone(request).digest()
        assert report.evaluations == STEPS + 1
        assert (report.spot_checks > 0) == (workers > 1)

    @pytest.mark.parametrize("strategy", ["load", "locality"])
    @pytest.mark.parametrize("workers", [1, 3])
    def test_of_the_fast_multipole_method(self, workers, strategy):
        # Above 2048 bodies it has a far field.
        request = request_for("fmm", bodies=2500, steps=2)
        expected = alone(request)

        state, _ = run(
            request, workers=workers, threads=2, strategy=strategy, transport="in_process"
        )

        assert state.digest() == expected.digest()
        assert any(expected.residual_q)
        assert state.residual_q == expected.residual_q
        np.testing.assert_array_equal(state.u_q, expected.u_q)

    def test_of_the_fast_multipole_method_with_test_particles(self):
        """Near pairs that act one way belong to one rank, too, and are spot-checked by another."""
        state = prepared("a_quarter_massless", 1e-3)
        k_q, u_q = np.empty_like(state.k_q), np.empty_like(state.u_q)
        law = ForceLaw("fmm", 1e-3)
        with DistributedForce(workers=3, law=law, transport="in_process") as force:
            for _ in range(3):
                found = force.evaluate(state.x, state.kicks[-1], k_q, u_q)
                assert found.within and found.residual_q == state.residual_q
                np.testing.assert_array_equal(k_q, state.k_q)
                np.testing.assert_array_equal(u_q, state.u_q)
            assert not force.report.events
            assert force.report.spot_checks >= 9

    @pytest.mark.parametrize("integrator", ["yoshida4", "yoshida8"])
    def test_with_several_kicks_a_step(self, integrator):
        request = request_for(integrator=integrator)
        state, _ = run(request, workers=3, transport="in_process")
        assert state.digest() == alone(request).digest()

    @pytest.mark.parametrize("transport", ["in_process", "processes", OVER_MPI])
    @pytest.mark.parametrize("strategy", ["load", "locality"])
    def test_in_a_periodic_box(self, transport, strategy):
        request = request_for(boundary="periodic", box=64.0, softening=0.5)
        state, report = run(request, workers=3, strategy=strategy, transport=transport)
        assert state.digest() == alone(request).digest()
        assert report.spot_checks > 0

    def test_in_a_box_that_the_ranks_do_not_know(self):
        in_box, open_space = request_for(boundary="periodic", box=64.0), request_for()
        for known, other in ((open_space, in_box), (in_box, open_space)):
            with (
                distribute(known, workers=1, transport="in_process") as force,
                pytest.raises(engine.BadRequest, match="must know the box"),
            ):
                engine.prepare_state(other, force)

    @pytest.mark.parametrize("scenario", ["kepler", "figure_eight"])
    def test_with_fewer_bodies_than_ranks(self, scenario):
        request = engine.check_request(scenario, steps=5)
        state, _ = run(request, workers=8, transport="in_process")
        assert state.digest() == alone(request).digest()

    @pytest.mark.parametrize("transport", REAL)
    def test_in_other_processes(self, transport):
        request = request_for()
        state, report = run(request, workers=2, threads=2, transport=transport)
        assert state.digest() == alone(request).digest()
        assert report.transport == transport
        assert not report.events

    @pytest.mark.parametrize("transport", ["in_process", *SLOW])
    def test_when_bodies_have_merged(self, transport):
        """The number of bodies may fall and rise between evaluations."""
        random = np.random.default_rng(5)
        with DistributedForce(workers=2, transport=transport) as force:
            for bodies in (40, 17, 60):
                x = np.ascontiguousarray(random.normal(size=(3, bodies)))
                charge = random.uniform(0.5, 2.0, bodies) * 2.0**20
                kick = engine.forces.Kick(charge, charge, 1e-4, 0.5, 51)
                found, expected = (np.empty((4, bodies), np.int64) for _ in range(2))
                force.evaluate(x, kick, found[:3], found[3])
                DirectSummation().evaluate(x, kick, expected[:3], expected[3])
                np.testing.assert_array_equal(found, expected)

    def test_there_and_back(self):
        request = request_for(steps=3)
        with DistributedForce(workers=2, transport="in_process") as force:
            state = engine.prepare_state(request, force)
            assert engine.advance(state, 3, retrace=True).retraced

    @settings(max_examples=25, deadline=None)
    @given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 2**32 - 1))
    def test_any_dealing_of_tiles_sums_to_direct_summation(self, bodies, ranks, seed):
        """Each share alone leaves the momentum of the bodies with mass as it is."""
        random = np.random.default_rng(seed)
        x = np.ascontiguousarray(random.normal(size=(3, bodies)))
        source = random.uniform(0.5, 2.0, bodies) * 2.0**16
        sink = source.copy()
        source[0] = 0.0  # a test particle
        tiles = Tiles.of(bodies, ranks)
        owner = random.integers(0, ranks, len(tiles.bounds))
        total = np.zeros((4, bodies), np.int64)

        for rank in range(ranks):
            partial = np.zeros((4, bodies), np.int64)
            mine = np.ascontiguousarray(tiles.bounds[owner == rank])
            add_tiles(x, sink, source, 1e-4, 0.5, 51, mine, partial, np.zeros(1, np.int64))
            assert not partial[:3, 1:].sum(axis=1).any()
            total += partial

        kick = engine.forces.Kick(sink, source, 1e-4, 0.5, 51)
        k_q, u_q = np.empty((3, bodies), np.int64), np.empty(bodies, np.int64)
        DirectSummation().evaluate(x, kick, k_q, u_q)
        np.testing.assert_array_equal(total[:3], k_q)
        np.testing.assert_array_equal(total[3], u_q)


class TestDrills:
    """A rank goes wrong in step 3: it is found in that step, and the result is still right."""

    @pytest.mark.parametrize("force", ["direct", "fmm"])
    @pytest.mark.parametrize("rank", [0, 2])
    @pytest.mark.parametrize("kind", ["bit", "bit_of_rest", "pair", "die", "die_late"])
    def test_is_left_out_and_reported(self, kind, rank, force):
        request = request_for(force)

        state, report = run(
            request, workers=3, transport="in_process", sabotage=(Sabotage(rank, 3, kind),)
        )

        assert state.digest() == alone(request).digest()
        (event,) = report.events
        assert (event.rank, event.step) == (rank, 3)
        assert event.kind == ("lost" if kind.startswith("die") else "isolated")
        assert report.redone == 1
        wanted = {"bit": "must sum to zero", "bit_of_rest": "ledger", "pair": "bit for bit"}
        assert wanted.get(kind, "die") in event.why

    def test_kicks_wrong_on_both_sides_pass_without_spot_checks(self):
        """So the test above shows that it is the spot checks that find them."""
        request = request_for()
        state, report = run(
            request,
            workers=2,
            transport="in_process",
            spot_share=0.0,
            sabotage=(Sabotage(1, 3, "pair"),),
        )
        assert not report.events
        assert report.spot_checks == 0
        assert state.momentum_q() == state.momentum_0_q
        assert state.digest() != alone(request).digest()

    @pytest.mark.parametrize("transport", REAL)
    def test_one_after_the_other_until_one_is_left(self, transport):
        request = request_for()
        drills = (Sabotage(0, 2, "bit"), Sabotage(2, 3, "pair"), Sabotage(1, 4, "die"))
        state, report = run(request, workers=4, transport=transport, sabotage=drills)
        assert state.digest() == alone(request).digest()
        found = [(event.rank, event.step, event.kind) for event in report.events]
        assert found == [(0, 2, "isolated"), (2, 3, "isolated"), (1, 4, "lost")]

    @needs_mpi
    @pytest.mark.slow
    @pytest.mark.parametrize(("kind", "rank"), [("die", 2), ("die_late", 0)])
    def test_over_mpi(self, kind, rank):
        request = request_for()
        drills = (Sabotage(rank, 2, kind),)
        state, report = run(request, workers=4, transport="mpi", sabotage=drills)
        assert state.digest() == alone(request).digest()
        assert [event.rank for event in report.events] == [rank]

    @pytest.mark.parametrize(
        "transport",
        ["in_process", *SLOW],
    )
    def test_silence_stops_the_run_at_its_last_step(self, transport):
        request = request_for()
        drills = (Sabotage(1, 3, "stop"),)
        with DistributedForce(
            workers=2, transport=transport, timeout_s=1.0, sabotage=drills
        ) as force:
            state = engine.prepare_state(request, force)
            with pytest.raises(
                NoAnswer, match=r"Rank 1 .*answer.* stopped at step 2, the last that it committed"
            ):
                engine.advance(state, STEPS)
            assert force.members == () or transport == "in_process"

        assert state.step == 2
        whole = engine.prepare_state(request)
        engine.advance(whole, 2)
        assert state.digest() == whole.digest()
        # Nothing but the processes is lost: the run goes on with others.
        state.force = DirectSummation()
        engine.advance(state, STEPS - 2)
        assert state.digest() == alone(request).digest()
        assert {tuple(track.arrays()[0]) for track in state.tracks.values()} == {(1, 2, 3, 4, 5)}

    def test_without_any_rank_left(self):
        drills = (Sabotage(0, 2, "die"),)
        with pytest.raises(NoAnswer, match=r"No rank of this run is left.*at step 1, the last"):
            run(request_for(), workers=1, transport="in_process", sabotage=drills)


class TestKilled:
    @pytest.mark.parametrize("transport", REAL)
    def test_at_any_moment_whoever_it_is(self, transport):
        """Two of four ranks, rank 0 among them, get SIGKILL while the run goes on."""
        request = request_for(bodies=512, steps=40)
        with DistributedForce(workers=4, transport=transport) as force:
            state = engine.prepare_state(request, force)
            pids = force.transport.pids
            killers = [
                threading.Timer(delay_s, os.kill, (pids[rank], signal.SIGKILL))
                for rank, delay_s in ((0, 0.05), (2, 0.13))
            ]
            for killer in killers:
                killer.start()
            engine.advance(state, 20)
            for killer in killers:
                killer.join()
            engine.advance(state, 20)
            assert force.members == (1, 3)

        assert state.digest() == alone(request).digest()
        assert sorted(event.rank for event in force.report.events) == [0, 2]
        assert {event.kind for event in force.report.events} == {"lost"}

    @pytest.mark.parametrize("transport", SLOW)
    def test_ranks_end_with_their_coordinator(self, transport):
        program = (
            "import os, signal\n"
            "from simulation.engine.distribution import DistributedForce\n"
            f"force = DistributedForce(workers=2, transport={transport!r}, timeout_s=6.0)\n"
            "print(*force.transport.pids.values(), flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        pids = [int(pid) for pid in ended.stdout.split()]
        assert len(pids) == 2
        assert _gone_within(pids, 10.0)


def _gone_within(pids, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestTransports:
    def test_auto_says_what_it_used_and_why(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with DistributedForce(workers=1) as force:
            assert force.report.transport == "in_process"
            assert [remark.split(":")[0] for remark in force.report.remarks] == ["mpi", "processes"]

    def test_an_arena_is_shared_and_grows(self):
        descriptor = create_arena()
        one, other = (Arena(descriptor, 5, 2, 1) for _ in range(2))
        one.partials[1, 0, 3, 4] = -7
        one.source[2] = 0.5
        assert other.partials[1, 0, 3, 4] == -7
        assert other.source[2] == 0.5
        assert Arena(descriptor, 50, 2, 2).partials.shape == (2, 2, 4, 50)
        os.close(descriptor)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"workers": 0}, "1 to 256 workers"),
            ({"workers": 1000}, "1 to 256 workers"),
            ({"workers": True}, "whole number"),
            ({"workers": 2.5}, "whole number"),
            ({"workers": 2, "transport": "pigeon"}, "transport"),
            ({"workers": 2, "strategy": "luck"}, "Work is shared"),
            ({"workers": 2, "spot_share": float("nan")}, "spot checks"),
            ({"workers": 2, "timeout_s": 0.0}, "silent"),
            ({"workers": 2, "sabotage": (Sabotage(2, 1, "bit"),)}, "drill"),
            ({"workers": 2, "sabotage": (Sabotage(1, 1, "tea"),)}, "drill"),
        ],
    )
    def test_refuses_nonsense(self, options, sentence):
        with pytest.raises(engine.BadRequest, match=sentence):
            DistributedForce(**{"transport": "in_process", **options})

    def test_a_report_is_plain(self):
        _, report = run(request_for(), workers=2, transport="in_process")
        found = report.to_json()
        assert found["transport"] == "in_process"
        assert found["critical_path_s"] > 0.0
        assert set(SABOTAGES) >= {"bit", "pair"}
