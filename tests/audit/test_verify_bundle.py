"""The stand-alone verifier: run as a stranger runs it, over true bundles and tampered ones."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import verify_bundle
from audit.verify_bundle import Failed, Unreadable, load, verify
from tests.audit import bundles, rfc9162
from tests.audit.bundles import bundle, entry, key_text

FILE = Path(verify_bundle.__file__)
KEY = key_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Run a copy of the file elsewhere, without site-packages, environment or this project."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copy(FILE, folder / "verify_bundle.py")

    def run(content, *options, name="bundle.json"):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-I", "-S", "verify_bundle.py", name, *options],
            cwd=folder,
            env={},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    run.folder = folder
    return run


class TestAlone:
    def test_says_what_was_proven(self, alone):
        code, text = alone(bundle(3, 11, to_second=9), "--key", KEY)
        assert code == 0
        assert text.startswith("VERIFIED: log.example/log/acme\nEntries: 8 entries, 3 to 10;")
        assert "12:00:03.000000Z to 2026-03-01T12:00:09.000000Z" in text
        assert "Contents: 16 parts shown and matching, 0 withheld" in text
        assert KEY in text
        assert "NOT COVERED" not in text
        assert "came with the bundle" not in text

    def test_says_what_was_not(self, alone):
        code, text = alone(bundle(3, 11))
        assert code == 0
        assert "NOT COVERED: the time after 2026-03-01T12:00:11.000000Z" in text
        assert "The key came with the bundle" in text

    def test_names_the_entry_that_was_changed(self, alone):
        bad = bundle()
        bad["entries"][4]["action"] = "run.cancelled"
        code, text = alone(bad, "--key", KEY)
        assert (code, text.split(":")[:2]) == (3, ["FAILED", " Entry 7 ('run.cancelled')"])
        code, text = alone(bad, "--key", KEY, "--json")
        assert code == 3
        assert json.loads(text)["entry"] == 7

    def test_a_forger_with_a_key_of_his_own(self, alone):
        forged = bundle(secret=bundles.OTHER_SECRET)
        assert alone(forged)[0] == 0  # It agrees with itself, and says where its key came from.
        code, text = alone(forged, "--key", KEY)
        assert (code, "not signed" in text) == (3, True)

    def test_keys_from_a_file_and_one_object_as_the_answer(self, alone):
        (alone.folder / "keys").write_text(
            f"{key_text(secret=bundles.OTHER_SECRET)}\n\n{KEY}  (from 2026)\r\n", encoding="utf-8"
        )
        assert alone(bundle(), "--key", f"{KEY}  (from 2026)")[0] == 0
        assert "missing: No such file" in alone(bundle(), "--key", "missing")[1]
        code, text = alone(bundle(), "--key", "keys", "--json")
        answer = json.loads(text)
        assert (code, answer["verified"], answer["count"], answer["key_given"]) == (
            0,
            True,
            8,
            True,
        )

    def test_continues_from_what_was_kept(self, alone):
        (alone.folder / "march.json").write_text(json.dumps(bundle(0, 6)))
        code, text = alone(bundle(3, 11), "--key", KEY, "--earlier", "march.json")
        assert (code, "Continued from the head you kept: 6 entries" in text) == (0, True)
        # The same log with another past, from the same key: a split view.
        past = [entry(number) for number in range(11)]
        past[1] = entry(1, action="run.failed")
        other = bundle(3, 11, rows=past)
        assert alone(other, "--key", KEY)[0] == 0
        code, text = alone(other, "--key", KEY, "--earlier", "march.json")
        assert (code, "not continued from the head of 6 entries" in text) == (3, True)
        code, text = alone(bundle(7, 11), "--key", KEY, "--earlier", "march.json")
        assert (code, "cannot be compared" in text) == (2, True)

    @pytest.mark.parametrize(
        ("text", "options"),
        [
            ("", ()),
            ("{", ()),
            ("[]", ()),
            ("{}", ()),
            ("[" * 100_000, ()),
            ('{"format": "aii-bundle/2"}', ()),
            ('{"format": "aii-bundle/1", "format": "aii-bundle/1"}', ()),
            (json.dumps(bundle()), ("--key", "nonsense")),
            (json.dumps(bundle()), ("--key", KEY[:-4])),
            (json.dumps(bundle()), ("--key", key_text("another/log"))),
            (json.dumps(bundle()), ("--earlier", "missing.json")),
        ],
    )
    def test_what_cannot_be_read(self, alone, text, options):
        code, answer = alone(text, *options)
        assert (code, answer.split(":")[0]) == (2, "UNREADABLE")


class TestWindows:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 40), st.data())
    def test_every_window_of_a_true_log(self, size, data):
        first = data.draw(st.integers(0, size))
        kept = data.draw(st.integers(first, size))
        earlier = json.dumps(bundle(0, kept)) if kept else None
        found = verify(load(json.dumps(bundle(first, size))), [KEY], earlier)
        assert (found["count"], found["head"]["size"]) == (size - first, size)

    def test_an_empty_window_is_proven_too(self):
        found = verify(bundle(7, 7), [KEY])
        assert (found["count"], found["first"], found["last"]) == (0, 7, 6)

    def test_withheld_contents_are_counted(self):
        rows = [entry(number) for number in range(11)]
        for row in rows[5:8]:
            row["actor"]["opened"] = None
        sealed = rows[6]["details"].pop("sealed")
        rows[6]["details"]["sealed_digest"] = bundles.sha256(
            bundles.base64.b64decode(sealed)
        ).hexdigest()
        assert verify(bundle(3, 11, rows=rows), [KEY])["contents"] == {"shown": 13, "withheld": 3}


def places(value, path=()):
    """Yield the path of every leaf of a JSON value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, each in inner:
        yield from places(each, (*path, name))
    if not inner:
        yield path


