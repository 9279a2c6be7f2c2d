"""``manage.py simulate`` as a person or a script meets it: a process, its output, its exit code."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from simulation import engine

ROOT = Path(__file__).resolve().parents[2]
QUANTITY_KEYS = {
    "unit",
    "initial",
    "final",
    "max_abs_error",
    "max_rel_error",
    "limit",
    "law",
    "verdict",
}


def simulate(*arguments):
    """Run the command in a process of its own, with no database anywhere."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    }
    environment["DJANGO_SETTINGS_MODULE"] = "aii_site.settings.development"
    return subprocess.run(
        [sys.executable, "manage.py", "simulate", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_solar_system_there_and_back():
    answer = simulate("solar_system", "--steps", "20000", "--reverse", "--json")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    found = json.loads(answer.stdout)
    assert (found["scenario"], found["bodies"], found["steps"]) == ("solar_system", 9, 20000)
    assert found["digest_reversed"] == found["digest_start"] != found["digest_end"]
    assert {"dt_tu", "integrator", "seed", "wall_s"} <= found.keys()
    quantities = found["quantities"]
    assert list(quantities) == ["energy", "momentum", "angular_momentum", "mass", "information"]
    assert all(quantity.keys() >= QUANTITY_KEYS for quantity in quantities.values())
    assert quantities["momentum"]["max_abs_error"] == 0
    energy = quantities["energy"]
    assert energy["law"] == "bounded"
    assert 0 < energy["max_abs_error"] < energy["limit"]
    assert energy["max_rel_error"] < 1e-5
    units = [quantity["unit"] for quantity in quantities.values()]
    assert units == ["J", "kg·m/s", "kg·m²/s", "kg", "bits"]


def test_without_reverse_information_is_not_claimed():
    answer = simulate("plummer", "--bodies", "20", "--steps", "50", "--seed", "3", "--json")
    found = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert "digest_reversed" not in found
    assert found["quantities"]["information"]["verdict"] == "UNKNOWN"
    assert (found["bodies"], found["seed"]) == (20, 3)


def test_a_table_for_people():
    answer = simulate("figure_eight", "--steps", "100", "--dt-tu", "0.001")
    assert answer.returncode == 0
    assert "Figure eight: 3 bodies, 100 of 100 steps" in answer.stdout
    assert "momentum" in answer.stdout
    assert "CONSERVED" in answer.stdout


def test_a_violation_exits_3_and_names_the_step():
    answer = simulate("kepler", "--steps", "500", "--fault", "momentum:100", "--json")
    assert answer.returncode == 3
    found = json.loads(answer.stdout)
    assert found["steps_done"] == 99
    assert found["violation"]["step"] == 100
    assert found["quantities"]["momentum"]["verdict"] == "VIOLATED"


@pytest.mark.parametrize("arguments", [["mars"], ["kepler", "--unheard-of"]])
def test_bad_input_exits_2_with_a_sentence_and_no_output(arguments):
    answer = simulate(*arguments, "--json")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()[-1]) > 20


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["kepler", "--steps", "0"], "Steps must lie between"),
        (["kepler", "--steps", "-5"], "Steps must lie between"),
        (["kepler", "--steps", "ten"], "must be a whole number"),
        (["kepler", "--steps", "9" * 5000], "at most 18 digits"),
        (["kepler", "--dt-tu", "nan"], "The time step of kepler"),
        (["kepler", "--dt-tu", "1e999"], "The time step of kepler"),
        (["kepler", "--dt-tu", "fast"], "must be a number"),
        (["kepler", "--bodies", "2"], "always has 2 bodies"),
        (["plummer", "--bodies", "1.5"], "must be a whole number"),
        (["plummer", "--seed", "x"], "must be a whole number"),
        (["kepler", "--fault", "explosion:1"], "of kind momentum or reading"),
        (["kepler", "--fault", "momentum:x"], "must be a whole number"),
        ([], "Name a scenario"),
        (["kepler", "--integrator", "euler"], "no integrator 'euler'"),
        (["kepler", "--force", "tree"], "The force is one of direct, fmm"),
        (["kepler", "--accuracy", "1e-4"], "Direct summation is exact"),
        (["plummer", "--force", "fmm", "--accuracy", "1e-9"], "The accuracy of fmm is one of"),
        (["plummer", "--force", "fmm", "--integrator", "yoshida4"], "goes with the integrator"),
        (["plummer", "--softening", "-1"], "The softening must be 0 or lie between"),
        (["kepler", "--threads", "0"], "--threads must lie between 1 and 256"),
        (["plummer", "--collisions", "explode", "--radius", "0.1"], "explode"),
        (["plummer", "--collisions", "merge"], "Collisions need a radius"),
        (["plummer", "--radius", "0.1"], "goes with collisions"),
        (["plummer", "--boundary", "periodic"], "needs a box"),
        (["plummer", "--boundary", "periodic", "--box", "3"], "must be a power of two"),
        (["plummer", "--boundary", "closed"], "The boundary is one of"),
        (["solar_system", "--integrator", "ias15", "--workers", "2"], "ask for one worker"),
        (["solar_system", "--integrator", "ias15", "--reverse"], "cannot be run backwards"),
        (["kepler", "--workers", "0"], "--workers must lie between 1 and 256"),
        (["kepler", "--workers", "two"], "must be a whole number"),
        (["plummer", "--workers", "2", "--transport", "pigeon"], "The transport is auto or one of"),
        (["plummer", "--workers", "2", "--strategy", "whim"], "Work is shared by one of"),
        (["kepler", "--snapshot-every", "10"], "needs an --archive"),
        (["kepler", "--resume-at", "10"], "--resume-at says where"),
        (["kepler", "--resume", "gone.aii"], "leave out a scenario"),
        (["--resume", "gone.aii"], "gone.aii cannot be read"),
        (["--input", "gone.csv"], "gone.csv cannot be read"),
        (["kepler", "--input", "gone.csv"], "not both"),
        (["kepler", "--units", "furlong"], "There are no units 'furlong'"),
        (["kepler", "--output", "final.txt"], "--output ends in .csv or .npz"),
        (["kepler", "--output", "/no/such/folder/final.csv"], "cannot be written"),
        (["kepler", "--archive", "/no/such/folder/a.aii"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_each_refusal_says_what_is_wrong(arguments, sentence):
    """In this process: starting one for each costs a second."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("simulate", *arguments, "--json", stdout=output, stderr=errors)
    assert ended.value.code == 2
    assert output.getvalue() == ""
    assert sentence in errors.getvalue()
    assert len(errors.getvalue().splitlines()) == 1


class TestFiles:
    def test_a_resumed_run_ends_on_the_digest_of_the_uninterrupted_one(self, tmp_path):
        whole = run("plummer", "--bodies", "40", "--steps", "60")
        archive = str(tmp_path / "run.aii")
        run("plummer", "--bodies", "40", "--steps", "40", "--archive", archive)
        resumed = run("--resume", archive, "--steps", "60", "--archive", archive, "--reverse")
        assert resumed["digest_end"] == whole["digest_end"]
        assert resumed["digest_reversed"] == whole["digest_start"]
        assert [s.step for s in engine.list_snapshots(archive)] == [0, 40, 60]

    def test_any_snapshot_will_do(self, tmp_path):
        archive = str(tmp_path / "run.aii")
        options = ("--archive", archive, "--snapshot-every", "20")
        whole = run("plummer", "--bodies", "40", "--steps", "50", *options)
        for step in (0, 20, 40):
            resumed = run("--resume", archive, "--resume-at", str(step))
            assert resumed["digest_end"] == whole["digest_end"]

    def test_an_archive_is_never_overwritten(self, tmp_path):
        archive = tmp_path / "run.aii"
        archive.write_bytes(b"precious")
        assert "exists; nothing was overwritten" in refused("kepler", "--archive", str(archive))
        assert archive.read_bytes() == b"precious"

    def test_a_torn_archive_is_refused_with_its_snapshot(self, tmp_path):
        archive = tmp_path / "run.aii"
        run("kepler", "--steps", "30", "--archive", str(archive), "--snapshot-every", "10")
        archive.write_bytes(archive.read_bytes()[:-1])
        sentence = refused("--resume", str(archive))
        assert "breaks at snapshot 4" in sentence
        assert "the last is at step 20" in sentence
        assert run("--resume", str(archive), "--resume-at", "20")["steps_done"] == 30

    def test_bodies_bring_radii_of_their_own_and_merge_into_one(self, tmp_path):
        path, after = tmp_path / "bodies.csv", tmp_path / "after.csv"
        path.write_text(
            "body,mass,radius,x,y,z,vx,vy,vz\n"
            "big,2,0.3,0,0,0,0,0,0\nsmall,1,0.1,0.5,0,0,-1,0,0\nfar,1e-3,0.05,9,0,0,0,0.5,0\n"
        )
        arguments = ["--input", str(path), "--collisions", "merge", "--steps", "500"]
        answer = simulate(*arguments, "--dt-tu", "0.001953125", "--output", str(after), "--json")
        assert answer.returncode == 0, answer.stderr
        bodies = engine.read_bodies(after.read_text())
        assert bodies.names == ("big", "far")
        np.testing.assert_allclose(bodies.radius, [(0.3**3 + 0.1**3) ** (1 / 3), 0.05])
        assert json.loads(answer.stdout)["quantities"]["momentum"]["max_abs_error"] == 0
        path.write_text(path.read_text().replace("0.1,", "-0.1,"))
        refused = simulate(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "The radius in line 3 must not be negative" in refused.stderr

    def test_what_is_written_as_csv_can_be_read_again(self, tmp_path):
        first, second = tmp_path / "first.csv", tmp_path / "second.csv"
        run("figure_eight", "--steps", "10", "--output", str(first))
        found = run("--input", str(first), "--steps", "5", "--output", str(second), "--reverse")
        assert found["bodies"] == 3
        assert found["digest_reversed"] == found["digest_start"]
        before, after = (path.read_text().splitlines() for path in (first, second))
        assert before[0] == after[0] == "body,mass,x,y,z,vx,vy,vz"
        assert [line.split(",")[:2] for line in before] == [line.split(",")[:2] for line in after]
        assert before[1:] != after[1:]

    def test_a_file_may_be_in_other_units(self, tmp_path):
        """The Earth's orbit: 1 au at 2 pi au a year."""
        path, after = tmp_path / "bodies.csv", tmp_path / "after.csv"
        rows = "sun,1,0,0,0,0,0,0", "earth,0,1,0,0,0,6.283185307179586,0"
        path.write_text("\n".join(["body,mass,x,y,z,vx,vy,vz", *rows]))
        run("--input", str(path), "--units", "au-Msun-yr", "--steps", "100", "--output", str(after))
        earth = after.read_text().splitlines()[2].split(",")
        assert np.hypot(float(earth[2]), float(earth[3])) == pytest.approx(1.0, rel=0.05)
        found = run("--input", str(path), "--units", "au-Msun-yr", "--steps", "1")
        # The same speed in N-body units is 1, and the angular momentum of a body without mass 0.
        assert found["quantities"]["mass"]["initial"] == pytest.approx(1.988e30, rel=1e-3)
        run("kepler", "--steps", "1", "--units", "SI", "--output", str(after))
        assert float(after.read_text().splitlines()[1].split(",")[2]) == pytest.approx(
            -0.45 * 149_597_870_700.0, rel=1e-3
        )

    def test_npz_holds_bodies_errors_and_summary(self, tmp_path):
        path = tmp_path / "final.npz"
        found = run("kepler", "--steps", "50", "--output", str(path))
        with np.load(path, allow_pickle=False) as arrays:
            assert arrays["position_m"].shape == (2, 3)
            assert str(arrays["digest"]) == found["digest_end"]
            assert len(arrays["energy_step"]) == len(arrays["energy_error"]) == 50
            assert json.loads(str(arrays["summary"]))["digest_end"] == found["digest_end"]
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "the file is empty"),
            ("body,mass,x,y,z,vx,vy,vz\n", "the names of its columns alone"),
            ("body,mass,x,y,z,vx,vy\na,1,0,0,0,0,0\n", "vz is there 0 times"),
            ("body,mass,x,y,z,vx,vy,vz\na,1,0,0,0,0,0\n", "Line 2 has 7 columns"),
            ("body,mass,x,y,z,vx,vy,vz\na,-1,0,0,0,0,0,0\n", "must not be negative"),
            ("body,mass,x,y,z,vx,vy,vz\na,nan,0,0,0,0,0,0\n", "must be finite"),
            ("body,mass,x,y,z,vx,vy,vz\na,one,0,0,0,0,0,0\n", "must be a number"),
            ("body,mass,x,y,z,vx,vy,vz\n,1,0,0,0,0,0,0\n", "needs a name"),
            ("body,mass,x,y,z,vx,vy,vz\na,0,0,0,0,0,0,0\n", "must have a mass"),
            ("body,mass,x,y,z,vx,vy,vz\n" + "a,1,0,0,0,0,0,0\n" * 2, "Two bodies are called 'a'"),
            (
                "body,mass,x,y,z,vx,vy,vz\na,1,0,0,0,0,0,0\nb,1,0,0,0,0,0,0\n",
                "Two bodies are in the same place",
            ),
        ],
    )
    def test_a_bad_table_is_refused_with_its_line(self, tmp_path, text, sentence):
        path, output = tmp_path / "bodies.csv", tmp_path / "final.csv"
        path.write_text(text)
        assert sentence in refused("--input", str(path), "--output", str(output))
        assert not output.exists()


