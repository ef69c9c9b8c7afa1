// A stand-in for Azure IoT Hub and Device Provisioning Service over TLS, with the rules that they enforce: whoever breaks
// one is disconnected, as there. What happens is appended to a log of JSON lines before it is acknowledged; commands come
// on stdin as JSON lines.
//
//   node iot_hub.mjs SETTINGS.json

import { createHmac } from "node:crypto";
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { createServer } from "node:tls";
import { pathToFileURL } from "node:url";

const peers = createRequire(`${process.env.OCELLUS_PEERS ?? "."}/package.json`);
const { Aedes } = await import(pathToFileURL(peers.resolve("aedes")));

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { hub, scope, devices, enrolments } = settings;
const MAX_MESSAGE = 256 * 1024;
const MAX_SUBSCRIPTIONS = 5;
const MAX_KEEP_ALIVE = 1177;

const log = (is, more) => appendFileSync(settings.log, `${JSON.stringify({ is, ...more })}\n`);

// ---- What is kept over restarts: twins, and what was changed by commands ----
const keep = existsSync(settings.keep) ? JSON.parse(readFileSync(settings.keep, "utf8")) : { twins: {}, keys: {} };
const save = () => {
  writeFileSync(`${settings.keep}.part`, JSON.stringify(keep));
  renameSync(`${settings.keep}.part`, settings.keep);
};
const twin = (device) => (keep.twins[device] ??= { desired: { $version: 1 }, reported: { $version: 1 } });

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
function merge(target, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete target[key];
    else if (isObject(value)) merge(isObject(target[key]) ? target[key] : (target[key] = {}), value);
    else target[key] = value;
  }
}
function badKey(value) {
  if (!isObject(value)) return null;
  for (const [key, below] of Object.entries(value)) {
    if (/[.$\p{Cc} ]/u.test(key) || key.length > 1024) return key;
    const found = badKey(below);
    if (found) return found;
  }
  return null;
}

// ---- Who may come in ----
function checkToken(password, resource, key, policy) {
  const text = password?.toString() ?? "";
  if (!text.startsWith("SharedAccessSignature ")) return "no token";
  const parts = Object.fromEntries(text.slice(22).split("&").map((part) => {
    const at = part.indexOf("=");
    return [part.slice(0, at), part.slice(at + 1)];
  }));
  if (decodeURIComponent(parts.sr ?? "") !== resource) return `token for ${parts.sr}`;
  if ((parts.skn ?? "") !== policy) return `policy ${parts.skn}`;
  const wanted = createHmac("sha256", Buffer.from(key, "base64")).update(`${parts.sr}\n${parts.se}`).digest("base64");
  if (decodeURIComponent(parts.sig ?? "") !== wanted) return "wrong signature";
  if (!(Number(parts.se) * 1000 > Date.now())) return "token expired";
  return { until: Number(parts.se) * 1000 };
}

function checkCertificate(client, name) {
  const shown = client.conn.getPeerCertificate();
  if (!shown?.subject) return "no certificate";
  if (!client.conn.authorized) return `certificate of another authority: ${client.conn.authorizationError}`;
  return shown.subject.CN === name ? {} : `certificate of ${shown.subject.CN}`;
}

function prove(client, name, how, password, resource, policy) {
  if (how.x509) return password?.length ? "a password beside a certificate" : checkCertificate(client, name);
  return checkToken(password, resource, how.key, policy);
}

/** A broker on a port, which lets in whom `admit` gives something for. */
async function serve(port, admit, rules) {
  const aedes = await Aedes.createBroker({ maxTopicLevels: 20 });
  aedes.preConnect = (client, packet, done) => {
    client.packet = packet;
    done(null, true);
  };
  aedes.authenticate = (client, username, password, done) => {
    const admitted = admit(client, client.packet, username ?? "", password);
    if (typeof admitted === "string") {
      log("refused", { client: client.id, why: admitted });
      const error = new Error(admitted);
      error.returnCode = 5;
      return done(error, false);
    }
    client.who = client.id;
    client.filters = new Set();
    if (admitted.until) {
      client.end = setTimeout(() => closeFor(client, "token expired"), admitted.until - Date.now());
    }
    done(null, true);
  };
  aedes.authorizePublish = (client, packet, done) => {
    if (!client) return done(new Error("nobody"));
    if (packet.qos > 1) return refuse(client, "QoS 2", done);
    const wrong = rules.publish(client, packet);
    return wrong ? refuse(client, wrong, done) : done(null);
  };
  aedes.authorizeSubscribe = (client, subscription, done) => {
    const wrong = rules.subscribe(client, subscription.topic);
    if (wrong) return refuse(client, wrong, done);
    client.filters.add(subscription.topic);
    if (client.filters.size > MAX_SUBSCRIPTIONS) return refuse(client, "too many subscriptions", done);
    done(null, { topic: subscription.topic, qos: Math.min(subscription.qos, 1) });
  };
  aedes.on("clientReady", (client) => {
    log("connected", { client: client.id, clean: client.clean });
    rules.ready?.(client);
  });
  aedes.on("clientDisconnect", (client) => {
    clearTimeout(client.end);
    log("gone", { client: client.id });
  });
  const server = createServer({
    key: readFileSync(settings.key),
    cert: readFileSync(settings.cert),
    ca: readFileSync(settings.ca),
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
  }, aedes.handle);
  await new Promise((ready) => server.listen(port, "127.0.0.1", ready));
  return { aedes, port: server.address().port };
}

