"""Bodies that a person brings: what is read, refused and kept, and the runs that are made of it."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.utils import timezone

from audit.models import Entry
from simulation import services
from simulation.engine import Fault
from simulation.models import BodiesFile, Run
from tenants import selectors
from tenants.approvals import services as approvals
from tenants.context import tenant_context
from tests import objects
from tests.cast import NOON

pytestmark = pytest.mark.django_db

HEAD = "body,mass,x,y,z,vx,vy,vz"
SUN_AND_TWO = f"""# made by hand
{HEAD}
sun,1,0,0,0,0,0,0
planet,0.001,1,0,0,0,1,0
probe,0,1.5,0,0,0,0.8,0
"""


def send(client, text: str | bytes = SUN_AND_TWO, *, name: str = "planets.csv", units="N-body"):
    content = text if isinstance(text, bytes) else text.encode()
    file = SimpleUploadedFile(name, content, "text/csv")
    return client.post("/runs/bodies/upload/", {"file": file, "units": units})


def form_of(file: BodiesFile, **given: str) -> dict[str, str]:
    return {
        "scenario": "custom",
        "bodies_file": str(file.pk),
        "steps": "64",
        "dt_tu": "0.0078125",
        **given,
    }


def the_file() -> BodiesFile:
    with tenant_context("acme"):
        return BodiesFile.objects.get()


def execute(run: Run) -> Run:
    services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
    return Run.objects.get(pk=run.pk)


def by_command(tmp_path, *arguments: str, text: str = SUN_AND_TWO) -> dict:
    path, out = tmp_path / "bodies.csv", io.StringIO()
    path.write_text(text)
    call_command("simulate", "--input", str(path), *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


class TestUpload:
    def test_shows_what_was_read_and_keeps_the_file_as_it_came(self, client):
        answer = send(client)
        file = the_file()
        assert answer["Location"] == f"/runs/bodies/{file.pk}/"
        assert (file.name, file.units, file.bodies) == ("planets.csv", "N-body", 3)
        assert bytes(file.content) == SUN_AND_TWO.encode()
        assert file.sha256 == hashlib.sha256(SUN_AND_TWO.encode()).hexdigest()

        page = client.get(answer["Location"])
        assert [row[0] for row in page.context["rows"]] == ["sun", "planet", "probe"]
        assert (page.context["total_mass"], page.context["test_particles"]) == (1.001, 1)
        text = page.content.decode()
        assert file.sha256 in text
        assert "Delete the file" in text
        with tenant_context("acme"):
            entry = Entry.objects.get(action="bodies.uploaded")
        assert (entry.subject_type, entry.subject_id) == ("bodies", str(file.pk))

        sent = client.get(f"/runs/bodies/{file.pk}/bodies.csv")
        assert sent.content == SUN_AND_TWO.encode()
        assert "attachment" in sent["Content-Disposition"]

    def test_the_same_file_again_is_the_one_that_is_there(self, client):
        first, again = send(client), send(client, name="other.csv")
        assert first["Location"] == again["Location"]
        assert send(client, units="au-Msun-yr")["Location"] != first["Location"]
        with tenant_context("acme"):
            assert BodiesFile.objects.count() == 2

    @pytest.mark.parametrize(
        ("rows", "sentences"),
        [
            ("", ["There is no body"]),
            ("a,1,0,0,0,0,0,0\nb,1,1,0,0,0,0", ["Line 3 has 7 columns"]),
            (
                "a,-1,0,0,0,0,0,0\nb,1,nan,0,0,0,0,0\n,1,2,0,0,0,0,0\nd,1,one,0,0,0,0,0",
                ["mass in line 2", "x in line 3", "body of line 4", "x in line 5"],
            ),
            ("a,1,0,0,0,0,0,0\na,1,1,0,0,0,0,0", ["Two bodies are called", "lines 2 and 3"]),
            ("a,1,0,0,0,0,0,0\nb,1,0,0,0,0,0,0", ["a and b are in the same place"]),
            ("a,0,0,0,0,0,0,0", ["At least one body must have a mass"]),
            ("a,1,1e300,0,0,0,0,0", ["choose other units"]),
            ('"a,1,0,0,0,0,0,0\nb,1,1,0,0,0,0,0', ["is no CSV", "line 3"]),
            ('"a\nb",1,0,0,0,0,0,0', ["body of line 3"]),
            ("\n".join(f"{i},x,0,0,0,0,0,0" for i in range(25)), ["line 2 ", "5 more rows"]),
            ("\n".join(f"{i},1,{i},0,0,0,0,0" for i in range(10_001)), ["10000 bodies, not 10001"]),
        ],
        ids=[
            *["empty", "short", "each-row", "names", "place", "no-mass", "far", "quote"],
            *["newline", "many-rows", "many-bodies"],
        ],
    )
    def test_says_of_each_bad_row_why_and_keeps_nothing(self, client, rows, sentences):
        before = objects.fingerprint("acme")
        answer = send(client, f"{HEAD}\n{rows}")
        assert answer.status_code == 422
        text = answer.content.decode().replace("&#x27;", "'")
        assert "Nothing was kept" in text
        assert [each for each in sentences if each not in text] == []
        assert objects.fingerprint("acme") == before

    @pytest.mark.parametrize(
        ("content", "units", "sentence"),
        [
            (b"\xff\xfe", "N-body", "no text in UTF-8"),
            (b"#" * (2 * 2**20 + 1), "N-body", "larger than 2 MiB"),
            (b"body,mass,x\n1,2,3", "N-body", "y is there 0 times"),
            (b"", "N-body", "The file is empty"),
            (SUN_AND_TWO.encode(), "furlongs", "There are no such units"),
        ],
        ids=["binary", "large", "columns", "nothing", "units"],
    )
    def test_what_is_no_such_file_is_refused_and_not_kept(self, client, content, units, sentence):
        before = objects.fingerprint("acme")
        answer = send(client, content, units=units)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
        assert objects.fingerprint("acme") == before

    def test_without_a_file_it_asks_for_one(self, client):
        answer = client.post("/runs/bodies/upload/", {"units": "SI"})
        assert answer.status_code == 422
        assert "Choose a file." in answer.content.decode()

    def test_a_tenant_keeps_so_many(self, client, monkeypatch):
        monkeypatch.setattr("simulation.services.own_bodies.FILES_MAX", 1)
        send(client)
        assert send(client, units="au-Msun-yr").status_code == 409
        assert the_file().units == "N-body"

    def test_a_name_from_outside_is_only_a_name(self, client):
        send(client, name="..\\..\\<script>alert(1)</script>.csv")
        page = client.get(f"/runs/bodies/{the_file().pk}/").content.decode()
        assert "<script>alert" not in page


class TestRuns:
    def test_one_has_the_digest_and_the_provenance_of_the_command(self, client, tmp_path, in_acme):
        send(client)
        file = the_file()
        page = client.get(f"/runs/new/?scenario=custom&bodies_file={file.pk}")
        assert page.context["form"]["scenario"].value() == "custom"
        assert page.context["form"]["steps"].initial == 16_384
        answer = client.post("/runs/new/", form_of(file))
        run = Run.objects.get()
        assert answer["Location"] == f"/runs/{run.pk}/"
        run = execute(run)
        assert (run.state, run.failure) == (Run.State.DONE, "")
        assert run.digest_reversed == run.digest_start

        found = by_command(tmp_path, "--steps", "64", "--dt-tu", "0.0078125")
        assert (found["digest_start"], found["digest_end"]) == (run.digest_start, run.digest_end)
        assert found["provenance"]["input_sha256"] == file.sha256
        assert run.provenance["input_sha256"] == file.sha256
        text = client.get(f"/runs/{run.pk}/?tab=provenance").content.decode()
        assert file.sha256 in text
        assert f"--input bodies-{file.sha256[:12]}.csv --units N-body" in text
        bodies = client.get(f"/runs/{run.pk}/?tab=bodies").context["bodies"]
        assert [body.name for body in bodies] == ["sun", "planet", "probe"]
        listed = client.get("/runs/?scenario=custom")
        assert [title for _, title, _ in listed.context["rows"]] == ["planets.csv"]
        assert len(client.get(f"/runs/{run.pk}/state.csv").content.splitlines()) == 4

    def test_units_softening_and_radii_are_those_of_the_command(self, client, tmp_path, in_acme):
        text = f"{HEAD},radius\na,1,0,0,0,0,0,0,0.5\nb,1,2,0,0,-1,0,0,0.25\n"
        send(client, text, units="au-Msun-yr")
        file = the_file()
        given = {"softening": "0.125", "collisions": "merge", "radius": "", "dt_tu": "0.0009765625"}
        assert client.post("/runs/new/", form_of(file, **given)).status_code == 302
        run = execute(Run.objects.get())
        assert (run.state, run.failure) == (Run.State.DONE, "")
        found = by_command(
            tmp_path,
            *["--units", "au-Msun-yr", "--softening", "0.125", "--collisions", "merge"],
            *["--steps", "64", "--dt-tu", "0.0009765625"],
            text=text,
        )
        assert found["digest_end"] == run.digest_end
        assert run.radius_tu == [0.5, 0.25]

    def test_again_takes_the_same_bodies_and_a_file_in_use_stays(self, client, in_acme):
        send(client)
        file = the_file()
        client.post("/runs/new/", form_of(file))
        run = execute(Run.objects.get())
        client.post(f"/runs/{run.pk}/again/")
        again = execute(Run.objects.exclude(pk=run.pk).get())
        assert again.digest_end == run.digest_end
        assert client.post(f"/runs/bodies/{file.pk}/delete/").status_code == 409
        assert BodiesFile.objects.count() == 1

    def test_a_fault_drill_of_own_bodies_is_released_as_it_was_asked(self, client, in_acme, owner):
        send(client)
        fault = {
            **{"fault_kind": "momentum", "fault_step": "30", "fault_body": "1"},
            **{"fault_quantity": "energy", "fault_size": "0.001", "fault_reason": "A drill."},
        }
        page = client.post("/runs/new/", form_of(the_file(), **fault), follow=True)
        assert "planets.csv" in page.content.decode()
        asked = approvals.ApprovalRequest.objects.get()
        approvals.approve(
            membership=selectors.find_membership(owner, in_acme),
            request_id=asked.pk,
            seen_sha256=asked.parameters_sha256,
            approved_at=NOON,
        )
        run = execute(Run.objects.get())
        assert (run.state, run.step_done) == (Run.State.VIOLATED, 29)
        assert run.engine_fault == Fault("momentum", 30, body=1)

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"dt_tu": "5"}, "dt_tu"),
            ({"softening": "-1"}, "softening"),
            ({"collisions": "bounce"}, "radius"),
            ({"boundary": "periodic", "box": "1"}, "box"),
            ({"integrator": "wisdom_holman", "softening": "0.125"}, "integrator"),
        ],
        ids=str,
    )
    def test_what_its_bodies_do_not_allow_is_said_at_the_field(self, client, given, field):
        send(client)
        before = objects.fingerprint("acme")
        answer = client.post("/runs/new/", form_of(the_file(), **given))
        assert answer.status_code == 422
        assert field in answer.context["form"].errors
        assert objects.fingerprint("acme") == before


class TestWho:
    def test_readers_look_and_change_nothing(self, client, client_for, viewer, acme):
        send(client)
        file = the_file()
        reader = client_for(viewer, acme)
        page = reader.get("/runs/bodies/").content.decode()
        assert "planets.csv" in page
        assert "Read the file" not in page
        assert reader.get(f"/runs/bodies/{file.pk}/").status_code == 200
        assert send(reader).status_code == 403
        assert reader.post(f"/runs/bodies/{file.pk}/delete/").status_code == 403
        assert the_file().pk == file.pk

    def test_another_tenants_file_starts_no_run(self, client, client_for, consultant, globex):
        send(client)
        file = the_file()
        other = client_for(consultant, globex)
        before = objects.fingerprint("globex")
        assert other.get(f"/runs/new/?scenario=custom&bodies_file={file.pk}").status_code == 404
        assert other.post("/runs/new/", form_of(file)).status_code == 404
        assert objects.fingerprint("globex") == before

    def test_deleted_it_is_gone(self, client):
        send(client)
        assert client.post(f"/runs/bodies/{the_file().pk}/delete/").status_code == 302
        with tenant_context("acme"):
            assert not BodiesFile.objects.exists()
            assert Entry.objects.filter(action="bodies.deleted").count() == 1