def at(value, path):
    for name in path:
        value = value[name]
    return value


def bend(value):
    """Return other values for this one."""
    if isinstance(value, str):
        middle = len(value) // 2
        swapped = "A" if value[middle : middle + 1] != "A" else "B"
        return ["", value + "\n", value[:middle] + swapped + value[middle + 1 :], None, 7, [value]]
    if isinstance(value, int):
        return [value + 1, value - 1, -value - 1, 2**70, True, str(value), float(value), None]
    return [7, "x", {}]


class TestTampering:
    def test_every_value_of_a_bundle(self):
        """Whatever is changed anywhere is refused: nothing in a bundle is decoration."""
        good = bundle(3, 8)
        checked = 0
        for path in places(good):
            if path[0] == "keys":
                continue  # Not trusted, and not looked at when a key is given.
            for other in bend(at(good, path)):
                bad = copy.deepcopy(good)
                at(bad, path[:-1])[path[-1]] = other
                if path[0] == "window" and self.is_another_true_window(bad, 3, 8):
                    continue
                if path[-1] == "opened" or (other is None and path[-2:] == ("start", "note")):
                    continue  # Withholding is told apart, in its own test.
                with pytest.raises((Failed, Unreadable)):
                    verify(bad, [KEY])
                checked += 1
        assert checked > 500

    @staticmethod
    def is_another_true_window(bad, first, size):
        window = bad["window"]
        return (
            window.keys() == {"from", "to", "covered_to"}
            and all(verify_bundle.TIME.fullmatch(str(each)) for each in window.values())
            and bundles.stamp(first) <= window["from"] <= window["to"]
            and window["covered_to"] == min(window["to"], bundles.stamp(size))
        )

    def test_every_member_taken_away_or_added(self):
        good = bundle(3, 6)
        holders = {path[:depth] for path in places(good) for depth in range(len(path))}
        for path in holders:
            holder = at(good, path)
            for name in list(holder) if isinstance(holder, dict) else range(len(holder)):
                if path[:1] == ("keys",) or name in ("keys", "opened"):
                    continue
                bad = copy.deepcopy(good)
                del at(bad, path)[name]
                with pytest.raises((Failed, Unreadable)):
                    verify(bad, [KEY])
            bad = copy.deepcopy(good)
            if isinstance(holder, dict):
                at(bad, path)["remark"] = "Nothing to see."
            elif path != ("keys",):
                at(bad, path).append(copy.deepcopy(holder[-1]))
            else:
                continue
            with pytest.raises((Failed, Unreadable)):
                verify(bad, [KEY])

    @pytest.mark.parametrize("place", [0, 3, 7])
    def test_an_entry_left_out(self, place):
        bad = bundle()
        del bad["entries"][place]
        with pytest.raises(Failed) as failure:
            verify(bad, [KEY])
        assert failure.value.entry == 3 + place
        # Also when those after it are numbered anew, and the heads' sizes with them.
        for number, row in enumerate(bad["entries"], 3):
            row["index"] = number
        with pytest.raises(Failed, match="missing"):
            verify(bad, [KEY])

    def test_entries_changed_places(self):
        bad = bundle()
        rows = bad["entries"]
        rows[2], rows[3] = rows[3], rows[2]
        with pytest.raises(Failed) as failure:
            verify(bad, [KEY])
        assert failure.value.entry == 5
        rows[2]["index"], rows[3]["index"] = 5, 6
        with pytest.raises(Failed, match="signed root"):
            verify(bad, [KEY])

    def test_an_entry_changed_with_its_leaf_hash(self):
        bad = bundle()
        bad["entries"][1] = entry(4, action="run.failed")
        with pytest.raises(Failed, match="signed root"):
            verify(bad, [KEY])

    def test_an_entry_slipped_in(self):
        bad = bundle()
        bad["entries"].insert(2, copy.deepcopy(bad["entries"][2]))
        with pytest.raises(Failed) as failure:
            verify(bad, [KEY])
        assert failure.value.entry == 6

    def test_contents_that_were_never_logged(self):
        bad = bundle()
        bad["entries"][2]["details"]["opened"]["text"] = '{"after": {"steps": 7}}'
        with pytest.raises(Failed, match=r"Entry 5 .*details shows"):
            verify(bad, [KEY])

    def test_values_pushed_over_the_border_of_a_line(self):
        """The same bytes with other borders: a value would move into its neighbour's place."""
        bad = bundle()
        row = bad["entries"][0]
        row["who_kind"], row["who_id"] = "person\np1", ""
        with pytest.raises(Failed, match="Entry 3"):
            verify(bad, [KEY])

    @pytest.mark.parametrize("head", ["start", "end"])
    def test_a_head_of_another_tenant_under_the_same_key(self, head):
        bad, other = bundle(), bundle(tenant="globex")
        bad[head]["note"] = other[head]["note"]
        with pytest.raises(Failed, match=r"not signed for log.example/log/acme"):
            verify(bad, [KEY])
        with pytest.raises(Failed):
            verify({**other, "tenant": "acme"}, [KEY])

    def test_a_tail_cut_with_an_older_head(self):
        """The older head is signed, but the window reaches past its time, and says so."""
        older = bundle(3, 8, to_second=60)
        assert verify(older, [KEY])["window"]["covered_to"] == bundles.stamp(8)
        older["window"]["covered_to"] = bundles.stamp(60)
        with pytest.raises(Failed, match="another time"):
            verify(older, [KEY])

    def test_an_earlier_head_from_inside_the_window(self):
        bad = bundle(5, 11)
        bad["window"]["from"] = bundles.stamp(4)
        with pytest.raises(Failed, match="entries may be missing"):
            verify(bad, [KEY])

    def test_clocks_turned_back(self):
        rows = [bundles.data(entry(number), "acme") for number in range(11)]
        bad = bundle()
        bad["start"]["note"] = bundles.note(f"{bundles.LOG}/acme", rows[:3], 12)
        bad["window"]["from"] = bundles.stamp(13)
        with pytest.raises(Failed, match="dated before"):
            verify(bad, [KEY])
        bad = bundle()
        leaf = b"aii/head/1\n" + bad["end"]["note"].rpartition("\n\n")[0].encode() + b"\n"
        bad["checkpoint"] = bundles.note(bundles.LOG, [leaf], 4)
        bad["end"]["global_index"], bad["proofs"]["head_inclusion"] = 0, []
        with pytest.raises(Failed, match="dated before"):
            verify(bad, [KEY])

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_any_character(self, data):
        text = json.dumps(bundle(2, 5))
        place = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.characters(codec="utf-8"))
        bad = text[:place] + other + text[place + 1 :]
        try:
            found = load(bad)
        except Unreadable:
            return
        if {**found, "keys": 0} == {**json.loads(text), "keys": 0}:
            return
        if "window" in found and self.is_another_true_window(found, 2, 5):
            return
        with pytest.raises((Failed, Unreadable)):
            verify(found, [KEY])


