"""``make up`` as people meet it: started, refused, hurt, stopped. Nothing is pretended."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from aii_site import supervisor
from aii_site.embedded import ServiceError, processes
from aii_site.embedded.home import CHECKOUT
from aii_site.supervisor import Child, Deaths, Supervisor

# What the test run itself was given is not for the platform under test.
NOT_INHERITED = {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY", "AII_PROCESS"}
NOT_INHERITED |= {"DJANGO_SETTINGS_MODULE", "AII_HOME", "AII_PORT"}


@pytest.fixture
def home():
    folder = Path(tempfile.mkdtemp(prefix="aii-up-"))
    folder.chmod(0o711)  # The servers' account passes through.
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


class Platform:
    """One ``make up`` under test."""

    def __init__(self, home: Path, port: int, **environment: str) -> None:
        self.home, self.port = home, port
        given = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aii_site.up"],
            cwd=CHECKOUT,
            env={**given, "AII_HOME": str(home), "AII_PORT": str(port), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, words: str) -> str:
        """Read its progress up to a line with these words."""
        said = []
        for line in self.process.stdout:
            said.append(line)
            if words in line:
                return "".join(said)
        raise AssertionError("".join(said) + self.process.stderr.read())

    def end(self, seconds: float = 60) -> tuple[int, str, str]:
        """Wait for its end: exit code, standard output, standard error."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def children(self) -> dict[str, psutil.Process]:
        """Its direct children by a word of their command."""
        words = ("postgres", "valkey-server", "daphne", "worker", "beat", "collect")
        words += ("report_nodes", "sequence_log")
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                command = " ".join(child.cmdline()).replace(str(CHECKOUT), "")
                found.update({word: child for word in words if re.search(rf"\b{word}\b", command)})
        return found

    def ready(self) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/readyz")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@contextlib.contextmanager
def platform(home: Path, port: int | None = None, **environment: str):
    """A platform that is killed in the end if it has not ended by then."""
    running = Platform(home, port or processes.choose_port(None), **environment)
    try:
        yield running
    finally:
        with running.process:
            running.process.kill()


def left(home: Path) -> list[str]:
    """The processes that still belong to a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            belongs = process.environ().get("AII_HOME") == str(home)
            if belongs or process.cwd().startswith(str(home)):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


def nothing_left(home: Path, seconds: float = 20) -> bool:
    processes.wait_until(lambda: not left(home), seconds=seconds, pause_s=0.2)
    return left(home) == []


class TestRefusals:
    def test_a_taken_port_before_anything_is_started(self, home):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with platform(home, port) as up:
                code, out, err = up.end()
        assert code == 1
        assert err == (
            f"AII: Port {port} is taken by another program. Stop it, or choose another port: "
            "AII_PORT=8001 make up\n"
        )
        assert out == ""
        assert not home.exists()

    @pytest.mark.parametrize("port", ["", "0", "65536", "80a", "-1", "٨٠"])
    def test_a_port_that_is_none(self, home, port):
        with platform(home, AII_PORT=port) as up:
            code, _, err = up.end()
        assert (code, err) == (
            1,
            f"AII: AII_PORT is {port!r}; it must be a number from 1 to 65535.\n",
        )
        assert not home.exists()

    def test_a_database_without_a_redis(self, home):
        with platform(home, DATABASE_URL="postgresql://elsewhere/aii") as up:
            code, _, err = up.end()
        assert code == 1
        assert "DATABASE_URL is set alone" in err
        assert not home.exists()

    def test_a_home_that_cannot_be_written(self, home):
        home.parent.mkdir(exist_ok=True)
        home.write_text("a file")
        with platform(home) as up:
            code, _, err = up.end()
        assert code == 1
        assert err.startswith(f"AII: AII cannot use {home}")
        assert "Traceback" not in err

    def test_a_command_that_fails_leaves_nothing_running(self, home):
        with platform(home, DJANGO_SETTINGS_MODULE="no_such_settings") as up:
            code, _, err = up.end()
        assert code == 1
        assert (
            "manage.py migrate failed: ModuleNotFoundError: No module named 'no_such_settings'"
            in err
        )
        assert nothing_left(home, seconds=1)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_stopping_it_in_the_middle_of_the_start(self, home, number):
        with platform(home) as up:
            up.wait_for("Starting PostgreSQL")
            up.process.send_signal(number)
            code, out, err = up.end()
        assert (code, err) == (0, "")
        assert "Stopped" in out
        assert nothing_left(home, seconds=1)


class TestDeaths:
    def test_the_first_restart_is_at_once_and_the_next_wait_longer(self):
        deaths = Deaths()
        assert [deaths.record(now_s) for now_s in (0, 1, 2, 3, 4)] == [0, 0.5, 1, 2, 4]
        assert not deaths.are_too_many
        deaths.record(5)
        assert deaths.are_too_many

    def test_deaths_of_long_ago_are_forgiven(self):
        deaths = Deaths()
        for now_s in range(0, 600, 13):  # Never more than five within a minute.
            deaths.record(now_s)
            assert not deaths.are_too_many


class TestSupervisor:
    def child(self, folder: Path, script: str, **options) -> Child:
        environment = {"PATH": os.environ["PATH"]}
        log = folder / "task.log"
        return Child("task", ["/bin/sh", "-c", script], environment, log, **options)

    def test_what_keeps_dying_is_given_up_with_its_last_words(self, tmp_path, monkeypatch):
        monkeypatch.setattr(supervisor, "BACK_OFF_S_MAX", 0.01)
        said = []
        child = self.child(tmp_path, "echo 'no room for me' >&2; exit 3")
        watched = Supervisor(None, [child], said.append)
        with pytest.raises(ServiceError, match="task died 6 times within 60 s: no room for me"):
            watched.watch()
        assert len(said) == 5
        assert said[0].startswith("task ended with code 3; starting it again")

    def test_a_death_before_it_is_ready_is_a_failure(self, tmp_path):
        watched = Supervisor(None, [self.child(tmp_path, "echo 'bad settings'; exit 1")], print)
        watched.start()
        assert processes.wait_until(watched._children[0].has_died, seconds=5)
        with pytest.raises(
            ServiceError, match="task ended with code 1 while AII was starting: bad"
        ):
            watched.refuse_deaths()
        watched.stop()

    def test_stopping_ends_the_children_of_children_too(self, tmp_path):
        """A pool of task workers whose master is gone."""
        script = "trap '' TERM; (trap '' TERM; echo $$ >&2; sleep 300) & sleep 300"
        child = self.child(tmp_path, script, patience_s=0.2)
        watched = Supervisor(None, [child], print)
        watched.start()
        group = child.process.pid
        assert processes.wait_until(lambda: processes.size(child.log) > 0, seconds=5)
        watched.stop()
        assert processes.wait_until(lambda: not living_members(group), seconds=2)

    def test_a_killed_supervisor_leaves_no_child_of_a_child(self, tmp_path):
        """Task workers in mid-task outlive their master; the guardian ends them."""
        program = """
            import sys, time
            from pathlib import Path
            from aii_site.supervisor import Child, Supervisor
            script = "(trap '' TERM INT; sleep 300) & wait"
            child = Child("task", ["/bin/sh", "-c", script], {}, Path(sys.argv[1]))
            Supervisor(None, [child], print).start()
            print(child.process.pid, flush=True)
            time.sleep(300)
        """
        command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "task.log")]
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as killed:
            group = int(killed.stdout.readline())
            assert processes.wait_until(lambda: len(living_members(group)) >= 2, seconds=5)
            killed.kill()
        assert processes.wait_until(lambda: not living_members(group), seconds=5)

    def test_a_busy_pool_is_killed_so_that_its_master_can_hand_the_tasks_back(self, tmp_path):
        """The master ends by itself after its pool: that is when it gives the tasks back."""
        script = "trap 'ending=1' TERM; sh -c 'trap \"\" TERM; sleep 300' & pool=$!; "
        script += "echo ready; wait $pool; wait $pool; echo handed back; exit 0"
        child = self.child(tmp_path, script, patience_s=0.3, has_pool=True)
        watched = Supervisor(None, [child], print)
        watched.start()
        assert processes.wait_until(lambda: processes.size(child.log) > 0, seconds=5)
        watched.stop()
        assert "handed back" in child.log.read_text()


def living_members(group: int) -> list[int]:
    """The processes of a group, without the dead that nobody has collected yet."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
