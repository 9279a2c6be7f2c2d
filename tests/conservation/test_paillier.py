"""Encrypted sums: against plain integers, against the paper's scheme, and against tampering."""

from __future__ import annotations

import dataclasses
import math
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conservation import paillier
from conservation.paillier import (
    Ciphertext,
    PrivateKey,
    ProofFailed,
    PublicKey,
    Refused,
    SumProof,
    keys,
)
from tests.conservation import naive_paillier as naive

# Short, so that a test tries many; one key of full length is tried below.
PRIVATE = paillier.generate_key(512)
KEY = PRIVATE.public
TABLE = paillier.Encryptor(KEY)
numbers = st.integers(-KEY.value_max, KEY.value_max)


@pytest.fixture(scope="module")
def long_key() -> PrivateKey:
    return paillier.generate_key()


def seal(*values: int) -> list[Ciphertext]:
    return [TABLE.encrypt(value).ciphertext for value in values]


class TestAgainstPlainIntegers:
    @settings(deadline=None, max_examples=30)
    @given(st.lists(numbers, max_size=8))
    def test_the_proved_sum_is_the_plain_sum(self, values):
        whole = paillier.product(KEY, seal(*values))
        proof = paillier.prove_sum(PRIVATE, whole, len(values))
        assert proof.total == sum(values)
        paillier.verify_sum(KEY, whole, proof, len(values))

    @settings(deadline=None, max_examples=30)
    @given(numbers, numbers)
    def test_a_negated_ciphertext_subtracts(self, first, second):
        a, b = seal(first, second)
        whole = paillier.product(KEY, [a, paillier.negate(KEY, b)])
        assert paillier.prove_sum(PRIVATE, whole, 2).total == first - second

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_largest_numbers_sum_without_wrapping(self, sign):
        whole = paillier.product(KEY, seal(*[sign * KEY.value_max] * 50))
        assert paillier.prove_sum(PRIVATE, whole, 50).total == sign * KEY.value_max * 50

    def test_terms_max_of_the_largest_numbers_fit_below_half_of_n(self):
        assert paillier.TERMS_MAX * KEY.value_max * 2 <= KEY.n
        assert paillier.TERMS_MAX * (KEY.value_max + 1) * 2 > KEY.n

    @pytest.mark.parametrize("past", [1, 2**40])
    def test_a_number_too_large_is_not_encrypted(self, past):
        for value in (KEY.value_max + past, -KEY.value_max - past):
            with pytest.raises(Refused, match="wrap"):
                TABLE.encrypt(value)
            with pytest.raises(Refused, match="wrap"):
                paillier.encrypt(KEY, value)

    @pytest.mark.parametrize("value", [1.0, True, "1", None])
    def test_only_integers_are_encrypted(self, value):
        with pytest.raises(Refused, match="integers"):
            paillier.encrypt(KEY, value)

    def test_a_sum_that_no_honest_numbers_make_is_refused(self):
        # A participant goes around the range: encrypts n/3 as the scheme itself would allow.
        hidden = naive.encrypt(KEY.n, 1 + KEY.n, KEY.n // 3, 5)
        whole = paillier.product(KEY, [Ciphertext(KEY.key_id, hidden), *seal(1, 2)])
        with pytest.raises(Refused, match="out of range"):
            paillier.prove_sum(PRIVATE, whole, 3)
        proof = SumProof(KEY.n // 3 + 3, naive.randomness(PRIVATE.p, PRIVATE.q, whole.c))
        with pytest.raises(ProofFailed, match="larger"):
            paillier.verify_sum(KEY, whole, proof, 3)

    def test_the_empty_sum_is_zero(self):
        whole = paillier.product(KEY, [])
        paillier.verify_sum(KEY, whole, SumProof(0, 1), 0)
        assert paillier.prove_sum(PRIVATE, whole, 0) == SumProof(0, 1)


class TestAgainstThePaper:
    def test_the_oracle_gives_the_published_small_example(self):
        # p = 7, q = 11, g = 5652, m = 42, r = 23: c = 4624 (O'Keeffe 2008, The Paillier
        # Cryptosystem).
        assert naive.encrypt(77, 5652, 42, 23) == 4624
        assert naive.decrypt(7, 11, 5652, 4624) == 42

    def test_ours_reads_the_published_small_example(self):
        # To the base 1+n the example holds 42 times what its g holds.
        private = PrivateKey(7, 11)
        of_c, of_g = private.decode(4624), private.decode(5652)
        assert of_c * pow(of_g, -1, 77) % 77 == 42

    def test_every_ciphertext_of_a_small_key_is_read_like_the_oracle_does(self):
        p, q = 7, 11
        private, n = PrivateKey(p, q), 77
        seen = set()
        for c in range(1, n * n):
            if math.gcd(c, n) == 1:
                m, r = private.decode(c), private.root_of(c % n)
                assert (m, r) == (naive.decrypt(p, q, 1 + n, c), naive.randomness(p, q, c))
                assert naive.encrypt(n, 1 + n, m, r) == c
                seen.add((m, r))
        # One opening for each ciphertext, and none twice.
        assert len(seen) == 77 * 60

    @settings(deadline=None, max_examples=30)
    @given(st.lists(numbers, min_size=1, max_size=6), st.randoms(use_true_random=False))
    def test_ours_and_the_oracle_read_each_other(self, values, random):
        n, g = KEY.n, 1 + KEY.n
        ours = [each.c for each in seal(*values)]
        assert [naive.decrypt(PRIVATE.p, PRIVATE.q, g, c) for c in ours] == [v % n for v in values]
        theirs = [naive.encrypt(n, g, v % n, random.randrange(1, n)) for v in values]
        whole = paillier.product(KEY, [Ciphertext(KEY.key_id, c) for c in theirs])
        assert whole.c == naive.product(n, theirs)
        proof = paillier.prove_sum(PRIVATE, whole, len(values))
        assert proof.total == sum(values)
        assert proof.randomness == naive.randomness(PRIVATE.p, PRIVATE.q, whole.c)

    @settings(deadline=None, max_examples=30)
    @given(numbers)
    def test_the_prepared_table_hides_as_plain_powers_do(self, value):
        for sealed in (TABLE.encrypt(value), paillier.encrypt(KEY, value)):
            r = sealed.randomness(KEY)
            assert sealed.ciphertext.c == naive.encrypt(KEY.n, 1 + KEY.n, value % KEY.n, r)
            paillier.verify_value(KEY, sealed.ciphertext, value, r)

    def test_the_same_number_never_looks_the_same(self):
        assert len({each.c for each in seal(*[7] * 50)}) == 50


class TestTampering:
    def setup_method(self):
        self.sealed = seal(5, -9, 30)
        self.whole = paillier.product(KEY, self.sealed)
        self.proof = paillier.prove_sum(PRIVATE, self.whole, 3)

    def refuse(self, whole: Ciphertext, proof: SumProof, key: PublicKey = KEY, terms: int = 3):
        with pytest.raises(Refused):
            paillier.verify_sum(key, whole, proof, terms)

    def test_the_untouched_proof_stands(self):
        paillier.verify_sum(KEY, self.whole, self.proof, 3)

    def test_another_sum(self):
        for total in (25, 27, -26, self.proof.total + KEY.n, 0, True, 26.0):
            self.refuse(self.whole, dataclasses.replace(self.proof, total=total))

    def test_another_randomness(self):
        r = self.proof.randomness
        for wrong in (r + 1, KEY.n - r, r + KEY.n, 0, -r, KEY.n, PRIVATE.p, True, None):
            self.refuse(self.whole, dataclasses.replace(self.proof, randomness=wrong))

    def test_another_ciphertext_in_the_product(self):
        for changed in (self.sealed[:2], [*self.sealed, self.sealed[0]], seal(5, -9, 30)):
            self.refuse(paillier.product(KEY, changed), self.proof)

    def test_a_flipped_bit_anywhere(self):
        for bit in range(0, self.whole.c.bit_length(), 37):
            self.refuse(Ciphertext(KEY.key_id, self.whole.c ^ 1 << bit), self.proof)

    def test_another_key(self):
        other = paillier.generate_key(512).public
        self.refuse(self.whole, self.proof, key=other)
        self.refuse(Ciphertext(other.key_id, self.whole.c), self.proof, key=other)
        with pytest.raises(Refused, match="another key"):
            paillier.product(other, self.sealed)

    def test_a_wrong_opening_of_one(self):
        sealed = TABLE.encrypt(12)
        r = sealed.randomness(KEY)
        for value, randomness in ((13, r), (-12, r), (12, r + 1), (12, 1)):
            with pytest.raises(Refused):
                paillier.verify_value(KEY, sealed.ciphertext, value, randomness)

    @pytest.mark.parametrize(
        "c",
        [0, -1, PRIVATE.p, KEY.n, PRIVATE.q * 12, KEY.n**2, KEY.n**2 + 1],
        # Not the values, which are drawn anew in each process.
        ids=["0", "-1", "p", "n", "12q", "n^2", "n^2+1"],
    )
    def test_what_encrypting_never_makes_is_refused(self, c):
        with pytest.raises(Refused):
            paillier.product(KEY, [*self.sealed, Ciphertext(KEY.key_id, c)])

    def test_terms_out_of_range(self):
        for terms in (-1, paillier.TERMS_MAX + 1, 1.0, True):
            self.refuse(self.whole, self.proof, terms=terms)


class TestKeys:
    @pytest.mark.parametrize("bits", [64, 128, 256, 514, 1024])
    def test_a_new_key_is_as_long_as_asked_and_well_formed(self, bits):
        private = paillier.generate_key(bits)
        n = private.p * private.q
        assert n.bit_length() == bits == private.public.bits
        assert private.p % 4 == private.q % 4 == 3
        assert math.gcd(private.p - 1, private.q - 1) == 2
        assert math.gcd(n, (private.p - 1) * (private.q - 1)) == 1

    def test_a_long_key_has_no_small_prime_where_it_matters(self, long_key):
        assert long_key.public.bits == 2048
        assert abs(long_key.p - long_key.q).bit_length() > 900
        for half in ((long_key.p - 1) // 2, (long_key.q - 1) // 2):
            assert all(half % divisor for divisor in range(3, 2**16, 2))

    def test_a_long_key_works_and_proves_itself(self, long_key):
        key = long_key.public
        table = paillier.Encryptor(key)
        values = [2**1000, -(2**999), 12345]
        whole = paillier.product(key, [table.encrypt(value).ciphertext for value in values])
        proof = paillier.prove_sum(long_key, whole, 3)
        assert proof.total == sum(values)
        paillier.verify_sum(key, whole, proof, 3)
        paillier.verify_key(key, paillier.prove_key(long_key))

    @pytest.mark.parametrize("bits", [63, 65, 32, 8194, 0])
    def test_lengths_that_will_not_do(self, bits):
        with pytest.raises(Refused):
            paillier.generate_key(bits)

    @pytest.mark.parametrize(
        ("p", "q"),
        [(7, 7), (7, 13), (15, 11), (7, 43), (1, 7), (True, 7), (-7, 11), (7.0, 11), (3, 7)],
        # Equal; 1 mod 4; not prime; 6 and 42 share 6; no prime; ...; 3 divides 7-1.
    )
    def test_primes_that_do_not_fit(self, p, q):
        with pytest.raises(Refused):
            PrivateKey(p, q)

    @pytest.mark.parametrize("n", [0, 1, -77, 16, 25, True, "77", 77.0])
    def test_moduli_that_are_none(self, n):
        with pytest.raises(Refused):
            PublicKey(n)

    def test_nothing_prints_the_secret(self):
        sealed = TABLE.encrypt(1)
        shown = repr(PRIVATE) + repr(sealed) + str(PRIVATE)
        for secret in (PRIVATE.p, PRIVATE.q, sealed.exponent):
            assert str(secret) not in shown


class TestTheProofOfAKey:
    def test_other_roots_are_refused(self):
        roots = paillier.prove_key(PRIVATE)
        paillier.verify_key(KEY, roots)
        wrong = [roots[:-1], (*roots, roots[0]), (roots[1], roots[0], *roots[2:]), ()]
        wrong += [(bad, *roots[1:]) for bad in (0, 1, KEY.n, roots[0] + KEY.n, -roots[0], None)]
        for each in wrong:
            with pytest.raises(ProofFailed):
                paillier.verify_key(KEY, each)

    def test_a_malformed_modulus_cannot_be_proved(self):
        # p divides q-1: a ciphertext to this n can be opened as several numbers.
        p = 65543
        q = next(c for c in range(2 * p + 1, 10**9, 2 * p) if pow(2, c - 1, c) == 1)
        key, residues = PublicKey(p * q), 0
        for challenge in keys.challenges(key):
            # A number has an n-th root exactly where this is 1.
            residues += pow(int(challenge), (p - 1) * (q - 1) // p, p * q) == 1
        assert residues < paillier.KEY_ROOTS

    def test_a_small_factor_is_named(self):
        key = PublicKey(65521 * KEY.n)
        with pytest.raises(ProofFailed, match="small factor"):
            paillier.verify_key(key, paillier.prove_key(PRIVATE))


class TestReading:
    def test_what_is_written_is_read_back(self):
        assert paillier.read_public_key(KEY.to_hex(), bits_min=512) == KEY
        assert (
            paillier.read_private_key(paillier.write_private_key(PRIVATE), bits_min=512) == PRIVATE
        )
        (sealed,) = seal(3)
        assert paillier.read_ciphertext(KEY, sealed.to_hex(KEY), key_id=KEY.key_id) == sealed

    def test_a_short_key_is_refused_by_default(self):
        with pytest.raises(Refused, match="2048"):
            paillier.read_public_key(KEY.to_hex())
        with pytest.raises(Refused, match="2048"):
            paillier.read_private_key(paillier.write_private_key(PRIVATE))

    @pytest.mark.parametrize(
        "text",
        [None, 5, "", "0x11", "11 ", " 11", "AB", "1_1", "١٢", "-1", "f" * 5000, b"11", "1\n"],
    )
    def test_texts_that_are_no_numbers(self, text):
        with pytest.raises(Refused):
            paillier.read_public_key(text, bits_min=1)
        with pytest.raises(Refused):
            paillier.read_ciphertext(KEY, text)

    def test_ciphertexts_that_will_not_do(self):
        (sealed,) = seal(3)
        digits = sealed.to_hex(KEY)
        short = format(1, "x")
        for text in (digits[1:], "0" + digits, short, "f" * KEY.hex_digits, "0" * KEY.hex_digits):
            with pytest.raises(Refused):
                paillier.read_ciphertext(KEY, text)
        with pytest.raises(Refused, match="another key"):
            paillier.read_ciphertext(KEY, digits, key_id="0" * 64)
        factor = Ciphertext(KEY.key_id, KEY.n * 3).to_hex(KEY)
        with pytest.raises(Refused, match="factor"):
            paillier.read_ciphertext(KEY, factor)

    @pytest.mark.parametrize(
        "values", [None, [], {}, {"p": "7"}, {"p": 7, "q": 11}, {"p": "7", "q": "g"}]
    )
    def test_private_keys_that_are_none(self, values):
        with pytest.raises(Refused):
            paillier.read_private_key(values, bits_min=1)

    def test_a_leading_zero_is_not_another_name_of_a_key(self):
        with pytest.raises(Refused, match="zero"):
            paillier.read_public_key("0" + KEY.to_hex(), bits_min=512)

    @settings(deadline=None, max_examples=30)
    @given(st.text(alphabet="0123456789abcdef", max_size=300))
    def test_any_digits_are_read_exactly_or_refused(self, text):
        try:
            read = paillier.read_ciphertext(KEY, text)
        except Refused:
            return
        assert read.to_hex(KEY) == text


def test_every_random_exponent_is_as_long_as_promised(monkeypatch):
    asked = []

    def note(bits):
        asked.append(bits)
        return 0

    monkeypatch.setattr(secrets, "randbits", note)
    # An exponent of 0 is as likely as any: the number then stands there in the clear, and adds up.
    assert TABLE.encrypt(4).ciphertext == paillier.encrypt(KEY, 4).ciphertext
    assert asked == [256, 256]
