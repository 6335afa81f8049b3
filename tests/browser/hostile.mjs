// Texts that would be more than text where a page let them: script, formulas, directions, controls, and no space for a long way. Every page
// that a link leads to shows them as text and stays as wide as it is, nothing of theirs runs, and the browser has no breach of the
// policy to report; no file holds a cell that a spreadsheet would run.
//
// Reads from the environment beside what look.mjs reads: EMAIL and PASSWORD of an admin; MARKS, words of which each begins one of the
// texts; STARTS, addresses to begin at, apart by spaces. What there is to be found stands in `hostile.rs`.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { BASE_URL, EMAIL, PASSWORD, MARKS, STARTS } = process.env;
const MOST = 300;

await everywhere(async ({ page, javaScriptEnabled, look, forgive }) => {
  // Without scripts nothing tells of a breach.
  if (!javaScriptEnabled) return;
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      console.error(`breach of the policy: ${violatedDirective} ${blockedURI}`);
    });
  });
  await page.goto("/sign-in");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();

  const waiting = STARTS.split(" ");
  const known = new Set(waiting);
  const files = new Set();
  const shown = new Map(MARKS.split(" ").map((mark) => [mark, []]));
  let seen = 0;
  const check = async (path) => {
    seen += 1;
    assert.ok(seen <= MOST, `there is no end of pages: ${[...known].slice(-5)}`);
    const found = await page.evaluate(() => ({
      ran: globalThis.ran,
      // What a template brings is ours: what stands in an attribute of another's would not be.
      foreign: [...document.querySelectorAll("main script, main img, main iframe, main a[href^='javascript:'], [onmouseover], [onerror]")]
        .map((element) => element.outerHTML),
      text: document.body.innerText + document.title,
      html: document.documentElement.outerHTML,
      links: [...document.querySelectorAll("a[href]")].map((link) => [link.href, link.hasAttribute("download")]),
    }));
    assert.equal(found.ran, undefined, `${path}: nothing of theirs ran`);
    assert.deepEqual(found.foreign, [], `${path}: all is text`);
    for (const width of [1280, 320]) {
      await page.setViewportSize({ width, height: 800 });
      const { wide, out } = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        out: [...document.querySelectorAll("body *")]
          .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth)
          .map((element) => `${element.tagName}.${element.className}`).slice(0, 8),
      }));
      assert.ok(wide <= 0, `${path}: ${wide} px stick out sideways at ${width}px: ${out}`);
    }
    assert.doesNotMatch(found.text, /[\u0000\u001b\u202e\u200b]/, `${path}: what cannot be seen is shown`);
    for (const [mark, pages] of shown) if (found.text.includes(`${mark}<script>`)) pages.push(path);
    for (const [href, isFile] of found.links) {
      const { origin, pathname, searchParams } = new URL(href);
      // The way back goes along, and a page is the same by whichever way one came.
      searchParams.delete("from");
      const search = searchParams.size > 0 ? `?${searchParams}` : "";
      if (origin !== new URL(BASE_URL).origin) continue;
      if (isFile || /\/(csv|xlsx|bytes|export\.\w+)$/.test(pathname)) files.add(pathname + search);
      else if (!known.has(pathname + search)) {
        known.add(pathname + search);
        waiting.push(pathname + search);
      }
    }
  };
  while (waiting.length > 0) {
    const path = waiting.shift();
    const answer = await page.goto(path);
    assert.ok(answer.status() < 400, `${path}: ${answer.status()}`);
    await check(path);
  }
  for (const typed of ["=1+1", "SAID<script>globalThis.ran=1</script>\u202e\u001b[31m", `REFERENCE<script>${"x".repeat(900)}`, "<img src=x onerror=ran=1>@example.com"]) {
    await page.getByLabel("Search by reference, phone number or email address").fill(typed);
    await page.getByRole("button", { name: "Search", exact: true }).click();
    await check(`a search for ${typed.slice(0, 20)}`);
  }
  for (const [mark, pages] of shown) assert.ok(pages.length > 0, `${mark} is shown on no page of ${seen}`);
  await look("hostile search");

  assert.ok(files.size > 0, "there are files");
  for (const path of files) {
    const answer = await page.request.get(path);
    assert.equal(answer.status(), 200, path);
    assert.match(answer.headers()["content-disposition"] ?? "", /^attachment/, path);
    if (!/csv/.test(answer.headers()["content-type"])) continue;
    for (const cell of cells(await answer.text())) assert.doesNotMatch(cell, /^[=+\-@\t\r]/, `${path}: ${cell.slice(0, 80)}`);
  }
  forgive("none");
}, [1280, 320]);

// The cells of a CSV file, each in quotation marks.
function cells(text) {
  return [...text.matchAll(/"((?:[^"]|"")*)"/g)].map(([, cell]) => cell.replaceAll('""', '"'));
}
