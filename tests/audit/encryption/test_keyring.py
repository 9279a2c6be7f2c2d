"""Where KEKs come from: text, file, program; and what is refused."""

from __future__ import annotations

import base64
import os
import pickle
import sys
from pathlib import Path

import pytest

from audit.encryption import keyring
from audit.encryption.errors import KekUnusable
from audit.encryption.kek_command import CommandSource
from audit.encryption.keyring import FileSource, LiveKeyring, configured_source, parse_keyring

ONE, TWO = keyring.new_key_text(), keyring.new_key_text()


def test_the_first_key_is_current_and_all_are_found():
    ring = parse_keyring(f"{ONE},\n  {TWO}\n", "the test")
    assert ring.ids == [parse_keyring(ONE, "x").current.id, parse_keyring(TWO, "x").current.id]
    assert ring.current.id == ring.ids[0]
    wrapped = ring.current.wrap(b"k" * 32, b"")
    assert ring.find(ring.ids[0]).unwrap(wrapped, b"") == b"k" * 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secretsecret",
        ONE[:-4],
        ONE + ONE,
        f"{ONE} {ONE}",
        base64.b64encode(bytes(32)).decode(),
        base64.b64encode(b"a" * 16 + b"b" * 16).decode(),
        base64.b64encode(os.urandom(16)).decode(),
        ONE.replace("=", "*"),
        " ".join(keyring.new_key_text() for _ in range(9)),
    ],
    # Not the values, which are drawn anew in each process.
    ids=range(10),
)
def test_what_is_no_key_is_refused_without_being_repeated(text):
    with pytest.raises(KekUnusable) as refusal:
        parse_keyring(text, "the test")
    assert refusal.value.__cause__ is None
    assert not any(entry in str(refusal.value) for entry in text.split())


def test_a_kek_shows_its_id_and_nothing_else():
    kek = parse_keyring(ONE, "x").current
    assert repr(kek) == f"<KEK {kek.id}>"
    assert kek.id not in ONE
    with pytest.raises(TypeError):
        pickle.dumps(kek)
    assert not hasattr(kek, "__dict__")


class TestFile:
    def test_only_its_owner_may_read_it(self, tmp_path):
        source = FileSource(tmp_path / "keys" / "kek")
        source.write(ONE)
        assert oct(source.path.stat().st_mode & 0o777) == "0o600"
        assert source.load().current.id == parse_keyring(ONE, "x").current.id
        for mode in (0o640, 0o604, 0o620, 0o644):
            source.path.chmod(mode)
            with pytest.raises(KekUnusable, match="chmod 600"):
                source.load()
        source.path.chmod(0o400)
        source.load()

    def test_a_missing_a_long_and_a_binary_file_are_refused(self, tmp_path):
        source = FileSource(tmp_path / "kek")
        with pytest.raises(KekUnusable, match="No such file"):
            source.load()
        for content in (b"a" * 5000, b"\xff\xfe"):
            source.path.write_bytes(content)
            source.path.chmod(0o600)
            with pytest.raises(KekUnusable):
                source.load()
        with pytest.raises(KekUnusable):
            FileSource(tmp_path).load()

    def test_a_replaced_file_is_read_again(self, tmp_path):
        source = FileSource(tmp_path / "kek")
        source.write(ONE)
        ring = LiveKeyring(source)
        old = ring.get().current.id
        source.write(f"{TWO}\n{ONE}")
        assert ring.get().ids == [parse_keyring(TWO, "x").current.id, old]
        with pytest.raises(KekUnusable, match="not among"):
            ring.find("0" * 16)


