"""Adding numbers that nobody may see: Paillier's cryptosystem, and a sum that anybody can check.

**The idea.** A ciphertext of the integer v is c = (1+n)^v · r^n mod n², with n = pq and r random.
Multiplying ciphertexts adds what they hold: the product of all c is (1+n)^(sum of v) · r^n for one
r. Whoever knows p and q finds that sum m and that r, and publishes both. Anybody checks, without a
secret,

    (1+n)^m · r^n  =  product of all c   (mod n²)

and learns no single v. For a well-formed n a ciphertext has exactly one (m, r), so a wrong sum has
no r that fits. That n is well-formed is itself proved (``prove_key``): nobody has to believe it.

**What this proves.** That m is the sum of the numbers inside exactly these ciphertexts.
**What it does not.** Nothing about the numbers: a participant may encrypt a falsehood. Nothing
about absent participants. And it hides little from a crowd of one: all participants but one
together learn the remaining one's number from the sum.
**Who holds the secret key** can decrypt each ciphertext. Nothing here decrypts one that was posted
alone: ``prove_sum`` takes all of a sum. Randomness and value are one secret: who knows r knows v.

**Negative numbers and wrap-around.** Sums are taken modulo n; the upper half stands for negative
integers. A single number is at most ``value_max`` = n/2^33 in size and a sum has at most 2^32
terms, so the sum of honest numbers cannot wrap, and a decoded sum past terms · ``value_max`` is
refused as one that no honest numbers make.

**Choices.** p ≡ q ≡ 3 (mod 4), gcd(p-1, q-1) = 2, and no small prime divides (p-1)/2 or (q-1)/2.
r = h^a with h = -x² mod n and a random exponent half as long as n (Damgård, Jurik & Nielsen 2010),
so that powers of one fixed base can be prepared (``Encryptor``). x is derived from n by SHA-256:
nobody chooses it. Secret exponents go through GMP's ``powm_sec``; the prepared table is not
protected against somebody who measures the cache of the machine that encrypts.

Sources: Paillier (1999), EUROCRYPT, LNCS 1592, scheme 1. Damgård, Jurik & Nielsen (2010), Int. J.
Inf. Secur. 9, 371, section 3 and 4. Proof of the key: after Goldberg, Reyzin, Sagga & Baldimtsi
(2019), ASIACRYPT, LNCS 11923. No input or output here but through arguments.
"""

from conservation.paillier.ciphertexts import (
    Ciphertext,
    Encryptor,
    Sealed,
    check_value,
    encrypt,
    negate,
    product,
)
from conservation.paillier.errors import ProofFailed, Refused
from conservation.paillier.keys import (
    BITS,
    BITS_MAX,
    BITS_MIN,
    KEY_ROOTS,
    PrivateKey,
    PublicKey,
    generate_key,
    prove_key,
    verify_key,
)
from conservation.paillier.reading import (
    read_ciphertext,
    read_hex,
    read_private_key,
    read_public_key,
    write_private_key,
)
from conservation.paillier.sums import TERMS_MAX, SumProof, prove_sum, verify_sum, verify_value

__all__ = [
    "BITS",
    "BITS_MAX",
    "BITS_MIN",
    "KEY_ROOTS",
    "TERMS_MAX",
    "Ciphertext",
    "Encryptor",
    "PrivateKey",
    "ProofFailed",
    "PublicKey",
    "Refused",
    "Sealed",
    "SumProof",
    "check_value",
    "encrypt",
    "generate_key",
    "negate",
    "product",
    "prove_key",
    "prove_sum",
    "read_ciphertext",
    "read_hex",
    "read_private_key",
    "read_public_key",
    "verify_key",
    "verify_sum",
    "verify_value",
    "write_private_key",
]