class TestPlatform:
    def test_from_nothing_to_ready_and_again_with_the_same_people(self, home):
        with platform(home) as up:
            said = up.wait_for("Stop: Ctrl-C")
            assert up.ready() == 200
            assert "owner@acme" in said
            password = re.search(r"password of all of them: (\S+)", said)[1]
            assert not [
                child for child in up.children().values() if "DATABASE_OWNER_URL" in child.environ()
            ], "a process other than the migrations has the owner's key"
            up.process.send_signal(signal.SIGINT)
            assert up.end()[0] == 0
        assert nothing_left(home, seconds=2)
        with platform(home) as up:
            said = up.wait_for("Stop: Ctrl-C")
            # What makes the second start quick; its seconds are for a benchmark to measure.
            assert "Making" not in said
            assert "Bringing the database up to date" not in said
            assert f"password of all of them: {password}" in said
            up.process.terminate()
            assert up.end()[0] == 0
        assert nothing_left(home, seconds=2)

    def test_whatever_is_killed_comes_back(self, home):
        with platform(home) as up:
            up.wait_for("Stop: Ctrl-C")
            ports = json.loads((home / "layout.json").read_text())
            for word in (
                "postgres",
                "valkey-server",
                "daphne",
                "worker",
                "collect",
                "report_nodes",
                "sequence_log",
            ):
                before = up.children()[word]
                before.kill()

                def is_back(word=word, before=before):
                    now = up.children().get(word)
                    return now is not None and now.pid != before.pid and up.ready() == 200

                assert processes.wait_until(is_back, seconds=30, pause_s=0.2), word
            assert json.loads((home / "layout.json").read_text()) == ports

            with platform(home) as second:
                code, _, err = second.end()
            assert code == 1
            assert f"already runs in {home}" in err
            assert up.ready() == 200

            up.process.kill()
            up.process.wait()
            assert nothing_left(home), left(home)
        with platform(home) as up:
            up.wait_for("Stop: Ctrl-C")
            assert up.ready() == 200

    def test_a_database_that_keeps_dying_stops_everything_with_a_sentence(self, home):
        with platform(home) as up:
            up.wait_for("Stop: Ctrl-C")
            deadline = time.monotonic() + 90
            while up.process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(KeyError, psutil.Error):
                    up.children()["postgres"].kill()
                time.sleep(0.3)
            code, _, err = up.end()
        assert code == 1
        assert "AII: postgres died 6 times within 60 s" in err
        assert nothing_left(home, seconds=2)
