/*
 * <workflow-stream> shows what a run writes while it is being written,
 * <workflow-status> how the run stands. Described in docs/how-to/live-pages.md.
 *
 * Text goes in as text nodes only, so nothing that a stream holds is ever taken for
 * markup. Styles are constructed, scripts are this file: `default-src 'self'` will do.
 */

const SHORTEST_DELAY = 250; // milliseconds before the first new try
const LONGEST_DELAY = 30_000;
const MOST_FAILURES = 50; // in a row, before giving up
const SILENCE = 60_000; // milliseconds; a server that lives says so every 15 seconds
const QUIET = 1_000; // milliseconds without a chunk, then assistive technology may speak
const TEXT_NODE_LENGTH = 4_096; // appending to longer text nodes grows slow
const END_STATUSES = new Set([
  "completed",
  "failed",
  "cancelled",
  "terminated",
  "timed_out",
  "continued_as_new",
]);

// --- connections ---------------------------------------------------------------------

/** Open one WebSocket; return the function that ends it. */
function openWebSocket(url, { opened, received, lost }) {
  const socket = new WebSocket(url);
  let timer;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => lost("nothing was heard for a minute"), SILENCE);
  };
  listen();
  socket.onopen = opened;
  socket.onmessage = (event) => {
    listen();
    received(event.data);
  };
  socket.onclose = (event) => lost(event.reason || `closed with code ${event.code}`);
  return () => {
    clearTimeout(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  };
}

/** The same with Server-Sent Events. Reconnecting is the caller's, as with a socket. */
function openEventSource(url, { opened, received, lost }) {
  const source = new EventSource(url);
  source.onopen = opened;
  source.onmessage = (event) => received(event.data);
  source.onerror = () => lost("the event stream broke off");
  return () => source.close();
}

/** A connection that comes back when it is lost, until `close()`. */
class Connection {
  #open;
  #receiver;
  #end = () => {};
  #timer;
  #failures = 0;
  #openSince = null;

  /**
   * `open` opens one transport. `receiver` has the methods `connected()`,
   * `received(message)`, `lost(reason, delay)` and `failed(reason)`.
   */
  constructor(open, receiver) {
    this.#open = open;
    this.#receiver = receiver;
    this.#connect();
    window.addEventListener("online", this);
  }

  /** End it for good. */
  close() {
    window.removeEventListener("online", this);
    this.#drop();
  }

  /** Take what was received for a sign that the connection is worth keeping. */
  succeeded() {
    this.#failures = 0;
  }

  /** Drop the present connection, and try again after a while. */
  lose(reason) {
    this.#drop();
    const lasted = this.#openSince === null ? 0 : performance.now() - this.#openSince;
    if (lasted > LONGEST_DELAY) this.#failures = 0;
    if (this.#failures >= MOST_FAILURES) {
      this.#receiver.failed(reason);
      return;
    }
    // Jitter, so that a server that restarts does not meet all its clients at once.
    const ceiling = Math.min(LONGEST_DELAY, SHORTEST_DELAY * 2 ** this.#failures);
    const delay = ceiling * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#receiver.lost(reason, delay);
  }

  /** The network is back: the old connection may be dead without knowing it. */
  handleEvent() {
    this.#failures = 0;
    this.#drop();
    this.#connect();
  }

  #connect() {
    this.#openSince = null;
    this.#end = this.#open({
      opened: () => {
        this.#openSince = performance.now();
        this.#receiver.connected();
      },
      received: (text) => this.#receiver.received(JSON.parse(text)),
      lost: (reason) => this.lose(reason),
    });
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#end();
    this.#end = () => {};
  }
}

// --- what both elements have in common -----------------------------------------------

function styleSheet(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return sheet;
}

/** Make an element inside a shadow root; `part` is its name for the page's styles. */
function partOf(root, tag, part, attributes = {}) {
  const element = document.createElement(tag);
  element.setAttribute("part", part);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  root.append(element);
  return element;
}

class WorkflowElement extends HTMLElement {
  static observedAttributes = ["run", "transport", "websocket-url", "sse-url"];

  #connection = null;
  #begun = false;
  #restarting = false;