class TestConfiguration:
    def test_two_sources_are_refused(self, tmp_path):
        with pytest.raises(KekUnusable, match="not both"):
            configured_source({"AII_KEK": ONE, "AII_KEK_FILE": "x"}, tmp_path)

    def test_none_is_refused_unless_the_home_has_a_file(self, tmp_path):
        with pytest.raises(KekUnusable, match="AII_KEK_FILE"):
            configured_source({}, tmp_path)
        keyring.home_file(tmp_path).write(ONE)
        expected = parse_keyring(ONE, "x").ids
        assert configured_source({}, tmp_path).load().ids == expected
        environment = {"AII_KEK_FILE": str(tmp_path / "keys" / "kek")}
        assert configured_source(environment, Path("/nowhere")).load().ids == expected
        assert configured_source({"AII_KEK": ONE}, Path("/nowhere")).load().ids == expected


VAULT = """
import base64, sys, time
assert sys.argv[1:] == ["unwrap"]
wrapped = sys.stdin.read().strip()
print("token=hunter2", file=sys.stderr)
if wrapped == "slow": print("half a key", flush=True); time.sleep(60)
if wrapped == "denied": sys.exit(3)
if wrapped == "wrong": print("hunter2hunter2"); sys.exit(0)
print(base64.b64encode(bytes(b ^ 0x55 for b in base64.b64decode(wrapped))).decode())
"""


def wrapped(text: str) -> str:
    return base64.b64encode(bytes(b ^ 0x55 for b in base64.b64decode(text))).decode()


class TestCommand:
    """The vault is the outside world: a small program stands for it."""

    @pytest.fixture
    def vault(self, tmp_path) -> list[str]:
        program = tmp_path / "a vault.py"
        program.write_text(VAULT)
        return [sys.executable, str(program)]

    def environment(self, vault, *keys: str) -> dict[str, str]:
        return {
            "AII_KEK_COMMAND": f"'{vault[0]}' '{vault[1]}'",
            "AII_KEK_WRAPPED": ",".join(keys),
        }

    def test_each_wrapped_key_is_asked_for(self, vault, tmp_path):
        source = configured_source(self.environment(vault, wrapped(ONE), wrapped(TWO)), tmp_path)
        assert source.load().ids == parse_keyring(f"{ONE} {TWO}", "x").ids

    def test_wrapped_keys_may_come_from_a_file(self, vault, tmp_path):
        (tmp_path / "wrapped").write_text(wrapped(ONE) + "\n")
        environment = self.environment(vault) | {"AII_KEK_WRAPPED_FILE": str(tmp_path / "wrapped")}
        assert configured_source(environment, tmp_path).load().ids == parse_keyring(ONE, "x").ids
        environment["AII_KEK_WRAPPED"] = wrapped(ONE)
        with pytest.raises(KekUnusable, match="not both"):
            configured_source(environment, tmp_path)

    def test_no_shell_reads_the_command_line(self, tmp_path):
        victim = tmp_path / "made"
        environment = {"AII_KEK_COMMAND": f"true; touch {victim}", "AII_KEK_WRAPPED": wrapped(ONE)}
        with pytest.raises(KekUnusable):
            configured_source(environment, tmp_path).load()
        assert not victim.exists()

    @pytest.mark.parametrize("answer", ["denied", "wrong", "slow"])
    def test_a_failure_says_nothing_of_what_the_program_said(self, vault, answer, caplog, capfd):
        source = CommandSource(vault, [answer], timeout_s=0.5)
        with pytest.raises(KekUnusable) as refusal:
            source.load()
        heard = (
            str(refusal.value)
            + repr(refusal.value.__cause__)
            + caplog.text
            + capfd.readouterr().err
        )
        assert "hunter2" not in heard
        assert "half a key" not in heard

    def test_a_program_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(KekUnusable, match="nowhere unwrap cannot be run"):
            CommandSource(["/nowhere"], ["x"], timeout_s=1).load()

    @pytest.mark.parametrize("line", ["'open", ""])
    def test_a_command_line_that_is_none_is_refused(self, line, tmp_path):
        with pytest.raises(KekUnusable):
            CommandSource.from_environment({"AII_KEK_COMMAND": line, "AII_KEK_WRAPPED": "x"})
        with pytest.raises(KekUnusable, match="AII_KEK_WRAPPED"):
            CommandSource.from_environment({"AII_KEK_COMMAND": "true"})
