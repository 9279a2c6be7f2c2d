"""A scenario in a browser: from the empty form to the plots, the workbook and the business case."""

from __future__ import annotations

import re

import docx
import pypdfium2
import pytest
from axe_playwright_python.sync_playwright import Axe
from openpyxl import load_workbook
from playwright.sync_api import expect

from tests.real_site import sign_in


@pytest.mark.timeout(180)
def test_from_the_empty_form_to_the_workbook_and_the_business_case(page, site, tmp_path):
    page.set_default_timeout(30_000)
    sign_in(page, site, "operator@acme.example")
    page.goto(site.address("acme", "/roi/new/"))
    strip = page.locator("#strip")
    expect(strip).to_contain_text("to fill in or mend")

    # What is missing is said beside each field, and nothing is saved.
    page.get_by_role("button", name="Save the scenario").click()
    expect(page.locator("#discount_rate_error")).to_contain_text("Enter a number")
    assert page.url.endswith("/roi/new/")

    page.get_by_label("Name", exact=True).first.fill("Journey")
    page.locator("[name='discount_rate.a']").fill("8")
    page.locator("[name='one_time_costs.0.amount.a']").fill("100 000")
    page.locator("[name='running_costs.0.annual.a']").fill("10 000")
    page.locator("[name='benefits.0.errors_per_year.a']").fill("1000")
    page.locator("[name='benefits.0.avoided_share.a']").fill("50")
    cost = page.locator("#benefits-0-cost_per_error")
    expect(cost.locator(".part-b")).to_be_hidden()
    cost.locator(".shape").select_option("pert")
    for part, value in (("a", "60"), ("b", "90"), ("c", "150")):
        page.locator(f"[name='benefits.0.cost_per_error.{part}']").fill(value)
    # The result follows without a click.
    expect(strip).to_contain_text("Net present value")
    expect(strip).to_contain_text("EUR")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()

    page.get_by_role("button", name="Save the scenario").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The change gains")
    for plot in ("flow", "fan", "tornado", "histogram"):
        expect(page.locator(f"[data-plot={plot}] .main-svg").first).to_be_visible()
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert found.violations_count == 0, found.generate_report()

    page.get_by_role("button", name=re.compile("Make a link")).click()
    expect(page.locator("#links .mono")).to_contain_text("/roi/shared/")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Workbook").click()
    waiting.value.save_as(tmp_path / "a.xlsx")
    cells = [c.value for row in load_workbook(tmp_path / "a.xlsx")["Inputs"] for c in row]
    assert "Journey" in cells
    assert 0.08 in cells

    page.get_by_role("link", name="Write the business case").click()
    expect(page.get_by_label("Title")).to_have_value("Business case: Journey")
    page.get_by_label("Prepared for").fill("The board")
    page.get_by_role("button", name="Make the document").click()
    expect(page.get_by_role("heading", level=2)).to_have_count(8)
    for figure in page.locator(".case-figure svg").all():
        expect(figure).to_be_visible()
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert found.violations_count == 0, found.generate_report()
    worth = page.locator("#summary data[value=npv]").inner_text()

    for name, ending in (("PDF", "pdf"), ("Word", "docx")):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=name, exact=True).click()
        waiting.value.save_as(tmp_path / f"a.{ending}")
    pdf = pypdfium2.PdfDocument(tmp_path / "a.pdf")
    paper = "".join(sheet.get_textpage().get_text_range() for sheet in pdf)
    pdf.close()
    word = docx.Document(str(tmp_path / "a.docx"))
    text = "".join(paragraph.text for paragraph in word.paragraphs)
    for said in (paper, text):
        assert "".join(worth.split()) in "".join(said.split())
        assert "The board" in said
    assert len(word.inline_shapes) >= 4