  connectedCallback() {
    if (this.#begun) this.connect();
    else this.restart();
  }

  disconnectedCallback() {
    this.disconnect();
  }

  attributeChangedCallback(_name, before, now) {
    if (before === now || !this.#begun || this.#restarting) return;
    this.#restarting = true; // once, when several attributes change together
    queueMicrotask(() => {
      this.#restarting = false;
      if (this.isConnected) this.restart();
      else this.#begun = false;
    });
  }

  /** Forget everything and begin again, as the attributes are now. */
  restart() {
    this.#begun = true;
    this.disconnect();
    this.connect();
  }

  /** Connect, or connect anew. Nothing happens while no run is named. */
  connect() {
    this.disconnect();
    if (!this.getAttribute("run")) return;
    const open = this.#usesEvents ? openEventSource : openWebSocket;
    this.setAttribute("state", "connecting");
    this.#connection = new Connection(
      (handlers) => open(this.#address(), handlers),
      this,
    );
  }

  /** End the connection; `connect()` goes on where it was. */
  disconnect() {
    if (this.#connection === null) return;
    this.#connection.close();
    this.#connection = null;
    this.setAttribute("state", "disconnected");
  }

  get connection() {
    return this.#connection;
  }

  /** The texts of the page's language, by status or state. */
  get labels() {
    return JSON.parse(this.getAttribute("labels") ?? "{}");
  }

  announce(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // What `Connection` calls.

  connected() {
    this.setAttribute("state", "open");
    this.announce("open");
  }

  lost(reason, delay) {
    this.setAttribute("state", "reconnecting");
    this.announce("error", { reason, retryIn: delay });
  }

  failed(reason) {
    this.disconnect();
    this.setAttribute("state", "failed");
    this.announce("error", { reason, retryIn: null });
  }

  get #usesEvents() {
    return this.getAttribute("transport") === "sse";
  }

  #address() {
    const run = encodeURIComponent(this.getAttribute("run"));
    let path = this.getAttribute("websocket-url") ?? `/ws/workflows/runs/${run}/`;
    if (this.#usesEvents) {
      path = this.getAttribute("sse-url");
      if (path === null) throw new Error('transport="sse" needs the attribute sse-url');
    }
    const url = new URL(path, location.href);
    if (!this.#usesEvents) url.protocol = url.protocol.replace("http", "ws");
    for (const [name, value] of Object.entries(this.query())) {
      url.searchParams.set(name, value);
    }
    return url.href;
  }
}

// --- <workflow-stream> ---------------------------------------------------------------

const STREAM_STYLES = styleSheet(`
  :host { display: block; }
  :host([hidden]) { display: none; }
  [part="output"] { white-space: pre-wrap; overflow-wrap: anywhere; }
  :host([format="json"]) [part="output"] {
    font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, monospace;
  }
  [part="progress"] {
    display: block;
    inline-size: 100%;
    margin-block-end: 0.75em;
    accent-color: var(--workflow-accent, auto);
  }
  [part="notice"] { font-size: 0.875em; opacity: 0.75; }
  [part="notice"]:not(:empty) { margin-block-start: 0.5em; }
  [hidden] { display: none; }
`);

const STREAM_LABELS = {
  progress: "Progress",
  reconnecting: "Connection lost. Trying again…",
  failed: "No connection.",
};

export class WorkflowStream extends WorkflowElement {
  static observedAttributes = [
    ...WorkflowElement.observedAttributes,
    "namespace",
    "start",
    "format",
  ];

  #progress;
  #notice;
  #renderer = null;
  #next = null; // the index of the next chunk; null: as the attribute `start` says
  #closed = false;
  #section = null; // what holds the chunks of one attempt
  #pendingBytes = new Uint8Array();
  #quietTimer;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STREAM_STYLES];
    this.#progress = partOf(root, "progress", "progress", { max: 1, hidden: "" });
    partOf(root, "div", "output").append(document.createElement("slot"));
    this.#notice = partOf(root, "div", "notice", { role: "status" });
  }

  connectedCallback() {
    for (const [name, value] of [
      ["role", "log"],
      ["aria-live", "polite"],
    ]) {
      if (!this.hasAttribute(name)) this.setAttribute(name, value);
    }
    // A renderer may have been set before this module was there.
    if (Object.hasOwn(this, "renderer")) {
      const renderer = this.renderer;
      delete this.renderer;
      this.renderer = renderer;
    }
    super.connectedCallback();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#setBusy(false);
  }

  /**
   * A function `(chunk, element)` that returns the node, or the text, that shows a
   * chunk; null for nothing. Set when chunks are shown already, it begins again.
   */
  get renderer() {
    return this.#renderer;
  }

  set renderer(renderer) {
    this.#renderer = renderer ?? null;
    if (this.#section !== null && this.isConnected) this.restart();
  }

  /** Empty the element and read the stream again from `start`. */
  restart() {
    this.#closed = false;
    const start = this.#start;
    this.#next = start < 0 ? null : start;
    this.#section = null;
    this.#pendingBytes = new Uint8Array();
    this.#progress.hidden = true;
    this.removeAttribute("attempt");
    this.replaceChildren();
    super.restart();
  }

  connect() {
    if (this.#closed) return;
    this.#setBusy(true);
    super.connect();
  }

  query() {
    return {
      namespace: this.getAttribute("namespace") ?? "",
      start: this.#next ?? this.#start,
    };
  }

  connected() {
    this.#notice.textContent = "";
    this.#becomeQuiet();
    super.connected();
  }

  lost(reason, delay) {
    this.#notice.textContent = this.#label("reconnecting");
    super.lost(reason, delay);
  }

  failed(reason) {
    this.#notice.textContent = this.#label("failed");
    this.#setBusy(false);
    super.failed(reason);
  }

  received(message) {
    if (message.type === "chunk") {
      this.#receivedChunk(message);
    } else if (message.type === "status") {
      this.setAttribute("status", message.status);
      this.announce("status", { status: message.status });
    } else if (message.type === "closed") {
      this.#finish();
    }
  }

  get #start() {
    return Number.parseInt(this.getAttribute("start"), 10) || 0;
  }

  #receivedChunk({ index, attempt, data, encoding }) {
    if (this.#next !== null && index < this.#next) return; // shown before
    if (this.#next !== null && index > this.#next) {
      this.connection.lose(`chunk ${index} came where ${this.#next} was due`);
      return;
    }
    this.#next = index + 1;
    this.connection.succeeded();
    const value = encoding === "base64" ? bytesOf(data) : data;
    const chunk = { index, attempt, data: value };
    this.#setBusy(true);
    this.#becomeQuiet();
    this.setAttribute("attempt", attempt);
    this.#show(chunk, data);
    this.announce("chunk", chunk);
  }

  #show(chunk, shown) {
    const progress = chunk.data?.progress;
    if (typeof progress === "number" && progress >= 0 && progress <= 1) {
      this.#progress.setAttribute("aria-label", this.#label("progress"));
      this.#progress.value = progress;
      this.#progress.hidden = false;
      if (this.#renderer === null && Object.keys(chunk.data).length === 1) return;
    }
    let rendered;
    try {
      rendered = this.#renderer
        ? this.#renderer(chunk, this)
        : this.#render(chunk, shown);
    } catch (error) {
      reportError(error); // the page's fault must not cost it the rest of the stream
      return;
    }
    if (rendered === null || rendered === undefined) return;
    this.#enterSection(chunk.attempt);
    this.#append(rendered);
  }

  #append(rendered) {
    const last = this.#section.lastChild;
    if (rendered instanceof Node) this.#section.append(rendered);
    else if (last instanceof Text && last.length < TEXT_NODE_LENGTH) {
      last.appendData(rendered);
    } else this.#section.append(String(rendered));
  }

  #render(chunk, shown) {
    if (this.getAttribute("format") === "json") {
      const line = document.createElement("div");
      line.textContent = JSON.stringify(shown);
      return line;
    }
    if (chunk.data instanceof Uint8Array) {
      this.#enterSection(chunk.attempt);
      return this.#decode(chunk.data, shown);
    }
    this.#endCharacter();
    return typeof chunk.data === "string" ? chunk.data : JSON.stringify(chunk.data);
  }

  /** Read bytes as UTF-8, also where a character is cut in two; else show base 64. */
  #decode(bytes, shown) {
    const pending = this.#pendingBytes.length;
    const all = new Uint8Array(pending + bytes.length);
    all.set(this.#pendingBytes);
    all.set(bytes, pending);
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      const text = decoder.decode(all, { stream: true });
      this.#pendingBytes = all.slice(new TextEncoder().encode(text).length);
      return text;
    } catch {
      this.#endCharacter();
      return shown;
    }
  }

