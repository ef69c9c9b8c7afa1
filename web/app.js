// The page: takes the node's state once a second and the pictures as they come, and says so when they don't.

import * as format from "/format.js";
import { Camera, mark, reason, write } from "/camera.js";
import { Live } from "/live.js";

/** The state comes each second; without it for this long the daemon is taken for gone, in milliseconds. */
const SILENCE = 4500;
/** Pause before the state is asked for again, in milliseconds. */
const RETRY = 2000;
const MQTT = { off: "Off", connecting: "Connecting", connected: "Connected" };

const $ = (id) => document.getElementById(id);
const cameras = new Map();
const live = new Live("/api/live.mjpeg", show, (why) => { trouble = why; });
let trouble = "";
let paused = false;
let lost = false;
let heard = performance.now();
let source = null;
let version = "";

/* The state. */

function listen() {
  source?.close();
  heard = performance.now();
  source = new EventSource("/api/events");
  source.addEventListener("state", (event) => take(JSON.parse(event.data)));
}

function take(state) {
  heard = performance.now();
  // A new daemon brings a new page.
  if (version && version !== state.version) location.reload();
  version = state.version;
  if (lost) {
    lost = false;
    watch();
  }
  node(state);
  for (const name of cameras.keys()) {
    if (!state.cameras.some((camera) => camera.name === name)) {
      cameras.get(name).element.remove();
      cameras.delete(name);
    }
  }
  for (const camera of state.cameras) {
    if (!cameras.has(camera.name)) {
      const card = new Camera(camera.name, open);
      cameras.set(camera.name, card);
      $("cameras").append(card.element);
    }
    cameras.get(camera.name).update(camera, state.at);
  }
  write($("empty"), "No camera is configured: add a table [cameras.NAME] to the configuration.");
  $("empty").hidden = state.cameras.length > 0;
  judge();
}

function node(state) {
  write($("node"), state.node);
  write($("site"), state.site);
  write($("version"), state.version);
  write($("device"), state.device || "–");
  write($("uptime"), format.span(state.uptime_s));
  const models = new Set(state.cameras.flatMap((c) => (c.last ? [`${c.last.model.name} ${c.last.model.version}`] : [])));
  write($("model"), [...models].join(", ") || "–");
  $("mqtt").dataset.state = state.mqtt.state;
  write($("mqtt"), MQTT[state.mqtt.state] ?? state.mqtt.state);
  const dropped = state.mqtt_dropped ? `${format.count(state.mqtt_dropped)} dropped` : "";
  write($("mqtt-more"), [state.mqtt.broker, state.mqtt.reason, dropped].filter(Boolean).join(" · "));
  write($("kept"), format.count(state.evidence_kept));
  write($("kept-more"), state.evidence_dropped ? `${format.count(state.evidence_dropped)} lost` : "");
}

/* The pictures. */

function show(name, picture, capturedAt) {
  cameras.get(name)?.show(picture, capturedAt);
}

function watch() {
  const wanted = !paused && !lost && !document.hidden;
  if (wanted) {
    for (const camera of cameras.values()) camera.renew();
    trouble = "";
    live.start();
  } else {
    live.stop();
  }
  judge();
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").classList.toggle("on", paused);
  write($("pause-text"), paused ? "Resume" : "Pause");
  watch();
});

// A hidden page holds no connection: browsers have few for each server, and the node need not draw for nobody.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close();
  else listen();
  watch();
});

/* What is wrong, if anything. */

function judge() {
  const notice = lost ? "The daemon does not answer. What you see is old; this page goes on as soon as it is back." : "";
  if ($("notice").textContent !== notice) $("notice").textContent = notice;
  $("notice").hidden = !lost;
  document.body.classList.toggle("lost", lost);
  let well = !lost;
  for (const camera of cameras.values()) {
    camera.judge({ lost, paused, trouble });
    well &&= camera.state?.status.state === "ok";
  }
  if (lost) {
    $("mqtt").dataset.state = "off";
    write($("mqtt"), "Unknown");
    write($("mqtt-more"), "");
  }
  const name = $("node").textContent;
  document.title = `${well ? "" : "⚠ "}${name === "Ocellus" ? "" : `${name} · `}Ocellus`;
}

setInterval(() => {
  if (document.hidden) return;
  const silence = performance.now() - heard;
  if (silence > SILENCE && !lost) {
    lost = true;
    // What is still open may hang for minutes.
    live.stop();
  }
  // The browser tries again by itself only after some kinds of failure.
  if (silence > SILENCE || source?.readyState === EventSource.CLOSED) retry();
  judge();
}, 1000);

let retrying = 0;
function retry() {
  const now = performance.now();
  if (now - retrying < RETRY) return;
  retrying = now;
  const was = heard;
  listen();
  heard = was;
}

/* A kept frame, large. */

let album = null;

function open(camera, id) {
  album = { camera, frames: camera.state.kept, id };
  turn(0);
  $("light").showModal();
}

function turn(step) {
  const at = album.frames.findIndex((kept) => kept.id === album.id) + step;
  const kept = album.frames[at];
  if (!kept) return;
  album.id = kept.id;
  const { label, why } = reason(kept);
  $("light-picture").src = album.camera.picture(kept);
  $("light-picture").alt = `Frame of ${album.camera.name}: ${label}`;
  $("light-frame").style.setProperty("--aspect", `${kept.width} / ${kept.height}`);
  write($("light-title"), label);
  write($("light-text"), `${why} · ${album.camera.name} · ${format.time(kept.at)}`);
  mark($("light").querySelector(".box"), kept);
  $("light-newer").disabled = at === 0;
  $("light-older").disabled = at === album.frames.length - 1;
}

$("light-newer").addEventListener("click", () => turn(-1));
$("light-older").addEventListener("click", () => turn(1));
$("light").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") turn(-1);
  if (event.key === "ArrowRight") turn(1);
});
$("light").addEventListener("click", (event) => {
  // The backdrop belongs to the dialog; what is in it has its own elements.
  if (event.target === $("light")) $("light").close();
});

listen();
watch();