function closeFor(client, why) {
  log("closed", { client: client.id, why });
  client.conn.destroy();
}

function refuse(client, why, done) {
  closeFor(client, why);
  done(new Error(why));
}

const answer = (client, filter, topic, payload) => {
  if (client.filters.has(filter)) client.publish({ topic, payload, qos: 0, retain: false }, () => {});
};
const rid = (bag) => /[?&]\$rid=([^&]*)/.exec(bag)?.[1];

// ---- The hub ----
const online = () => [...Object.values(theHub.aedes.clients)];
const RES = "$iothub/twin/res/#";

function admitDevice(client, packet, username, password) {
  const device = packet.clientId;
  const known = devices[device];
  if (packet.protocolVersion !== 4) return "not MQTT 3.1.1";
  if (username !== `${hub}/${device}/?api-version=2021-04-12`) return `user name ${username}`;
  if (!known || keep.keys[device] === null) return "no such device";
  if (packet.keepalive > MAX_KEEP_ALIVE) return "keep-alive too long";
  const will = packet.will;
  if (will && (!will.topic.startsWith(`devices/${device}/messages/events/`) || will.qos > 1)) return `will ${will.topic}`;
  const how = keep.keys[device] ? { key: keep.keys[device] } : known;
  return prove(client, device, how, password, `${hub}/devices/${device}`, "");
}

function bag(text) {
  return Object.fromEntries(text.split("&").filter(Boolean).map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new Error("a property without a value");
    return [decodeURIComponent(pair.slice(0, at)), decodeURIComponent(pair.slice(at + 1))];
  }));
}

function deviceToCloud(client, packet, properties, will) {
  let props;
  try {
    props = bag(properties);
  } catch (error) {
    return `bad properties: ${error.message}`;
  }
  const size = packet.payload.length + Object.entries(props).flat().join("").length;
  if (size > MAX_MESSAGE) return `message of ${size} bytes`;
  if (packet.retain) props["mqtt-retain"] = "true";
  const text = packet.payload.toString();
  let body = text;
  try {
    body = JSON.parse(text);
  } catch { /* Text it stays. */ }
  log("message", { client: client.id, properties: props, body, qos: packet.qos, again: packet.dup === true, will });
  return null;
}

let methods = 0;
let throttled = 0;
const hubRules = {
  subscribe(client, filter) {
    const own = [RES, "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#",
      `devices/${client.id}/messages/devicebound/#`];
    return own.includes(filter) ? null : `filter ${filter}`;
  },
  publish(client, packet) {
    const { topic } = packet;
    const events = `devices/${client.id}/messages/events/`;
    if (topic.startsWith(events)) {
      const will = client.packet.will?.topic === topic && packet.payload.equals(client.packet.will.payload);
      return deviceToCloud(client, packet, topic.slice(events.length), will);
    }
    const id = rid(topic);
    if (id === undefined) return `topic ${topic}`;
    const mine = twin(client.id);
    if (topic.startsWith("$iothub/twin/GET/?")) {
      log("twin asked", { client: client.id });
      answer(client, RES, `$iothub/twin/res/200/?$rid=${id}`, JSON.stringify(mine));
    } else if (topic.startsWith("$iothub/twin/PATCH/properties/reported/?")) {
      if (throttled > 0) {
        throttled -= 1;
        answer(client, RES, `$iothub/twin/res/429/?$rid=${id}`, '{"message":"slow down"}');
        return null;
      }
      const patch = JSON.parse(packet.payload.toString());
      const bad = badKey(patch);
      if (bad || packet.payload.length > 32 * 1024) {
        log("refused patch", { client: client.id, bad });
        answer(client, RES, `$iothub/twin/res/400/?$rid=${id}`, '{"message":"bad property"}');
        return null;
      }
      merge(mine.reported, patch);
      mine.reported.$version += 1;
      save();
      log("reported", { client: client.id, patch, reported: mine.reported });
      answer(client, RES, `$iothub/twin/res/204/?$rid=${id}&$version=${mine.reported.$version}`, "");
    } else if (topic.startsWith("$iothub/methods/res/")) {
      const status = Number(topic.split("/")[3]);
      log("answered", { client: client.id, rid: id, status, body: JSON.parse(packet.payload.toString() || "null") });
    } else {
      return `topic ${topic}`;
    }
    return null;
  },
};

