"""Verify proof: the browser recomputes the way to the signed heads, and believes no server."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.real_site import sign_in

PATIENCE_MS = 30_000


@pytest.fixture
def entry(page, site):
    """The page of the newest entry that has its place."""
    sign_in(page, site, "auditor@acme.example")
    page.goto(site.address("acme", "/audit/"))
    row = page.locator("#entries tbody tr").filter(has_not_text="placed soon").first
    row.get_by_role("link").click()
    expect(page.get_by_role("button", name="Verify proof")).to_be_visible()
    return page


def verify(page):
    page.get_by_role("button", name="Verify proof").click()
    verdict = page.locator("[data-verdict]")
    expect(verdict.locator(".notice")).to_be_visible(timeout=PATIENCE_MS)
    return verdict


def test_each_step_is_shown_up_to_both_signatures(entry):
    expect(verify(entry)).to_contain_text("Verified in this browser, with the key ")
    steps = entry.locator("[data-steps] > li")
    assert steps.count() >= 6
    expect(steps.filter(has_text="The signature of the head is right")).to_have_count(1)
    expect(steps.filter(has_text="The signature of the global head is right")).to_have_count(1)
    expect(steps.filter(has_text="OK")).to_have_count(steps.count())


def turned(text: str, place: int) -> str:
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


def with_path(proof):
    if proof["path"]:
        proof["path"][0] = turned(proof["path"][0], 5)
    else:
        proof["path"] = ["00" * 32]


def with_action(proof):
    lines = proof["data"].split("\n")
    lines[7] = "nothing.happened"
    proof["data"] = "\n".join(lines)


def with_digest(proof):
    proof["data"] = turned(proof["data"], len(proof["data"]) - 3)


def with_time_of_the_head(proof):
    proof["head"] = proof["head"].replace("\ntime 2", "\ntime 1", 1)


def with_another_head(proof):
    proof["head"] = proof["checkpoint"]


def with_global_path(proof):
    proof["global_path"] = [*proof["global_path"], "00" * 32]


def with_size_of_the_global_head(proof):
    lines = proof["checkpoint"].split("\n")
    lines[1] = str(int(lines[1]) + 1)
    proof["checkpoint"] = "\n".join(lines)


@pytest.mark.parametrize(
    "tamper",
    [
        with_path,
        with_action,
        with_digest,
        with_time_of_the_head,
        with_another_head,
        with_global_path,
        with_size_of_the_global_head,
    ],
)
def test_a_proof_that_was_tampered_with_is_refused(entry, tamper):
    proof = entry.evaluate("() => fetch('proof.json').then((response) => response.json())")
    tamper(proof)
    entry.route("**/proof.json", lambda route: route.fulfill(json=proof))
    expect(verify(entry)).to_contain_text("Not verified.")
    expect(entry.locator("[data-steps] > li").last).to_contain_text("Failed")


def test_rows_are_walked_and_opened_by_keys(page, site):
    sign_in(page, site, "auditor@acme.example")
    page.goto(site.address("acme", "/audit/"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What changed")).to_be_visible()
