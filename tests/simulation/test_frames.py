"""The bodies of a run for a picture: the frame's bytes, who gets it, and what an unchanged one
costs.
"""

from __future__ import annotations

import datetime
import struct

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from simulation import engine, frames, selectors
from simulation.models import Checkpoint, Run, RunResult
from simulation.services.claims import claim_run, save_checkpoint
from tenants.context import tenant_context
from tests.simulation.conftest import NOON

AT = datetime.datetime(2026, 3, 1, 12, 0, 5, 250_000, tzinfo=datetime.UTC)


class TestTheBytes:
    def test_are_little_endian_and_as_documented(self):
        state = engine.prepare("kepler", steps=10)
        engine.advance(state, 10)
        content = frames.encode(state, AT)

        assert content[:4] == b"AIIF"
        assert struct.unpack("<HH", content[4:8]) == (1, 48)
        assert struct.unpack("<QII", content[8:24]) == (10, 2, 2)
        scale_m, time_s, at_s = struct.unpack("<ddd", content[24:48])
        assert (time_s, at_s) == (state.time_s, AT.timestamp())
        found = np.frombuffer(content[48:], "<f4").reshape(2, 3).astype(float) * scale_m
        np.testing.assert_allclose(found, state.positions_m(), rtol=2e-7, atol=1e-7 * scale_m)

    def test_come_back(self):
        state = engine.prepare("plummer", bodies=100, seed=3)
        frame = frames.decode(frames.encode(state, AT))
        assert (frame.step, frame.bodies, frame.at) == (0, 100, AT)
        np.testing.assert_array_equal(frame.positions, state.positions_tu().astype("<f4"))

    @pytest.mark.parametrize(
        ("bodies", "count"), [(1, 1), (2, 2), (20_000, 20_000), (20_001, 20_000), (10**6, 20_000)]
    )
    def test_hold_all_bodies_or_an_even_choice(self, bodies, count):
        chosen = frames.choose(bodies)
        assert len(chosen) == count == len(set(chosen.tolist()))
        assert chosen[0] == 0
        assert chosen[-1] < bodies
        gaps = np.diff(chosen)
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: b"",
            lambda content: content[:40],
            lambda content: content[:-1],
            lambda content: content + b"\0",
            lambda content: b"X" + content[1:],
            lambda content: content[:4] + b"\x02" + content[5:],
        ],
    )
    def test_of_another_kind_are_refused(self, change):
        content = frames.encode(engine.prepare("kepler"), AT)
        with pytest.raises(ValueError, match="frame"):
            frames.decode(change(content))


@pytest.fixture
def client(client_for, operator, acme):
    return client_for(operator, acme)


@pytest.fixture
def running(queued):
    """Return a run that computes, with a checkpoint after some steps."""

    def make(steps: int = 5) -> Run:
        run = claim_run(run_id=queued("solar_system", steps=1000).pk, claimed_at=NOON)
        state = engine.prepare("solar_system", steps=1000)
        engine.advance(state, steps)
        save_checkpoint(run, state, wall_s=1.0, saved_at=AT)
        return run

    return make


