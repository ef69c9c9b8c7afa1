// One camera's card. Everything that comes from outside becomes text, never markup.

import * as format from "/format.js";

const ARROWS = { left: "←", right: "→", up: "↑", down: "↓" };
const STATES = { connecting: "Connecting", ok: "OK", frozen: "Frozen", blind: "Blind", off: "Off" };
/** Labels that are listed before someone asks for all. */
const FEW = 8;
/** A camera that shows nothing new for this long has gone quiet, in milliseconds; slow ones get four pictures' time. */
const QUIET = 3000;

export const template = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Writes only what changed, so that selections survive and nothing is laid out for nothing. */
export function write(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Makes `list` show `items` in their order, keeping elements by key. */
function fill(list, items, key, make, update) {
  const old = new Map([...list.children].map((element) => [element.dataset.key, element]));
  let place = list.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = old.get(name);
    if (element) old.delete(name);
    else {
      element = make(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
}

/** Why a frame was kept, in words. */
export function reason(kept) {
  const { kind, label, score, change, second, rule, what } = kept.reason;
  if (kind === "band") return { label: `${label} ${format.percent(score)}`, short: "unsure", why: "The model was unsure" };
  if (kind === "margin") return { label, short: "torn", why: `As likely ${second}` };
  if (kind === "rare") return { label, short: "rare", why: "Hardly ever seen here" };
  if (kind === "rule") return { label, short: rule, why: `It ${what} ${rule}` };
  if (kind === "novel") return { label: "", short: "new", why: "Unlike what was kept" };
  if (kind === "random") return { label: "", short: "by chance", why: "Drawn by chance" };
  if (kind === "operator") return { label: "", short: "asked for", why: "Somebody asked for it" };
  if (kind !== "flicker") return { label: label ?? "", short: kind, why: kind };
  if (change === "vanished") return { label, short: "vanished", why: "Missing in this one frame" };
  if (change === "relabelled") return { label, short: "relabelled", why: "Something else in this one frame" };
  return { label, short: "appeared", why: "There in this one frame only" };
}

/** Puts the box of a kept frame over its picture. */
export function mark(box, kept) {
  box.hidden = !kept.box;
  box.style.setProperty("--label", kept.colour);
  for (const [i, side] of ["x", "y", "w", "h"].entries()) box.style.setProperty(`--${side}`, kept.box?.[i] ?? 0);
}

export class Camera {
  /** @param open called with the list of kept frames and the one to show */
  constructor(name, open) {
    this.name = name;
    this.open = open;
    this.path = `/api/cameras/${encodeURIComponent(name)}`;
    this.element = template("camera");
    this.all = false;
    /** When the last picture came and how far apart they are, in milliseconds; undefined without any. */
    this.last = undefined;
    this.apart = 0;
    const part = (selector) => this.element.querySelector(selector);
    this.parts = {
      state: part(".state .lamp"), since: part(".since"), view: part(".view"),
      canvas: part("canvas"), veil: part(".veil strong"), why: part(".veil span"), age: part(".age"), captured: part(".captured"),
      size: part(".size"), counts: part(".counts ol"), total: part(".total"), more: part(".counts button"),
      rules: part(".rules"), seen: part(".seen ol"), kept: part(".kept ol"),
    };
    this.numbers = Object.fromEntries([...this.element.querySelectorAll("[data-of]")].map((b) => [b.dataset.of, b]));
    this.pen = this.parts.canvas.getContext("2d");
    this.label(part);
  }

  label(part) {
    const heading = part("h2");
    heading.textContent = this.name;
    heading.id = `camera-${this.name}`;
    this.element.setAttribute("aria-labelledby", heading.id);
    this.parts.canvas.setAttribute("aria-label", `Live picture of ${this.name}`);
    const snapshot = part(".snapshot");
    snapshot.href = `${this.path}/snapshot.jpg`;
    snapshot.title = `Newest frame of ${this.name} in full size`;
    snapshot.setAttribute("aria-label", snapshot.title);
    const fullscreen = part(".fullscreen");
    fullscreen.title = `${this.name} on the full screen`;
    fullscreen.setAttribute("aria-label", fullscreen.title);
    fullscreen.hidden = !document.fullscreenEnabled;
    fullscreen.addEventListener("click", () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else this.parts.view.requestFullscreen().catch(() => { fullscreen.hidden = true; });
    });
    this.parts.more.addEventListener("click", () => {
      this.all = !this.all;
      this.showCounts(this.state.counts);
    });
  }

  /** Shows a picture. */
  show(picture, capturedAt) {
    const { canvas, captured, size, view } = this.parts;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
      canvas.style.setProperty("--aspect", `${picture.width} / ${picture.height}`);
    }
    this.pen.drawImage(picture, 0, 0);
    write(captured, format.time(capturedAt));
    const frame = this.state?.last?.frame;
    write(size, frame ? `${frame.width} × ${frame.height}` : "");
    const now = performance.now();
    if (this.last !== undefined) this.apart = 0.7 * this.apart + 0.3 * Math.min(now - this.last, 60_000);
    this.last = now;
    if (view.classList.contains("stale") && this.state?.status.state === "ok") view.classList.remove("stale");
  }

  /** Takes the camera's part of the node's state, made at `at`. */
  update(state, at) {
    this.state = state;
    const { status, stats, last } = state;
    const { parts, numbers } = this;
    parts.state.dataset.state = status.state;
    write(parts.state, STATES[status.state] ?? status.state);
    const since = `for ${format.span((Date.parse(at) - Date.parse(status.since)) / 1000)}`;
    write(parts.since, last ? `${since} · ${last.model.name} ${last.model.version}` : since);
    parts.since.title = `since ${format.time(status.since)}`;
    write(numbers.captured, stats ? format.rate(stats.captured_fps) : "–");
    write(numbers.scored, stats ? format.rate(stats.scored_fps) : "–");
    write(numbers.dropped, stats ? format.count(stats.dropped) : "–");
    for (const p of ["p50", "p95", "p99"]) {
      write(numbers[p], stats?.scored ? format.milliseconds(stats.latency_ms[p]) : "–");
    }
    this.showCounts(state.counts);
    this.showRules(state.rules);
    this.showSeen(state.recent);
    this.showKept(state.kept);
  }

  showCounts(counts) {
    const { parts } = this;
    const largest = Math.max(1, ...counts.map((c) => c.count));
    const shown = this.all ? counts : counts.slice(0, FEW);
    fill(parts.counts, shown, (c) => (c.label === null ? "rest" : `=${c.label}`), () => template("count"), (row, c) => {
      const label = row.querySelector(".label");
      write(label, c.label ?? "all others");
      label.title = c.label ?? "";
      row.style.setProperty("--label", c.colour);
      row.style.setProperty("--share", `${(100 * c.count) / largest}%`);
      write(row.querySelector(".value"), format.count(c.count));
    });
    write(parts.total, counts.length ? format.count(counts.reduce((sum, c) => sum + c.count, 0)) : "");
    parts.counts.nextElementSibling.hidden = counts.length > 0;
    parts.more.hidden = counts.length <= FEW;
    parts.more.setAttribute("aria-expanded", String(this.all));
    write(parts.more, this.all ? "Show fewer" : `Show ${counts.length - FEW} more`);
  }

  /** Running counts: of a line for each direction, of a zone what is inside and what came in. */
  showRules(rules) {
    const { parts } = this;
    const rows = rules.flatMap((rule) => (rule.crossed
      ? Object.entries(rule.crossed).map(([way, tally]) => ({ name: `${rule.rule} ${ARROWS[way] ?? way}`, tally, more: [] }))
      : [{ name: rule.rule, tally: rule.entered, more: [`${format.count(rule.present)} inside`] }]));
    fill(parts.rules, rows, (r) => r.name, () => template("rule"), (row, r) => {
      write(row.querySelector("dt"), r.name);
      write(row.querySelector("b"), format.count(r.tally.total));
      const groups = Object.entries(r.tally.groups ?? {}).map(([name, n]) => `${name} ${format.count(n)}`);
      write(row.querySelector("span"), [...groups.reverse(), ...r.more].join(" · "));
    });
    parts.rules.hidden = rows.length === 0;
  }

  showSeen(moments) {
    const { seen } = this.parts;
    fill(seen, moments.slice(0, FEW), (m) => m.at, () => template("moment"), (row, m) => {
      const time = row.querySelector("time");
      time.dateTime = m.at;
      write(time, format.time(m.at));
      const best = [...m.seen].sort((a, b) => b.count - a.count || b.score - a.score);
      fill(row.querySelector(".chips"), best, (s) => s.label, () => template("chip"), (chip, s) => {
        chip.style.setProperty("--label", s.colour);
        write(chip.querySelector(".label"), s.count > 1 ? `${s.label} ×${s.count}` : s.label);
        write(chip.querySelector(".value"), format.percent(s.score));
      });
    });
    seen.nextElementSibling.hidden = moments.length > 0;
  }

  showKept(frames) {
    const { kept } = this.parts;
    kept.parentElement.hidden = frames.length === 0;
    fill(kept, frames, (k) => k.id, (k) => this.thumb(k), () => {});
  }

  thumb(kept) {
    const item = template("thumb");
    const { label, short, why } = reason(kept);
    const button = item.querySelector("button");
    button.title = `${why}: ${label}`;
    button.addEventListener("click", () => this.open(this, kept.id));
    item.querySelector("img").src = this.picture(kept);
    item.querySelector(".frame").style.setProperty("--aspect", `${kept.width} / ${kept.height}`);
    item.querySelector(".label").textContent = label;
    item.querySelector(".why span").textContent = short;
    item.querySelector("time").textContent = format.time(kept.at);
    mark(item.querySelector(".box"), kept);
    return item;
  }

  /** Where the picture of a kept frame is. */
  picture(kept) {
    return `${this.path}/kept/${encodeURIComponent(kept.id)}`;
  }

  /** Says plainly when what is shown is not what is. `lost` is why nothing can come, `paused` that nothing should. */
  judge({ lost, paused, trouble }) {
    const { view, veil, why, age } = this.parts;
    const status = this.state?.status;
    const old = this.last === undefined ? undefined : performance.now() - this.last;
    const quiet = old === undefined || old > Math.max(QUIET, 4 * this.apart);
    let title = "";
    let text = "";
    if (lost) title = "No connection to the daemon";
    else if (status && status.state !== "ok") [title, text] = [STATES[status.state] ?? status.state, status.reason];
    else if (paused) title = "";
    else if (trouble && quiet) [title, text] = ["No pictures", trouble];
    else if (old === undefined) title = "Waiting for the first picture";
    else if (quiet) title = "No new pictures";
    if (lost) {
      this.parts.state.dataset.state = "off";
      write(this.parts.state, "Unknown");
    }
    view.classList.toggle("stale", title !== "");
    view.classList.toggle("paused", paused);
    write(veil, title);
    write(why, text);
    write(age, title && old !== undefined ? `This picture is ${format.span(old / 1000)} old` : "");
  }

  /** Forgets how old the picture is, for a stream that begins anew. */
  renew() {
    if (this.last !== undefined) this.last = performance.now();
  }
}
