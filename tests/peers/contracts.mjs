// Whether docs/reference says what a node publishes: the AsyncAPI document by AsyncAPI's own parser, the schemas and
// the messages by Ajv.
//
//     node contracts.mjs REFERENCE < LINES
//
// REFERENCE is the folder docs/reference; each line is a topic, a space, and a JSON message. Says how many messages of
// each schema were checked; exit code 1 with what is wrong.
import { createRequire } from "node:module";
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";

const require = createRequire(join(process.env.OCELLUS_PEERS, "package.json"));
const { Parser, fromFile } = require("@asyncapi/parser");
const Ajv = require("ajv/dist/2020").default;
const formats = require("ajv-formats").default;

const reference = process.argv[2];
const wrong = [];

const { document, diagnostics } = await fromFile(new Parser(), join(reference, "asyncapi.json")).parse();
for (const { severity, message, path } of diagnostics) {
  if (severity === 0) wrong.push(`asyncapi.json: ${path.join(".")}: ${message}`);
}

// Formats of numbers are Rust's, and say nothing to JSON Schema.
const ajv = new Ajv({ allErrors: true, strict: true, strictTypes: false, validateSchema: true });
formats(ajv);
for (const format of ["float", "double", "uint", "uint8", "uint32", "uint64"]) ajv.addFormat(format, true);
const schemas = {};
// Beside the messages' schemas, which have a version, lies that of the configuration.
for (const file of readdirSync(join(reference, "schemas")).filter((file) => /-\d+\.json$/.test(file))) {
  const schema = JSON.parse(readFileSync(join(reference, "schemas", file), "utf8"));
  try {
    schemas[schema.properties.schema.const] = ajv.compile(schema);
  } catch (error) {
    wrong.push(`${file}: ${error.message}`);
  }
}

// What each channel's address accepts.
const channels = (document?.channels().all() ?? []).map((channel) => ({
  name: channel.id(),
  topic: new RegExp(`^${channel.address().replace(/\{prefix\}/, ".+").replace(/\{\w+\}/g, "[^/]+")}$`),
  schema: channel.messages().all()[0].payload()?.properties()?.schema?.const?.(),
}));

const checked = {};
for await (const line of createInterface({ input: process.stdin })) {
  const space = line.indexOf(" ");
  const [topic, message] = [line.slice(0, space), JSON.parse(line.slice(space + 1))];
  const validate = schemas[message.schema];
  const channel = channels.find(({ topic: accepts }) => accepts.test(topic));
  if (!validate) wrong.push(`${topic}: no schema ${message.schema}`);
  else if (!channel) wrong.push(`${topic}: no channel in asyncapi.json`);
  else if (channel.schema && channel.schema !== message.schema) wrong.push(`${topic}: ${message.schema}`);
  else if (!validate(message)) wrong.push(`${topic}: ${ajv.errorsText(validate.errors)}: ${line.slice(0, 300)}`);
  checked[message.schema] = (checked[message.schema] ?? 0) + 1;
  // What a command brought about may be a message of its own.
  const inner = message.value?.schema;
  if (!inner) continue;
  if (!schemas[inner]?.(message.value)) wrong.push(`${topic}: ${inner}: ${ajv.errorsText(schemas[inner]?.errors)}`);
  checked[inner] = (checked[inner] ?? 0) + 1;
}

console.log(JSON.stringify({ channels: channels.map(({ name }) => name), schemas: Object.keys(schemas), checked }));
if (wrong.length) {
  console.error([...new Set(wrong)].slice(0, 20).join("\n"));
  process.exit(1);
}
