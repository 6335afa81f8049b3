// Searches by each kind of term and narrows what is found, in Chromium with and without JavaScript; `look.mjs` says what is looked at.
//
// Reads from the environment beside what that reads: EMAIL and PASSWORD. What there is to be found stands in `browser.rs`.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { BASE_URL, EMAIL, PASSWORD } = process.env;
const ID = "8d1ee2f1-0a55-4a1f-a2b2-3bd4b1c5f6aa";

let isWeighed = false;

// What the results weigh on the wire, where the browser has nothing yet and where it has been there before.
async function weigh(context) {
  const fresh = await context.browser().newContext({ baseURL: BASE_URL, storageState: await context.storageState() });
  const page = await fresh.newPage();
  const asked = [];
  page.on("requestfinished", (request) => asked.push(request));
  const visit = async () => {
    asked.length = 0;
    await page.goto("/receipts", { waitUntil: "networkidle" });
    assert.equal(await page.locator("main tbody th").count(), 50);
    const sizes = await Promise.all(asked.map((request) => request.sizes()));
    return sizes.reduce((sum, { responseHeadersSize, responseBodySize }) => sum + responseHeadersSize + responseBodySize, 0);
  };
  const [first, after] = [await visit(), await visit()];
  console.log(`results: ${first} bytes at first, ${after} after`);
  assert.ok(first > 10_000 && first < 40_000, `the first visit is ${first} bytes`);
  assert.ok(after > 1_000 && after < 10_000, `the next visit is ${after} bytes`);
  await fresh.close();
}

await everywhere(async ({ page, context, look, heading }) => {
  const search = async (typed) => {
    await page.getByLabel("Search by reference, phone number or email address").fill(typed);
    await page.getByRole("button", { name: "Search", exact: true }).click();
  };
  const said = (words) => page.getByText(words).isVisible();
  const rows = () => page.locator("main tbody th").count();
  const isPersonal = async () => {
    assert.match(page.url(), /\/search\/[0-9a-f]{64}(\?|$)/, "nothing personal stands in the address");
    assert.match(await page.title(), /^Search results/, "or in the title");
  };

  await page.goto("/sign-in");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  if (!isWeighed) await weigh(context);
  isWeighed = true;

  await search(" 07700 900 123 ");
  await isPersonal();
  assert.ok(await said("Searched as a phone number: messages to and from +447700900123."));
  assert.equal(await rows(), 2, "what was sent and what was received");
  await look("search for a number");
  await search("A.Very.Long.Address.That.Does.Not.Fit.Anywhere@department.example.gov.uk");
  await isPersonal();
  assert.ok(await said("Searched as an email address"));
  await look("search for an address");
  await search(ID.toUpperCase());
  assert.ok(await said("Searched as a Notify ID"));
  assert.equal(await rows(), 1);
  await look("search for an id");

  await search("hb 2026 0000");
  assert.match(await heading(), /^2 results for ‘hb 2026 0000’/);
  assert.match(page.url(), /\/receipts\?q=hb/, "a reference can be shared");
  await page.getByRole("link", { name: "as words in text messages" }).click();
  await isPersonal();
  assert.match(await heading(), /^0 results for/);
  await look("search as words");
  await page.getByRole("link", { name: "anywhere in a reference" }).click();
  await isPersonal();
  await look("search anywhere");

  await search("move my appointment");
  await isPersonal();
  assert.deepEqual(await page.locator("mark").allInnerTexts(), ["move", "my", "appointment"]);
  await look("words of a text");
  const found = page.url();
  await page.getByRole("link", { name: "Read the conversation" }).click();
  assert.match(await heading(), /^Conversation with /);
  await page.getByRole("link", { name: "Back to results" }).click();
  assert.equal(page.url(), found, "Back leads to the same results");

  await page.goto("/receipts?status=sending");
  assert.ok(await page.getByLabel("Status").isVisible(), "filters that are set are seen");
  await page.getByRole("link", { name: "Next page" }).click();
  await page.getByLabel("Kind").selectOption("Letter");
  await page.getByLabel("Service").selectOption({ index: 1 });
  await page.getByRole("group", { name: "Earliest date" }).getByLabel("Day").fill("31");
  await page.getByRole("group", { name: "Earliest date" }).getByLabel("Month").fill("2");
  await page.getByRole("group", { name: "Earliest date" }).getByLabel("Year").fill("2026");
  await page.getByRole("button", { name: "Apply filters" }).click();
  assert.match(await page.title(), /^Error: /);
  await look("filters refused");
  await page.getByRole("link", { name: "Earliest date must be a real date" }).click();
  assert.equal(await page.locator(":focus").getAttribute("name"), "earliest-day", "the error leads to the field");
  await page.locator(":focus").fill("1");
  await page.getByRole("button", { name: "Apply filters" }).click();
  assert.ok(await said(/^Showing 1 to 50 of 60$/), "it begins on the first page");
  await look("filters");
  for (const filter of ["Delivering", "Letter", "Service: ", "From 1 February 2026"]) {
    await page.getByRole("link", { name: `Remove this filter: ${filter}` }).click();
    assert.equal(await page.getByRole("link", { name: `Remove this filter: ${filter}` }).count(), 0);
  }
  assert.equal(new URL(page.url()).search, "", "all filters are gone");

  await page.getByText("Filters", { exact: true }).click();
  await page.getByLabel("Only failures").check();
  await page.getByLabel("Template ID").fill("F9D696DE-3CE8-459F-9F0E-8781D2FE61A6");
  await page.getByRole("button", { name: "Apply filters" }).click();
  assert.equal(await rows(), 1);
  await page.getByLabel("Kind").selectOption("Email");
  await page.getByRole("button", { name: "Apply filters" }).click();
  assert.ok(await said("Nothing matches."));
  await look("filters that nothing meets");
  await page.getByRole("link", { name: "Clear filters" }).click();
  assert.equal(new URL(page.url()).search, "");
});