class TestVendoredSignatures:
    # RFC 8032 §7.1, tests 1 to 3.
    VECTORS = (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e397"
            "01cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f361"
            "3d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76"
            "0984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    )

    @pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
    def test_vectors_of_the_rfc(self, public, message, signature):
        public, message, signature = map(bytes.fromhex, (public, message, signature))
        assert verify_bundle.is_signed_slowly(public, signature, message)
        assert not verify_bundle.is_signed_slowly(public, signature, message + b"\0")
        for bit in range(0, 512, 7):
            turned = bytearray(signature)
            turned[bit // 8] ^= 1 << bit % 8
            assert not verify_bundle.is_signed_slowly(public, bytes(turned), message)

    @settings(max_examples=25, deadline=None)
    @given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
    def test_agrees_with_the_library(self, seed, message, bit):
        assert verify_bundle.HAS_LIBRARY
        secret = bundles.Ed25519PrivateKey.from_private_bytes(seed)
        public = secret.public_key().public_bytes_raw()
        turned = bytearray(secret.sign(message))
        assert verify_bundle.is_signed_slowly(public, bytes(turned), message)
        turned[bit // 8] ^= 1 << bit % 8
        for signature in (bytes(turned), bytes(turned[:63])):
            slowly = verify_bundle.is_signed_slowly(public, signature, message)
            assert slowly is verify_bundle.is_signed(public, signature, message) is False

    def test_refuses_a_second_form_of_the_same_signature(self):
        """s + L would verify in sloppy code: one signature must have one form."""
        public, message, signature = map(bytes.fromhex, self.VECTORS[1])
        s = int.from_bytes(signature[32:], "little") + verify_bundle.L
        other = signature[:32] + s.to_bytes(32, "little")
        assert not verify_bundle.is_signed_slowly(public, other, message)
        assert not verify_bundle.is_signed(public, other, message)


class TestTrees:
    def test_agrees_with_the_rfc_written_out(self):
        entries = [bytes([number]) for number in range(40)]
        leaves = [verify_bundle.leaf_hash(each) for each in entries]
        for size in range(1, 34):
            root = rfc9162.mth(entries[:size])
            for first in range(size):
                path = rfc9162.path(first, entries[:size])
                assert verify_bundle.inclusion_root(leaves[first], first, size, path) == root
                sides = rfc9162.sides(first, size, entries[:size])
                found = verify_bundle.range_roots(leaves[first:size], first, sides, size)
                assert found == (root, root)
                if first:
                    path = rfc9162.proof(first, entries[:size])
                    old = rfc9162.mth(entries[:first])
                    verify_bundle.check_consistency(first, old, size, root, path)
