// The pictures of all cameras, over one connection: parts of a multipart stream, each with its camera's name.
// Nothing is asked for while nobody can see it, so that the node need not make it.

const LONGEST_HEAD = 8 * 1024;
const LARGEST_PICTURE = 64 * 1024 * 1024;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;

const text = new TextDecoder();

/** The parts of a multipart body, as `{headers, body}`. They must have a Content-Length. */
async function* parts(stream) {
  const reader = stream.getReader();
  let bytes = new Uint8Array(0);
  const more = async () => {
    const { done, value } = await reader.read();
    if (done) return false;
    const all = new Uint8Array(bytes.length + value.length);
    all.set(bytes);
    all.set(value, bytes.length);
    bytes = all;
    return true;
  };
  try {
    for (;;) {
      let end;
      while ((end = endOfHead(bytes)) < 0) {
        if (bytes.length > LONGEST_HEAD) throw new Error("the stream of pictures makes no sense");
        if (!(await more())) return;
      }
      const headers = new Headers();
      for (const line of text.decode(bytes.subarray(0, end)).split("\r\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) headers.set(line.slice(0, colon), line.slice(colon + 1));
      }
      const length = Number(headers.get("content-length") ?? NaN);
      if (!(length >= 0 && length <= LARGEST_PICTURE)) throw new Error("a picture in the stream has no sensible length");
      const start = end + 4;
      while (bytes.length < start + length) if (!(await more())) return;
      yield { headers, body: bytes.slice(start, start + length) };
      bytes = bytes.slice(start + length);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Where the empty line behind a part's headers is; -1 while it is not there yet. */
function endOfHead(bytes) {
  // A part starts behind the line break that ends the one before.
  for (let i = 2; i + 3 < bytes.length; i++) {
    if (bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 && bytes[i + 3] === 10) return i;
  }
  return -1;
}

/** Keeps the stream open from `start` until `stop`, and opens it again when it ends. */
export class Live {
  /**
   * @param url the stream
   * @param show called with (camera, ImageBitmap, time of capture); the next picture waits for it
   * @param trouble called with a sentence when there are no pictures, and with "" when there are again
   */
  constructor(url, show, trouble) {
    Object.assign(this, { url, show, trouble, running: null });
  }

  start() {
    if (this.running) return;
    this.running = new AbortController();
    this.keepOpen(this.running.signal);
  }

  stop() {
    this.running?.abort();
    this.running = null;
  }

  async keepOpen(signal) {
    let wait = FIRST_WAIT;
    while (!signal.aborted) {
      try {
        await this.read(signal, () => { wait = FIRST_WAIT; });
        if (!signal.aborted) this.trouble("the stream ended; opening it again");
      } catch (error) {
        if (!signal.aborted) this.trouble(error.message);
      }
      // Not all viewers of a node that comes back at the same moment.
      await new Promise((go) => setTimeout(go, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }

  async read(signal, worked) {
    const response = await fetch(this.url, { signal, cache: "no-store" });
    if (!response.ok) {
      const answer = await response.json().catch(() => ({}));
      throw new Error(answer.error ?? `the daemon answered ${response.status}`);
    }
    for await (const { headers, body } of parts(response.body)) {
      const picture = await createImageBitmap(new Blob([body], { type: "image/jpeg" }));
      if (signal.aborted) return;
      worked();
      this.trouble("");
      this.show(headers.get("x-camera") ?? "", picture, headers.get("x-captured-at") ?? "");
      picture.close();
    }
  }
}
