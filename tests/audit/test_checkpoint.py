"""Signed notes and checkpoints, against the published examples and hostile text."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import checkpoint
from audit.checkpoint import Checkpoint, NoteRefused

# The example of Go's golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp"
    "RZb6KE6RyyBwJnAM=\n"
)
# A checkpoint that sigsum's log server printed.
SIGSUM_KEY = "sigsum.org:testonly+8de2c54b+AYzzrIWq3UKJHFrprvJyRMsqVGojEvgAIKrT8q4a9zMU"
SIGSUM_NOTE = (
    "sigsum.org:testonly\n23\nHSt6W8ve4/36xAIf04qDOqaKLaKqSOUqKxLNrkK74+g=\n\n"
    "— sigsum.org:testonly jeLFS4WQDEeTavbiYArHzCQUPXbQ1Y/V8/dKJlBxqOAY4eLhSh3uWNJ8YXp1vs/zR4SD"
    "NHI+6UybLmHmFlg/VSf5OAs=\n"
)
# The example of C2SP tlog-cosignature: a log's signature and a witness's.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhc"
    "yv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3"
    "b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SECRET.public_key()
HEAD = Checkpoint("log.example/acme", 12, b"\x07" * 32, ("time 2026-03-01T12:00:00.000000Z",))
NOTE = checkpoint.sign(HEAD, SECRET)


class TestPublishedExamples:
    def test_the_note_of_go(self):
        name, public = checkpoint.parse_verifier_key(GO_KEY)
        assert checkpoint.open_note(GO_TEXT + "\n" + GO_LINE, public, name) == GO_TEXT
        assert checkpoint.verifier_key(name, public) == GO_KEY

    def test_the_same_signature_from_the_same_secret(self):
        seed = base64.b64decode(GO_SECRET.split("+", 4)[4])[1:]
        secret = Ed25519PrivateKey.from_private_bytes(seed)
        assert checkpoint.sign_text(GO_TEXT, "PeterNeumann", secret) == GO_TEXT + "\n" + GO_LINE

    def test_the_checkpoint_of_a_running_log(self):
        name, public = checkpoint.parse_verifier_key(SIGSUM_KEY)
        head = checkpoint.parse_and_verify(SIGSUM_NOTE, public, name)
        assert (head.origin, head.size, head.extensions) == ("sigsum.org:testonly", 23, ())
        assert head.root.hex().startswith("1d2b7a5bcbdee3fd")

    def test_the_checkpoint_of_the_specification(self):
        head = checkpoint.parse_text(checkpoint.signed_text(C2SP_NOTE))
        assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
        assert [each.name for each in checkpoint.split_note(C2SP_NOTE)[1]] == [
            "example.com/behind-the-sofa",
            "witness.example.com/w1",
        ]


class TestSigning:
    def test_reads_back_what_was_signed(self):
        assert checkpoint.parse_and_verify(NOTE, PUBLIC, HEAD.origin) == HEAD
        assert checkpoint.signed_text(NOTE) == checkpoint.text_of(HEAD)

    @given(
        st.integers(0, 2**63 - 1),
        st.binary(min_size=32, max_size=32),
        st.lists(st.text(min_size=1), max_size=3),
    )
    def test_any_head_reads_back_or_is_refused_before_it_is_signed(self, size, root, lines):
        head = Checkpoint("log.example", size, root, tuple(lines))
        try:
            note = checkpoint.sign(head, SECRET)
        except NoteRefused:
            assert any(c < " " or "\ud800" <= c <= "\udfff" for line in lines for c in line)
        else:
            assert checkpoint.parse_and_verify(note, PUBLIC, "log.example") == head

    @pytest.mark.parametrize(
        "head",
        [
            Checkpoint("", 1, b"\0" * 32),
            Checkpoint("log example", 1, b"\0" * 32),
            Checkpoint("log+example", 1, b"\0" * 32),
            Checkpoint("log\n5", 1, b"\0" * 32),
            Checkpoint("log", -1, b"\0" * 32),
            Checkpoint("log", 2**63, b"\0" * 32),
            Checkpoint("log", 1, b"\0" * 31),
            Checkpoint("log", 1, b"\0" * 32, ("",)),
            Checkpoint("log", 1, b"\0" * 32, ("a\nb",)),
        ],
    )
    def test_signs_nothing_that_would_not_read_back(self, head):
        with pytest.raises(NoteRefused):
            checkpoint.sign(head, SECRET)


class TestRefusals:
    def test_another_key(self):
        other = Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key()
        with pytest.raises(NoteRefused, match="not signed"):
            checkpoint.parse_and_verify(NOTE, other, HEAD.origin)

    def test_the_head_of_another_log_under_the_same_key(self):
        with pytest.raises(NoteRefused, match="not signed"):
            checkpoint.parse_and_verify(NOTE, PUBLIC, "log.example/globex")
        # Signed under globex's name, but the text is acme's.
        note = checkpoint.sign_text(checkpoint.text_of(HEAD), "log.example/globex", SECRET)
        with pytest.raises(NoteRefused, match="is of log"):
            checkpoint.parse_and_verify(note, PUBLIC, "log.example/globex")

    def test_every_single_bit(self):
        data = NOTE.encode()
        for bit in range(len(data) * 8):
            turned = bytearray(data)
            turned[bit // 8] ^= 1 << bit % 8
            try:
                text = turned.decode()
            except UnicodeDecodeError:
                continue
            with pytest.raises(NoteRefused):
                checkpoint.parse_and_verify(text, PUBLIC, HEAD.origin)

    def test_unknown_signatures_are_left_alone_and_a_wrong_one_of_ours_is_not(self):
        witness = "— witness.example/w " + base64.b64encode(b"\4" * 77).decode() + "\n"
        head, line = NOTE.split("\n\n")
        before = f"{head}\n\n{witness}{line}"
        assert checkpoint.parse_and_verify(before, PUBLIC, HEAD.origin) == HEAD
        assert checkpoint.parse_and_verify(NOTE + witness, PUBLIC, HEAD.origin) == HEAD
        with pytest.raises(NoteRefused, match="not signed"):
            checkpoint.parse_and_verify(f"{head}\n\n{witness}", PUBLIC, HEAD.origin)
        wrong = base64.b64encode(checkpoint.key_id(HEAD.origin, PUBLIC) + b"\0" * 64).decode()
        with pytest.raises(NoteRefused, match="wrong"):
            checkpoint.parse_and_verify(f"{NOTE}— {HEAD.origin} {wrong}\n", PUBLIC, HEAD.origin)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "log\n1\n",
            "log\n01\n" + "A" * 43 + "=\n",
            "log\n+1\n" + "A" * 43 + "=\n",
            "log\n1e3\n" + "A" * 43 + "=\n",
            "log\n٣\n" + "A" * 43 + "=\n",
            "log\n9223372036854775808\n" + "A" * 43 + "=\n",
            "log\n1\n" + "A" * 43 + "\n",
            "log\n1\n" + "A" * 42 + "B=\n",  # The same bytes as A…A=, not written the standard way.
            "log\n1\n" + "A" * 44 + "\n",
            "log\n1\n \n",
            "\n1\n" + "A" * 43 + "=\n",
            "log\n1\n" + "A" * 43 + "=\n\n",
            "log\n1\n" + "A" * 43 + "=",
            "log\r\n1\r\n" + "A" * 43 + "=\r\n",
            "log\n1\n" + "A" * 43 + "=\n\tx\n",
            "log\ud800\n1\n" + "A" * 43 + "=\n",
        ],
    )
    def test_text_that_is_no_checkpoint(self, text):
        with pytest.raises(NoteRefused):
            checkpoint.parse_text(text)

    @pytest.mark.parametrize(
        "note",
        [
            "log\n1\nAA==\n",
            "\n\n— a AAAAAAAA\n",
            "x\n\n",
            "x\n\n\n",
            "x\n\n- a AAAAAAAA\n",
            "x\n\n—a AAAAAAAA\n",
            "x\n\n— a+b AAAAAAAA\n",
            "x\n\n— a  AAAAAAAA\n",
            "x\n\n— a AAAA\n",
            "x\n\n— a AAAAAAA\n",
            "x\n\n— a AAAAAAAA",
            "x\n\n— a AAAAAAAA\nrest\n",
            "x\n\n" + "— a AAAAAAAA\n" * 65,
            "x" * 64_000 + "\n\n— a AAAAAAAA\n",
        ],
    )
    def test_text_that_is_no_note(self, note):
        with pytest.raises(NoteRefused):
            checkpoint.split_note(note)

    @given(st.text())
    def test_no_text_breaks_the_parser(self, text):
        for parse in (checkpoint.parse_text, checkpoint.split_note, checkpoint.parse_verifier_key):
            try:
                parse(text)
            except NoteRefused:
                continue

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "PeterNeumann",
            GO_KEY.replace("c74f20a3", "c74f20a4"),
            GO_KEY.replace("c74f20a3", "C74F20A3"),
            GO_KEY.replace("Peter", "Paul"),
            GO_KEY[:-4],
            "a+00000000+AgAA",
            GO_KEY + "\n",
        ],
    )
    def test_keys_that_are_none(self, key):
        with pytest.raises(NoteRefused):
            checkpoint.parse_verifier_key(key)