def test_the_multipole_method_says_how_accurate_it_was():
    found = run("plummer", "--bodies", "2500", "--steps", "2", "--force", "fmm", "--reverse")
    assert (found["force"], found["accuracy"], found["workers"]) == ("fmm", 1e-4, 1)
    assert 1e-6 < found["force_rms"] < 1e-4
    assert 0 < found["residual"] < 1e-9
    assert found["timings"].keys() >= {"sort", "traversal", "far", "near", "total"}
    assert found["quantities"]["momentum"]["max_abs_error"] == 0
    assert found["digest_reversed"] == found["digest_start"]


def test_bodies_that_merge_take_their_energy_out_as_flux():
    options = ("--bodies", "100", "--steps", "60", "--collisions", "merge", "--radius", "0.05")
    found = run("plummer", *options)
    energy = found["quantities"]["energy"]
    assert energy["flux"][0] < 0
    assert energy["verdict"] == "BOUNDED"
    assert found["quantities"]["momentum"]["max_abs_error"] == 0
    assert found["quantities"]["information"]["verdict"] == "UNKNOWN"


def test_an_adaptive_integrator_claims_no_more_than_round_off():
    found = run("outer_solar_system", "--integrator", "ias15", "--steps", "200")
    quantities = found["quantities"]
    assert quantities["energy"]["law"] == quantities["momentum"]["law"] == "round-off"
    assert 0 < quantities["energy"]["max_rel_error"] < 1e-14
    assert quantities["information"]["verdict"] == "UNKNOWN"


def test_processes_change_no_bit_of_the_result():
    options = ("plummer", "--bodies", "300", "--steps", "4", "--reverse")
    alone = run(*options)
    shared = run(*options, "--workers", "2", "--transport", "processes", "--strategy", "locality")
    assert shared["digest_end"] == alone["digest_end"]
    assert shared["digest_reversed"] == alone["digest_start"]
    assert (alone["workers"], shared["workers"]) == (1, 2)
    assert shared["distribution"]["transport"] == "processes"
    assert shared["distribution"]["events"] == []
    assert shared["distribution"]["spot_checks"] > 0
    assert shared["timings"].keys() >= {"ranks", "agree", "total"}


def run(*arguments):
    """Run the command in this process; return its JSON."""
    output = io.StringIO()
    call_command("simulate", *arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def refused(*arguments):
    """Run the command in this process; return its refusal."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("simulate", *arguments, "--json", stdout=output, stderr=errors)
    assert (ended.value.code, output.getvalue()) == (2, "")
    return errors.getvalue()
