// Opens the page in Chromium as a person would, waits until every camera's picture is shown and its numbers move,
// prints what it saw as JSON and takes a screenshot.
//
//   node page.mjs URL SCREENSHOT.png [--cameras N] [--seconds S] [--dark] [--size 1440x900] [--loss]
//
// With --loss it says `shown` on stderr, waits until the page says that the server is gone, says `lost`, and waits
// until all is well again: whoever started it stops and starts the server meanwhile.
//
// Exit code 0 when all was well; 1 otherwise, with what was missing as "problems" in the JSON.
// CHROMIUM names another browser than /usr/bin/chromium.

import { createRequire } from "node:module";
import { mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cameras: { type: "string", default: "1" },
    seconds: { type: "string", default: "60" },
    dark: { type: "boolean", default: false },
    size: { type: "string", default: "1440x900" },
    loss: { type: "boolean", default: false },
  },
});
const [url, screenshot] = positionals;
if (!url || !screenshot) {
  console.error("usage: page.mjs URL SCREENSHOT.png [--cameras N] [--seconds S] [--dark] [--size WxH]");
  process.exit(2);
}

// scripts/setup installs it there.
const cache = process.env.OCELLUS_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ocellus");
const { chromium } = createRequire(join(cache, "peers", "package.json"))("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const profile = mkdtempSync(join(tmpdir(), "ocellus-page-"));
const [width, height] = values.size.split("x").map(Number);
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: FLAGS,
  viewport: { width, height },
  colorScheme: values.dark ? "dark" : "light",
});

const problems = [];
const errors = [];
try {
  const page = browser.pages()[0] ?? (await browser.newPage());
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) errors.push(`asked another server: ${request.url()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) errors.push(`${response.status()} for ${response.url()}`);
  });
  await page.goto(url, { waitUntil: "load" });

  const deadline = Date.now() + Number(values.seconds) * 1000;
  let seen = await wait(page, deadline, missing);
  if (values.loss && problems.length === 0) {
    console.error("shown");
    await wait(page, deadline, notLost);
    console.error("lost");
    if (problems.length === 0) seen = await wait(page, deadline, missing);
    // A browser reports each try of a server that is not there.
    errors.splice(0, errors.length, ...errors.filter((error) => !error.includes("net::ERR_")));
  }
  await page.screenshot({ path: screenshot, fullPage: true });
  if (errors.length > 0) problems.push("the page reported errors");
  console.log(JSON.stringify({ ...seen, errors, problems }, null, 2));
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exit(problems.length > 0 ? 1 : 0);

/** Looks until nothing is wrong, and leaves what still is in `problems`. */
async function wait(page, deadline, wrong) {
  for (let first = null; ; await page.waitForTimeout(250)) {
    const seen = await page.evaluate(look);
    problems.splice(0, problems.length, ...wrong(first, seen));
    if (problems.length === 0 || Date.now() > deadline) return seen;
    // What moves is told from the first sight of all cameras.
    if (seen.cameras.length >= Number(values.cameras)) first ??= seen;
  }
}

/** What does not yet show that the server is gone. */
function notLost(_, seen) {
  const found = seen.notice ? [] : ["no notice says that the daemon is gone"];
  for (const camera of seen.cameras) {
    if (!camera.veil.includes("No connection")) found.push(`${camera.name} looks as if it were live`);
    if (camera.state === "ok") found.push(`${camera.name} is said to be ok`);
  }
  return found;
}

/** What the page shows; runs in the page. */
function look() {
  const text = (element, selector) => element.querySelector(selector)?.textContent.trim() ?? "";
  const shades = (canvas) => {
    if (!canvas.width || !canvas.height) return 0;
    const small = new OffscreenCanvas(32, 32).getContext("2d");
    small.drawImage(canvas, 0, 0, 32, 32);
    const pixels = new Uint32Array(small.getImageData(0, 0, 32, 32).data.buffer);
    return new Set(pixels).size;
  };
  const camera = (card) => {
    const canvas = card.querySelector("canvas");
    return {
      name: text(card, "h2"),
      state: card.querySelector(".state .lamp").dataset.state ?? "",
      veil: text(card, ".veil"),
      picture: { width: canvas.width, height: canvas.height, shades: shades(canvas), captured: text(card, ".captured") },
      numbers: Object.fromEntries([...card.querySelectorAll("[data-of]")].map((b) => [b.dataset.of, b.textContent])),
      total: text(card, ".total"),
      labels: Object.fromEntries([...card.querySelectorAll(".counts li")].map((row) => [text(row, ".label"), text(row, ".value")])),
      seen: card.querySelectorAll(".seen li").length,
      kept: card.querySelectorAll(".kept li").length,
    };
  };
  const fact = (id) => document.getElementById(id).textContent.trim();
  return {
    title: document.title,
    node: fact("node"),
    site: fact("site"),
    mqtt: fact("mqtt"),
    device: fact("device"),
    model: fact("model"),
    notice: fact("notice"),
    cameras: [...document.querySelectorAll(".camera")].map(camera),
  };
}

/** What is not yet as it should be. */
function missing(first, seen) {
  const wanted = Number(values.cameras);
  if (seen.cameras.length < wanted) return [`${seen.cameras.length} of ${wanted} cameras are shown`];
  const found = seen.notice ? [seen.notice] : [];
  for (const camera of seen.cameras) {
    const before = first?.cameras.find((c) => c.name === camera.name);
    const { picture, numbers } = camera;
    if (camera.state !== "ok") found.push(`${camera.name} is ${camera.state || "in no state"}`);
    if (camera.veil) found.push(`${camera.name} shows: ${camera.veil}`);
    if (!(picture.width > 0 && picture.height > 0)) found.push(`${camera.name} shows no picture`);
    else if (picture.shades < 8) found.push(`${camera.name} shows a blank picture`);
    if (!before) found.push(`${camera.name} was not seen twice`);
    else if (picture.captured === before.picture.captured) found.push(`the picture of ${camera.name} stands still`);
    if (!(Number(numbers.scored) > 0)) found.push(`${camera.name} has no rate`);
    const moving = before && (before.total !== camera.total || JSON.stringify(before.numbers) !== JSON.stringify(numbers));
    if (!moving) found.push(`the numbers of ${camera.name} stand still`);
  }
  return found;
}