  /** Show that a character was begun whose rest will not come. */
  #endCharacter() {
    if (this.#pendingBytes.length) this.#append("\ufffd");
    this.#pendingBytes = new Uint8Array();
  }

  #enterSection(attempt) {
    if (this.#section?.dataset.attempt === String(attempt)) return;
    this.#endCharacter();
    this.#section = document.createElement("span");
    this.#section.dataset.attempt = attempt;
    this.append(this.#section);
  }

  #finish() {
    this.#endCharacter();
    this.#closed = true;
    this.disconnect();
    this.#setBusy(false);
    this.setAttribute("state", "closed");
    this.announce("closed");
  }

  #becomeQuiet() {
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#setBusy(false), QUIET);
  }

  #setBusy(busy) {
    clearTimeout(this.#quietTimer);
    const text = String(busy);
    if (this.getAttribute("aria-busy") !== text) this.setAttribute("aria-busy", text);
  }

  #label(name) {
    return this.labels[name] ?? STREAM_LABELS[name];
  }
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// --- <workflow-status> ---------------------------------------------------------------

const STATUS_STYLES = styleSheet(`
  :host {
    --_tone: var(--workflow-tone, light-dark(#57606a, #9da7b3));
    display: inline-flex;
    align-items: center;
    gap: 0.45em;
    padding: 0.15em 0.7em;
    border-radius: 1em;
    border: 1px solid color-mix(in srgb, var(--_tone) 45%, transparent);
    background: color-mix(in srgb, var(--_tone) 12%, transparent);
    font-size: 0.875em;
    line-height: 1.5;
    white-space: nowrap;
  }
  :host([hidden]) { display: none; }
  :host([status="running"]) { --_tone: var(--workflow-tone, light-dark(#0969da, #58a6ff)); }
  :host([status="completed"]) { --_tone: var(--workflow-tone, light-dark(#1a7f37, #3fb950)); }
  :host([status="paused"]) { --_tone: var(--workflow-tone, light-dark(#9a6700, #d29922)); }
  :host(:is([status="failed"], [status="timed_out"], [status="terminated"])) {
    --_tone: var(--workflow-tone, light-dark(#cf222e, #f85149));
  }
  [part="dot"] {
    inline-size: 0.55em;
    block-size: 0.55em;
    border-radius: 50%;
    background: var(--_tone);
  }
  @media (prefers-reduced-motion: no-preference) {
    :host([status="running"]) [part="dot"] { animation: pulse 1.6s ease-in-out infinite; }
  }
  @keyframes pulse { 50% { opacity: 0.3; } }
`);

export class WorkflowStatus extends WorkflowElement {
  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STATUS_STYLES];
    partOf(root, "span", "dot", { "aria-hidden": "true" });
    root.append(document.createElement("slot"));
  }

  connectedCallback() {
    if (!this.hasAttribute("role")) this.setAttribute("role", "status");
    super.connectedCallback();
  }

  connect() {
    // What has ended does not change any more.
    if (!END_STATUSES.has(this.getAttribute("status"))) super.connect();
  }

  query() {
    return { chunks: 0 };
  }

  received(message) {
    if (message.type !== "status") return;
    const { status } = message;
    this.connection.succeeded();
    if (status !== this.getAttribute("status")) {
      this.setAttribute("status", status);
      this.textContent = this.labels[status] ?? status.replaceAll("_", " ");
    }
    this.announce("status", { status });
    if (END_STATUSES.has(status)) {
      this.disconnect();
      this.setAttribute("state", "closed");
      this.announce("closed");
    }
  }
}

if (!customElements.get("workflow-stream")) {
  customElements.define("workflow-stream", WorkflowStream);
  customElements.define("workflow-status", WorkflowStatus);
}