// ---- Provisioning ----
const operations = new Map();
function admitRegistration(client, packet, username, password) {
  const id = packet.clientId;
  const resource = `${scope}/registrations/${id}`;
  if (username !== `${resource}/api-version=2019-03-31`) return `user name ${username}`;
  if (!packet.clean) return "a persistent session";
  const enrolment = enrolments[id] ?? enrolments["*"];
  if (!enrolment) return "no such enrolment";
  const own = enrolment.group
    ? { key: createHmac("sha256", Buffer.from(enrolment.group, "base64")).update(id).digest("base64") }
    : enrolment;
  return prove(client, id, own, password, resource, own.x509 ? "" : "registration");
}
const PROVISIONED = "$dps/registrations/res/#";
const provisioningRules = {
  subscribe: (_, filter) => (filter === PROVISIONED ? null : `filter ${filter}`),
  publish(client, packet) {
    const { topic } = packet;
    const id = rid(topic);
    if (topic.startsWith("$dps/registrations/PUT/iotdps-register/?")) {
      const body = JSON.parse(packet.payload.toString());
      if (body.registrationId !== client.id) return "another registration";
      const operation = `4.${Date.now().toString(16)}.${operations.size}`;
      operations.set(operation, settings.polls ?? 1);
      log("registering", { client: client.id });
      answer(client, PROVISIONED, `$dps/registrations/res/202/?$rid=${id}&retry-after=1`,
        JSON.stringify({ operationId: operation, status: "assigning" }));
    } else if (topic.startsWith("$dps/registrations/GET/iotdps-get-operationstatus/?")) {
      const operation = /[?&]operationId=([^&]*)/.exec(topic)?.[1];
      const left = operations.get(operation);
      if (left === undefined) return `operation ${operation}`;
      operations.set(operation, left - 1);
      const done = left <= 1;
      const device = (enrolments[client.id] ?? enrolments["*"]).device ?? client.id;
      const state = done
        ? { registrationState: { registrationId: client.id, assignedHub: hub, deviceId: device, status: "assigned" } }
        : {};
      if (done) log("assigned", { client: client.id, device });
      answer(client, PROVISIONED, `$dps/registrations/res/${done ? 200 : 202}/?$rid=${id}${done ? "" : "&retry-after=1"}`,
        JSON.stringify({ operationId: operation, status: done ? "assigned" : "assigning", ...state }));
    } else {
      return `topic ${topic}`;
    }
    return null;
  },
};

// ---- Commands ----
const commands = {
  desired({ device, patch, silent }) {
    const { desired } = twin(device);
    merge(desired, patch);
    desired.$version += 1;
    save();
    const bytes = JSON.stringify({ ...patch, $version: desired.$version });
    const topic = `$iothub/twin/PATCH/properties/desired/?$version=${desired.$version}`;
    if (silent) return;
    for (const client of online().filter((client) => client.id === device)) {
      answer(client, "$iothub/twin/PATCH/properties/desired/#", topic, bytes);
    }
  },
  /** Repeats a change of an old version, as a network may. */
  stale({ device, patch, version }) {
    const topic = `$iothub/twin/PATCH/properties/desired/?$version=${version}`;
    for (const client of online().filter((client) => client.id === device)) {
      answer(client, "$iothub/twin/PATCH/properties/desired/#", topic, JSON.stringify({ ...patch, $version: version }));
    }
  },
  method({ device, name, payload }) {
    methods += 1;
    for (const client of online().filter((client) => client.id === device)) {
      answer(client, "$iothub/methods/POST/#", `$iothub/methods/POST/${name}/?$rid=${methods.toString(16)}`,
        typeof payload === "string" ? payload : JSON.stringify(payload));
    }
  },
  kick({ device }) {
    for (const client of online().filter((client) => client.id === device)) closeFor(client, "kicked");
  },
  /** Another key for a device; null removes the device. */
  key({ device, key }) {
    keep.keys[device] = key;
    save();
    commands.kick({ device });
  },
  throttle({ times }) {
    throttled = times;
  },
};

const theHub = await serve(settings.port ?? 0, admitDevice, hubRules);
const service = await serve(settings.provisioningPort ?? 0, admitRegistration, provisioningRules);
log("ready", { port: theHub.port, provisioningPort: service.port });
createInterface({ input: process.stdin }).on("line", (line) => {
  const { do: name, ...rest } = JSON.parse(line);
  commands[name](rest);
}).on("close", () => process.exit(0));
