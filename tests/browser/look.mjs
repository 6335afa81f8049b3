// What the journeys share: Chromium, and a look at a page. On each: no console message, no sideways scroll, one h1, and with
// JavaScript no fault that axe can find by WCAG 2.2 AA.
//
// Reads from the environment: BASE_URL; CHROMIUM (default /usr/bin/chromium); SCREENSHOTS, a folder for pictures of each page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { BASE_URL, CHROMIUM = "/usr/bin/chromium", SCREENSHOTS } = process.env;
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// Makes a journey on a desk and on two phones, with and without JavaScript.
export async function everywhere(journey) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
  for (const javaScriptEnabled of [true, false]) {
    for (const width of [1280, 375, 320]) {
      const context = await browser.newContext({ javaScriptEnabled, viewport: { width, height: 800 }, baseURL: BASE_URL });
      await journey(await visit(context, javaScriptEnabled, width));
      await context.close();
    }
  }
  await browser.close();
}

async function visit(context, javaScriptEnabled, width) {
  const name = `${width}px ${javaScriptEnabled ? "with" : "without"} JavaScript`;
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.message}`));

  const look = async (what) => {
    console.log(`${name}: ${what}`);
    assert.deepEqual(said, [], `${name}: ${what}: the console is silent`);
    assert.equal(await page.locator("h1").count(), 1, `${name}: ${what}: one h1`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name}: ${what}: ${wide} px stick out sideways`);
    if (SCREENSHOTS) {
      const file = `${what.replaceAll(" ", "-")}-${width}${javaScriptEnabled ? "" : "-no-js"}.png`;
      await page.screenshot({ path: join(SCREENSHOTS, file), fullPage: true });
    }
    if (javaScriptEnabled) {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate((values) => axe.run({ runOnly: { type: "tag", values } }), RULES);
      const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" | ")}`);
      assert.deepEqual(found, [], `${name}: ${what}: axe finds nothing`);
    }
  };
  return { page, said, look, heading: () => page.locator("h1").innerText() };
}