@pytest.mark.django_db
class TestOverHttp:
    def test_sends_the_last_verified_step_of_a_finished_run(self, client, executed):
        run = executed("plummer", bodies=64, steps=20)
        answer = client.get(f"/runs/{run.pk}/frame.bin")

        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/octet-stream"
        assert "private" in answer["Cache-Control"]
        frame = frames.decode(answer.content)
        state = selectors.get_final_state(run)
        assert (frame.step, frame.at) == (20, run.finished_at)
        np.testing.assert_array_equal(frame.positions, state.positions_tu().astype("<f4"))

    def test_sends_the_checkpoint_of_a_running_run(self, client, running):
        frame = frames.decode(client.get(f"/runs/{running(5).pk}/frame.bin").content)
        assert (frame.step, frame.at) == (5, AT)

    def test_an_unchanged_frame_is_not_even_read(self, client, running):
        address = f"/runs/{running().pk}/frame.bin"
        etag = client.get(address)["ETag"]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = client.get(address, headers={"if-none-match": etag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert not [query for query in queries if '"frame"' in query["sql"]]

    def test_a_new_checkpoint_and_the_end_are_new_frames(self, client, running, executed):
        run = running(5)
        first = client.get(f"/runs/{run.pk}/frame.bin")["ETag"]
        state = engine.prepare("solar_system", steps=1000)
        engine.advance(state, 9)
        save_checkpoint(run, state, wall_s=2.0, saved_at=AT)
        answer = client.get(f"/runs/{run.pk}/frame.bin", headers={"if-none-match": first})
        assert answer.status_code == 200
        assert frames.decode(answer.content).step == 9
        assert answer["ETag"] != first

    def test_series_are_kept_and_tagged_with_it(self, client, running):
        address = f"/runs/{running(5).pk}/series.json"
        answer = client.get(address)
        assert answer.json()["series"]["energy"]["step"] == [1, 2, 3, 4, 5]
        again = client.get(address, headers={"if-none-match": answer["ETag"]})
        assert again.status_code == 304

    def test_a_run_without_one_has_none(self, client, queued):
        answer = client.get(f"/runs/{queued().pk}/frame.bin")
        assert answer.status_code == 404
        assert "checkpoint" in answer.content.decode()

    def test_a_result_from_before_there_were_frames_still_has_one(self, client, executed):
        run = executed("kepler", steps=20)
        before = client.get(f"/runs/{run.pk}/frame.bin").content
        RunResult.objects.update(frame=None)
        assert client.get(f"/runs/{run.pk}/frame.bin").content == before

    def test_another_tenant_gets_nothing(self, client_for, outsider, globex, executed):
        run = executed("kepler", steps=20)
        etag = selectors.find_kept_tag(run)
        stranger = client_for(outsider, globex)
        for headers in ({}, {"if-none-match": f'"{etag}"'}):
            answer = stranger.get(f"/runs/{run.pk}/frame.bin", headers=headers)
            assert answer.status_code == 404
            assert b"AIIF" not in answer.content
            assert "ETag" not in answer.headers

    def test_a_viewer_may_look(self, client_for, viewer, acme, executed):
        run = executed("kepler", steps=20)
        assert client_for(viewer, acme).get(f"/runs/{run.pk}/frame.bin").status_code == 200

    def test_what_a_member_of_both_sees_depends_on_the_host(
        self, client_for, consultant, acme, globex, executed
    ):
        run = executed("kepler", steps=20)
        assert client_for(consultant, acme).get(f"/runs/{run.pk}/frame.bin").status_code == 200
        assert client_for(consultant, globex).get(f"/runs/{run.pk}/frame.bin").status_code == 404
        with tenant_context("globex"):
            assert not RunResult.objects.exists()


@pytest.mark.django_db
class TestThePage:
    def test_has_a_table_for_those_without_javascript(self, client, executed):
        run = executed("solar_system", steps=20)
        page = client.get(f"{run.get_absolute_url()}?tab=bodies")
        text = page.content.decode()
        for name in ("sun", "earth", "neptune"):
            assert name in text.lower()
        rows = page.context["bodies"]
        state = selectors.get_final_state(run)
        assert [row.name for row in rows] == list(state.names)
        found = [(row.x_m, row.y_m, row.z_m) for row in rows]
        scale = state.definition.length_m
        np.testing.assert_allclose(found, state.positions_m(), rtol=2e-7, atol=1e-7 * scale)

    def test_says_when_not_all_bodies_are_drawn(self, client, executed, monkeypatch):
        monkeypatch.setattr(frames, "BODIES_MAX", 100)
        run = executed("plummer", bodies=150, steps=2)
        text = client.get(f"{run.get_absolute_url()}?tab=bodies").content.decode()
        assert "100 of 150 bodies are drawn, evenly chosen." in text
        assert "The first 50 of those drawn." in text

    def test_says_how_old_the_picture_of_a_running_run_is(self, client, running):
        text = client.get(f"{running(7).get_absolute_url()}?tab=bodies").content.decode()
        assert "Step 7, kept" in text
        assert 'datetime="2026-03-01T12:00:05' in text
        assert "last checkpoint" in text

    def test_waits_for_the_first_checkpoint(self, client, queued):
        text = client.get(f"{queued().get_absolute_url()}?tab=bodies").content.decode()
        assert "Waiting for the first checkpoint" in text

    def test_says_that_there_is_nothing(self, client, queued):
        run = queued()
        client.post(f"/runs/{run.pk}/cancel/")
        assert not Checkpoint.objects.exists()
        text = client.get(f"{run.get_absolute_url()}?tab=bodies").content.decode()
        assert "Nothing to show" in text
        assert "bodies.js" not in text
