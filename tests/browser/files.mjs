// How a manager takes along what the pages show: as files, on paper, by copying; `look.mjs` says what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL, who may take files along, with PASSWORD; REFERENCE, which went to NUMBER
// in a receipt with the id ID; TEXT, which came from NUMBER.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { everywhere } from "./look.mjs";

const { BASE_URL, EMAIL, PASSWORD, REFERENCE, NUMBER, ID, TEXT } = process.env;

await everywhere(async ({ page, context, javaScriptEnabled, look }) => {
  if (javaScriptEnabled) await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: BASE_URL });
  const save = async (name, at = page) => {
    const [file] = await Promise.all([at.waitForEvent("download"), at.getByRole("link", { name, exact: true }).click()]);
    assert.equal(await file.failure(), null);
    return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
  };
  // What stands on paper, and that no link has its address behind it.
  const paper = async (what, shown, hidden) => {
    await page.emulateMedia({ media: "print" });
    const furniture = [".app-header__nav", ".app-search", ".app-footer", ".app-files", ".app-copy", ".govuk-details", "main textarea",
      "main button", "main input", "main select", ".govuk-pagination", ".govuk-back-link", ...hidden];
    for (const place of furniture) {
      for (const one of await page.locator(place).all()) assert.ok(!(await one.isVisible()), `${what}: ${place} on paper`);
    }
    const printed = await page.locator("body").innerText();
    for (const words of shown) assert.ok(printed.includes(words), `${what}: ${words} on paper`);
    const after = await page.locator("a").evaluateAll((links) => links.map((link) => getComputedStyle(link, "::after").content));
    assert.deepEqual(after.filter((content) => !["none", "normal"].includes(content)), [], `${what}: no address behind a link`);
    assert.ok((await page.pdf()).length > 1000, `${what}: a PDF`);
    await page.emulateMedia({ media: null });
  };
  // By keyboard, and what was copied is what can be seen.
  const copy = async (name, wanted) => {
    const button = page.getByRole("button", { name, exact: true });
    if (!javaScriptEnabled) return assert.equal(await button.count(), 0);
    await button.focus();
    await page.keyboard.press("Enter");
    await page.locator("main").getByText("Copied.", { exact: true }).first().waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), wanted);
  };

  await page.goto("/receipts");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await look("receipts to take along");
  const csv = await save("Download (CSV)");
  assert.match(csv.name, /^receipts-\d{4}-\d\d-\d\d\.csv$/);
  assert.ok(csv.bytes.toString().includes(REFERENCE));
  const excel = await save("Download (Excel)");
  assert.match(excel.name, /^receipts-.*\.xlsx$/);
  assert.equal(excel.bytes.subarray(0, 2).toString(), "PK");
  await paper("receipts", [REFERENCE, NUMBER], [".app-filter"]);

  await page.getByLabel("Search by reference, phone number or email address").fill(NUMBER);
  await page.getByRole("button", { name: "Search" }).click();
  const found = await save("Download (CSV)");
  assert.ok(found.bytes.toString().includes(TEXT) && found.bytes.toString().includes(REFERENCE));
  await look("search to take along");

  await page.goto(`/receipts/${ID}`);
  await copy("Copy reference", REFERENCE);
  await copy("Copy number", NUMBER);
  await look("receipt that is copied from");
  await paper("receipt", [REFERENCE, NUMBER, "What Notify reported"], []);

  await page.goto("/messages");
  await save("Download (Excel)");
  await look("inbox to take along");
  await page.locator("main table a").first().click();
  await copy("Copy number", NUMBER);
  assert.match((await save("Download (CSV)")).name, /^conversation-/);
  await look("conversation to take along");
  await paper("conversation", [TEXT, NUMBER, "There are no notes"], []);

  await page.goto("/contacts/failed");
  await save("Download (Excel)");
  await look("contacts to take along");
  await paper("contacts", [NUMBER], []);
});
