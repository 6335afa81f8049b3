// What the journeys share: Chromium, and a look at a page of ours. On each: no console message, no sideways scroll, one h1, and with
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

// Makes a journey with JavaScript on the smaller of two phones, and without on a desk, or at the ends of these widths. On its way each
// page is looked at as wide as on all of them.
export async function everywhere(journey, widths = [1280, 375, 320]) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
  for (const javaScriptEnabled of [true, false]) {
    const width = javaScriptEnabled ? Math.min(...widths) : Math.max(...widths);
    const context = await browser.newContext({ javaScriptEnabled, viewport: { width, height: 800 }, baseURL: BASE_URL });
    await journey(await visit(context, javaScriptEnabled, widths));
    await context.close();
  }
  await browser.close();
}

// A click is over when the page that it leads to is there as a whole, and not only its address.
function clicksLoad(page) {
  const locator = Object.getPrototypeOf(page.locator("body"));
  if (locator.loads) return;
  const { click } = locator;
  locator.loads = true;
  locator.click = async function clickAndLoad(...options) {
    await click.apply(this, options);
    await this.page().waitForLoadState();
  };
}

async function visit(context, javaScriptEnabled, widths) {
  const name = `${javaScriptEnabled ? "with" : "without"} JavaScript`;
  const page = await context.newPage();
  clicksLoad(page);
  const said = [];
  // What another site says where a journey goes there is not ours to mend.
  const listen = (page) => {
    const isOurs = () => page.url().startsWith(BASE_URL);
    page.on("console", (message) => isOurs() && said.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => isOurs() && said.push(`error: ${error.message}`));
  };
  listen(page);

  // The width that the page has comes last, so that it has it again. One that is none of these, as in a zoom, is looked at alone.
  const look = async (what, at = page, as = widths) => {
    const { width: own, height } = at.viewportSize();
    assert.equal(await at.locator("h1").count(), 1, `${name}: ${what}: one h1`);
    if (javaScriptEnabled) await at.evaluate(AXE);
    for (const width of as.includes(own) ? [...as.filter((width) => width !== own), own] : [own]) {
      if (at.viewportSize().width !== width) await at.setViewportSize({ width, height });
      await lookAt(`${what} at ${width}px`, at);
    }
    assert.deepEqual(said, [], `${name}: ${what}: the console is silent`);
  };
  const lookAt = async (what, at) => {
    console.log(`${name}: ${what}`);
    const wide = await at.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name}: ${what}: ${wide} px stick out sideways`);
    if (SCREENSHOTS) {
      const file = `${what.replaceAll(" ", "-")}${javaScriptEnabled ? "" : "-no-js"}.png`;
      await at.screenshot({ path: join(SCREENSHOTS, file), fullPage: true });
    }
    if (javaScriptEnabled) {
      const { violations } = await at.evaluate((values) => axe.run({ runOnly: { type: "tag", values } }), RULES);
      const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" | ")}`);
      assert.deepEqual(found, [], `${name}: ${what}: axe finds nothing`);
    }
  };
  const heading = () => page.locator("h1").innerText();
  // The browser itself reports a page that comes with such a status.
  const forgive = (status) => said.splice(0, said.length, ...said.filter((message) => !message.includes(status)));
  return { page, context, javaScriptEnabled, look, listen, heading, forgive };
}
