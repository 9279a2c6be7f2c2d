"""A round of encrypted totals, and the file with which a stranger checks it."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conservation import Kind, Status, paillier, totals, verify_totals
from conservation.totals import GlobalLaw, Posting, Silence
from conservation.verify_totals import Failed, Malformed

PRIVATE = paillier.generate_key(1024)
KEY = PRIVATE.public
TABLE = paillier.Encryptor(KEY)
PUBLISHED_KEY = totals.publish_key(PRIVATE)
ENERGY = GlobalLaw("energy", "J", totals.FINE_QUANTUM_LOG2, Kind.BOUNDED)
MOMENTUM = GlobalLaw("momentum", "kg·m/s", totals.FINE_QUANTUM_LOG2, Kind.ROUND_OFF)
BITS = GlobalLaw("information", "bit", 0, Kind.EXACT)


def hide(value: int) -> paillier.Ciphertext:
    return TABLE.encrypt(value).ciphertext


def post(name: str, before: int | None, now: int, flux: int = 0, limit: int = 0) -> Posting:
    if before is None:
        return Posting(name, hide(now))
    return Posting(name, hide(now), hide(before), hide(flux), hide(limit))


def publish(*laws, number=7, previous=None, participants=("a", "b")) -> dict:
    return totals.publish_round(
        copy.deepcopy(PUBLISHED_KEY),
        number=number,
        cut_off_at="2026-03-01T12:00:00Z",
        previous=previous,
        participants=participants,
        laws=laws,
    )


def law_of(law: GlobalLaw, *postings: Posting, silent=()) -> dict:
    return totals.publish_law(PRIVATE, law, postings, silent)


def written(document: dict) -> bytes:
    return json.dumps(document).encode()


def check(document: dict) -> dict:
    return verify_totals.check(verify_totals.load(written(document)), bits_min=1024)


class TestQuanta:
    @given(st.floats(allow_nan=False, allow_infinity=False, max_value=1e90, min_value=-1e90))
    def test_a_double_is_counted_to_the_last_bit_or_said_to_be_rounded(self, value):
        quanta, rounded = ENERGY.to_quanta(value)
        exact = Fraction(value) / Fraction(2) ** -200
        assert abs(quanta - exact) <= Fraction(1, 2)
        assert rounded == (quanta != exact)
        if value == 0 or abs(value) >= 2.0**-148:
            assert not rounded
            assert ENERGY.to_float(quanta) == value

    def test_what_is_smaller_than_a_quantum_is_rounded_half_to_even(self):
        assert ENERGY.to_quanta(2.0**-201) == (0, True)
        assert ENERGY.to_quanta(3 * 2.0**-201) == (2, True)
        assert ENERGY.to_quanta(2.0**-200) == (1, False)

    def test_bits_are_counted_by_one(self):
        assert BITS.to_quanta(1234.0) == (1234, False)
        assert BITS.quantum == "1"
        assert ENERGY.quantum == "2^-200"

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e91])
    def test_what_is_no_amount_is_refused(self, value):
        with pytest.raises(paillier.Refused):
            ENERGY.to_quanta(value)


class TestTheLaw:
    def test_holdings_that_changed_by_their_flux_alone_are_conserved(self):
        document = publish(law_of(BITS, post("a", 100, 160, flux=60), post("b", 50, 0, flux=-50)))
        (found,) = check(document)["laws"]
        assert (found["verdict"], found["balance"], found["limit"]) == ("CONSERVED", "0", "0")
        assert document["verdict"] == "CONSERVED"

    @pytest.mark.parametrize("off", [1, -1, 10**9])
    def test_one_quantum_that_appears_or_vanishes_is_violated(self, off):
        document = publish(law_of(BITS, post("a", 100, 160 + off, flux=60), post("b", 50, 50)))
        assert check(document)["verdict"] == "VIOLATED"

    def test_what_one_gives_another_takes_is_conserved(self):
        document = publish(law_of(BITS, post("a", 100, 70), post("b", 50, 80)))
        assert check(document)["verdict"] == "CONSERVED"

    @pytest.mark.parametrize(("drift", "verdict"), [(30, "BOUNDED"), (31, "VIOLATED")])
    def test_a_bounded_law_holds_up_to_the_sum_of_the_limits(self, drift, verdict):
        energy = law_of(ENERGY, post("a", 5, 5 + drift, limit=20), post("b", -7, -7, limit=10))
        assert check(publish(energy))["verdict"] == verdict

    def test_an_exact_law_takes_no_limit(self):
        document = publish(law_of(BITS, post("a", 1, 1, limit=1), post("b", 1, 1)))
        assert check(document)["verdict"] == "VIOLATED"

    def test_a_negative_limit_makes_no_room(self):
        document = publish(law_of(ENERGY, post("a", 1, 1, limit=-1), post("b", 1, 1)))
        assert check(document)["verdict"] == "VIOLATED"

    def test_silence_is_never_fine_and_never_a_violation(self):
        silent = [Silence("b", "did not answer")]
        for now in (100, 999):
            document = publish(law_of(BITS, post("a", 100, now), silent=silent))
            found = check(document)
            assert found["verdict"] == "UNKNOWN"
            assert found["laws"][0]["silent"] == 1

    def test_the_first_round_is_a_beginning_and_unknown(self):
        document = publish(law_of(BITS, post("a", None, 3), post("b", None, 4)))
        assert check(document)["verdict"] == "UNKNOWN"
        assert document["laws"][0]["balance"] is None

    def test_who_begins_is_not_compared_and_the_others_are(self):
        for now, verdict in ((100, "CONSERVED"), (101, "VIOLATED")):
            document = publish(law_of(BITS, post("a", 100, now), post("b", None, 5)))
            assert check(document)["verdict"] == verdict

    def test_the_gravest_law_speaks_for_the_round(self):
        good = law_of(BITS, post("a", 1, 1), post("b", 1, 1))
        bad = law_of(ENERGY, post("a", 1, 9), post("b", 1, 1))
        open_ = law_of(MOMENTUM, post("a", None, 1), post("b", None, 1))
        assert publish(good, bad, open_)["verdict"] == "VIOLATED"
        assert publish(good, open_)["verdict"] == "UNKNOWN"
        assert publish(good)["verdict"] == "CONSERVED"
        assert publish()["verdict"] == "UNKNOWN"

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 3), min_size=1, max_size=5))
    def test_the_published_balance_is_the_plain_one(self, rows):
        postings = [post(str(i), b, n, flux=f, limit=3) for i, (b, n, f) in enumerate(rows)]
        names = [each.participant for each in postings]
        document = publish(law_of(ENERGY, *postings), participants=names)
        balance = sum(n - b - f for b, n, f in rows)
        (found,) = check(document)["laws"]
        assert int(found["balance"]) == balance
        assert found["verdict"] == ("BOUNDED" if abs(balance) <= 3 * len(rows) else "VIOLATED")

    def test_half_a_posting_is_refused(self):
        with pytest.raises(paillier.Refused):
            Posting("a", hide(1), before=hide(1))

    def test_both_judges_agree(self):
        for kind in Kind:
            for balance, limit in ((0, 0), (1, 0), (-3, 3), (4, 3), (0, -1)):
                ours = totals.judge(kind, balance, limit)
                assert verify_totals.judge(str(kind), balance, limit) == str(ours)
        assert list(verify_totals.VERDICTS) == [
            str(Status(each)) for each in ("VIOLATED", "UNKNOWN", "BOUNDED", "CONSERVED")
        ]


GOOD = publish(
    law_of(BITS, post("a", 100, 160, flux=60), post("b", 50, 50)),
    law_of(ENERGY, post("a", 5, 6, limit=2), post("b", None, 4)),
)


def set_in(*path_and_value):
    *path, last, value = path_and_value

    def change(document):
        place = document
        for step in path:
            place = place[step]
        place[last] = value

    return change


def drop_a_posting(document):
    document["laws"][0]["postings"].pop()


def double_a_posting(document):
    document["laws"][0]["postings"].append(document["laws"][0]["postings"][0])


def hide_a_posting_as_silence(document):
    law = document["laws"][0]
    law["silent"].append({"participant": law["postings"].pop()["participant"], "why": "away"})


def swap_now_and_before(document):
    first = document["laws"][0]["postings"][0]
    first["now"], first["before"] = first["before"], first["now"]


def begin_anew(document):
    document["laws"][0]["postings"][0].update(before=None, flux=None, limit=None)


def say_conserved_about_silence(document):
    document["participants"].append("c")
    for law in document["laws"]:
        law["silent"].append({"participant": "c", "why": "away"})


BITS_POSTING = ("laws", 0, "postings", 0)
FAILURES = {
    "another sum": set_in("laws", 0, "balance", "sum", "1"),
    "another limit": set_in("laws", 1, "limit", "sum", "3"),
    "another randomness": set_in("laws", 0, "balance", "randomness", "2"),
    "no randomness": set_in("laws", 0, "balance", "randomness", "0"),
    "another ciphertext": set_in(*BITS_POSTING, "now", hide(160).to_hex(KEY)),
    "another flux": set_in(*BITS_POSTING, "flux", hide(60).to_hex(KEY)),
    "ciphertext zero": set_in(*BITS_POSTING, "now", "0" * KEY.hex_digits),
    "ciphertext past n²": set_in(*BITS_POSTING, "now", "f" * KEY.hex_digits),
    "ciphertext with a factor of n": set_in(
        *BITS_POSTING, "now", format(KEY.n, f"0{KEY.hex_digits}x")
    ),
    "bad beginning": set_in("laws", 1, "postings", 1, "now", format(KEY.n, f"0{KEY.hex_digits}x")),
    "a sum past its range": set_in("laws", 0, "balance", "sum", str(7 * KEY.value_max)),
    "another verdict": set_in("laws", 1, "verdict", "CONSERVED"),
    "another verdict of the round": set_in("verdict", "CONSERVED"),
    "another kind": set_in("laws", 1, "kind", "exact"),
    "another root": set_in("key", "roots", 3, "5"),
    "another key id": set_in("key", "id", "0" * 64),
    "fewer roots": set_in("key", "roots", []),
    "a posting too few": drop_a_posting,
    "a posting twice": double_a_posting,
    "silenced": hide_a_posting_as_silence,
    "swapped": swap_now_and_before,
    "begun anew": begin_anew,
    "silence called fine": say_conserved_about_silence,
    "a law twice": lambda document: document["laws"].append(document["laws"][0]),
    "a participant twice": lambda document: document["participants"].append("a"),
    "a stranger": lambda document: document["participants"].append("zoe"),
}
MALFORMED = {
    "no format": set_in("format", "aii-totals/2"),
    "no laws": set_in("laws", None),
    "a number as sum": set_in("laws", 0, "balance", "sum", 0),
    "a padded sum": set_in("laws", 0, "balance", "sum", "00"),
    "minus zero": set_in("laws", 0, "balance", "sum", "-0"),
    "a huge sum": set_in("laws", 0, "balance", "sum", "9" * 5000),
    "no balance": set_in("laws", 0, "balance", None),
    "capital digits": set_in(*BITS_POSTING, "now", "F" * KEY.hex_digits),
    "a short ciphertext": set_in(*BITS_POSTING, "now", "1"),
    "no flux": set_in(*BITS_POSTING, "flux", None),
    "no limit": set_in(*BITS_POSTING, "limit", None),
    "a list as posting": set_in(*BITS_POSTING[:-1], 0, []),
    "kind": set_in("laws", 0, "kind", "roughly"),
    "a boolean round": set_in("round", True),
    "nameless": set_in("participants", ["", "b"]),
    "participants that are lists": set_in("participants", [["a"], ["b"]]),
}


class TestAStrangersCheck:
    def test_the_untouched_round_is_verified(self):
        assert check(GOOD)["verdict"] == "BOUNDED"

    @pytest.mark.parametrize("change", FAILURES.values(), ids=FAILURES.keys())
    def test_a_round_that_does_not_hold(self, change):
        document = copy.deepcopy(GOOD)
        change(document)
        with pytest.raises(Failed) as refusal:
            check(document)
        assert str(refusal.value)

    @pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED.keys())
    def test_a_file_that_is_no_round(self, change):
        document = copy.deepcopy(GOOD)
        change(document)
        with pytest.raises(Malformed):
            check(document)

    def test_every_field_counts(self):
        """Whatever is taken out of the document, something is missed."""
        informative = {"bits", "previous"}

        def walk(place, path=()):
            if isinstance(place, dict):
                for name in place:
                    yield (*path, name)
                    yield from walk(place[name], (*path, name))
            elif isinstance(place, list):
                for index, each in enumerate(place):
                    yield from walk(each, (*path, index))

        for path in walk(GOOD):
            document = copy.deepcopy(GOOD)
            place = document
            for step in path[:-1]:
                place = place[step]
            was_null = place.pop(path[-1]) is None
            if path[-1] in informative or was_null:
                continue
            with pytest.raises((Failed, Malformed)):
                check(document)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"[" * 100_000,
            b'{"format": "aii-totals/1", "format": "aii-totals/1"}',
            b'{"format": "aii-totals/1", "round": 1.5}',
            b'{"format": "aii-totals/1", "round": NaN}',
            b"\xff\xfe\x00",
            b'{"format": "aii-totals/1", "round": ' + b"9" * 10_000 + b"}",
        ],
        ids=range(10),
    )
    def test_bytes_that_are_no_round(self, data):
        with pytest.raises(Malformed):
            verify_totals.check(verify_totals.load(data), bits_min=1024)

    def test_a_short_key_is_refused_by_default(self):
        with pytest.raises(Failed, match="1024 bits"):
            verify_totals.check(GOOD)

    def test_both_sides_name_a_key_and_its_numbers_alike(self):
        assert check(GOOD)["key_id"] == KEY.key_id
        assert verify_totals.KEY_ROOTS == paillier.KEY_ROOTS
        assert verify_totals.TERMS_MAX == paillier.TERMS_MAX
        assert verify_totals.FORMAT == totals.FORMAT
        assert (verify_totals.BITS_MIN, verify_totals.BITS_MAX) == (
            paillier.BITS_MIN,
            paillier.BITS_MAX,
        )


class TestAChainOfRounds:
    def setup_method(self):
        first = [post("a", None, 10), post("b", None, 20)]
        self.earlier = publish(law_of(BITS, *first), number=6)
        self.first = {each.participant: each.now for each in first}

    def later(self, before=None, *, now=(10, 20), link=None, participants=("a", "b")) -> dict:
        before = {**self.first, **(before or {})}
        postings = [
            Posting(name, hide(held), before[name], hide(0), hide(0))
            if before[name]
            else Posting(name, hide(held))
            for name, held in zip(("a", "b"), now, strict=True)
        ]
        previous = {"round": 6, "sha256": hashlib.sha256(written(self.earlier)).hexdigest()}
        return publish(
            law_of(BITS, *postings),
            previous=previous if link is None else link,
            participants=participants,
        )

    def chain(self, document: dict) -> None:
        check(document)
        verify_totals.check_chain(document, self.earlier, written(self.earlier))

    def test_a_round_that_goes_on(self):
        self.chain(self.later())

    def test_somebody_who_held_something_else_before(self):
        # The arithmetic alone cannot see it: it compares with what the posting says.
        document = self.later({"a": hide(11)}, now=(11, 20))
        assert check(document)["verdict"] == "CONSERVED"
        with pytest.raises(Failed, match="a did not hold before"):
            self.chain(document)

    def test_somebody_who_begins_anew(self):
        with pytest.raises(Failed, match="b did not hold before"):
            self.chain(self.later({"b": None}))

    def test_somebody_who_is_left_out(self):
        self.earlier["participants"].append("c")
        self.earlier["laws"][0]["silent"].append({"participant": "c", "why": "away"})
        with pytest.raises(Failed, match="c took part"):
            self.chain(self.later())

    @pytest.mark.parametrize(
        "link", [{"round": 6, "sha256": "0" * 64}, {"round": 5, "sha256": None}, {}]
    )
    def test_another_round_before_it(self, link):
        if link.get("sha256", "") is None:
            link = {**link, "sha256": hashlib.sha256(written(self.earlier)).hexdigest()}
        with pytest.raises((Failed, Malformed)):
            self.chain(self.later(link=link))

    def test_no_round_before_it(self):
        with pytest.raises(Failed, match="names no previous"):
            verify_totals.check_chain(GOOD, self.earlier, written(self.earlier))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A round under a key of full length, as it is downloaded."""
    private = paillier.generate_key()
    key, folder = private.public, tmp_path_factory.mktemp("rounds")
    hidden = [paillier.encrypt(key, value).ciphertext for value in (5, 5, 0, 0)]
    posting = Posting("a", hidden[0], *hidden[1:])
    document = totals.publish_round(
        totals.publish_key(private),
        number=1,
        cut_off_at="2026-03-01T12:00:00Z",
        previous=None,
        participants=["a"],
        laws=[totals.publish_law(private, BITS, [posting], [])],
    )
    (folder / "good.json").write_bytes(written(document))
    document["laws"][0]["balance"]["sum"] = "1"
    (folder / "bad.json").write_bytes(written(document))
    (folder / "none.json").write_text("{}")
    return folder


class TestTheCommandLine:
    def run(self, *arguments) -> subprocess.CompletedProcess:
        # -I -S: nothing but the standard library can be imported.
        command = [sys.executable, "-I", "-S", verify_totals.__file__, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def test_verified(self, folder):
        done = self.run(folder / "good.json")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("VERIFIED")
        assert "information: CONSERVED" in done.stdout

    def test_what_fails_is_named(self, folder):
        done = self.run(folder / "bad.json", "--json")
        assert done.returncode == 3
        answer = json.loads(done.stdout)
        assert answer["verified"] is False
        assert "the balance of information" in answer["problem"]

    @pytest.mark.parametrize("name", ["none.json", "missing.json"])
    def test_bad_input(self, folder, name):
        done = self.run(folder / name)
        assert done.returncode == 2
        assert done.stdout.startswith("Not a round")

    def test_a_wrong_earlier_round(self, folder):
        done = self.run(folder / "good.json", "--previous", folder / "good.json")
        assert done.returncode == 3
        assert "no previous round" in done.stdout
