/**
 * The browser client of Realtime: Socket.IO v5 over Engine.IO v4, with the interface of the
 * official client, for pages without a JavaScript build. A page with a build uses the official one.
 *
 *     const socket = io();
 *     socket.on("message", (text) => console.log(text));
 *     socket.emit("echo", 1, new Uint8Array([2]), (number, bytes) => console.log(number, bytes));
 *
 * Specifications: https://github.com/socketio/engine.io-protocol and
 * https://github.com/socketio/socket.io-protocol.
 */
(function () {
  "use strict";

  const SEPARATOR = "\x1e";
  const MAX_PACKETS = 16; // some servers refuse a payload of more
  const MAX_DELAY = 2 ** 31 - 1; // a longer timer fires at once
  const ENGINE = { open: "0", close: "1", ping: "2", pong: "3", message: "4", upgrade: "5", noop: "6" };
  const CONNECT = 0, DISCONNECT = 1, EVENT = 2, ACK = 3, CONNECT_ERROR = 4;
  const TO_BINARY = 3; // from EVENT and ACK to BINARY_EVENT and BINARY_ACK
  const RESERVED = new Set(["connect", "connect_error", "disconnect", "disconnecting",
    "newListener", "removeListener"]);

  // {% realtime_script %} says where the site is mounted.
  const { path = "/socket.io/" } = document.currentScript?.dataset ?? {};

  const DEFAULTS = {
    path,
    transports: ["polling", "websocket"],
    upgrade: true,
    query: {},
    auth: undefined,
    withCredentials: false,
    autoConnect: true,
    forceNew: false,
    timeout: 20000,
    reconnection: true,
    reconnectionAttempts: Infinity,
    reconnectionDelay: 1000,
    reconnectionDelayMax: 5000,
    randomizationFactor: 0.5,
  };

  /** Call the page's code: when it throws, that is reported, and nothing of ours stops. */
  function attempt(call) {
    try {
      call();
    } catch (error) {
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    }
  }

  /** Listeners by event's name. */
  class Emitter {
    #listeners = new Map();

    /** Call `listener` for each event of this name. */
    on(name, listener) {
      this.#listeners.set(name, [...this.listeners(name), listener]);
      return this;
    }

    /** Call `listener` for the next event of this name only. */
    once(name, listener) {
      const once = (...args) => {
        this.off(name, once);
        listener.apply(this, args);
      };
      once.listener = listener;
      return this.on(name, once);
    }

    /** Remove a listener, all of a name, or all. */
    off(name, listener) {
      if (name === undefined) this.#listeners.clear();
      else if (listener === undefined) this.#listeners.delete(name);
      else {
        const others = (one) => one !== listener && one.listener !== listener;
        this.#listeners.set(name, this.listeners(name).filter(others));
      }
      return this;
    }

    removeListener(name, listener) {
      return this.off(name, listener);
    }

    removeAllListeners(name) {
      return this.off(name);
    }

    /** The listeners of a name. */
    listeners(name) {
      return this.#listeners.get(name) || [];
    }

    hasListeners(name) {
      return this.listeners(name).length > 0;
    }

    /** Call the listeners of a name. */
    fire(name, ...args) {
      for (const listener of this.listeners(name)) attempt(() => listener.apply(this, args));
    }
  }

  // Socket.IO packets

  const isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value)
    || (typeof Blob !== "undefined" && value instanceof Blob);

  /** Return the frames of a packet: its text and its attachments. Throws for what is not JSON. */
  function encode({ type, namespace, id = "", data }) {
    const attachments = [];
    const payload = data === undefined ? "" : JSON.stringify(data, (key, value) => {
      if (type === CONNECT || !isBinary(value)) return value;
      attachments.push(value);
      return { _placeholder: true, num: attachments.length - 1 };
    });
    const head = attachments.length ? `${type + TO_BINARY}${attachments.length}-` : type;
    const name = namespace === "/" ? "" : `${namespace},`;
    return [`${head}${name}${id}${payload}`, ...attachments];
  }

  /** Put attachments where their placeholders are. */
  function putBytes(value, attachments) {
    if (value === null || typeof value !== "object") return value;
    if (value._placeholder === true) {
      if (!Number.isInteger(value.num) || !(value.num in attachments)) throw new Error("placeholder");
      return attachments[value.num];
    }
    for (const key of Object.keys(value)) value[key] = putBytes(value[key], attachments);
    return value;
  }

  /** Type, number of attachments, namespace (maybe with a query), id, payload. */
  const PACKET = /^([0-6])(?:(\d+)-)?(?:(\/[^,?]*)(?:\?[^,]*)?(?:,|$))?(\d+)?([^]*)$/;

  /** Puts packets together from frames. Throws for what is none. */
  class Decoder {
    #pending = null;

    /** Return the packet that this frame completes, or null. */
    add(frame) {
      return typeof frame === "string" ? this.#addText(frame) : this.#addAttachment(frame);
    }

    #addText(frame) {
      const match = PACKET.exec(frame);
      if (this.#pending || !match) throw new Error("unexpected text");
      const [, type, count, namespace = "/", id, payload] = match;
      const isBinaryType = type > CONNECT_ERROR;
      const packet = {
        type: isBinaryType ? type - TO_BINARY : Number(type),
        namespace,
        id: id && Number(id),
        data: payload ? JSON.parse(payload) : undefined,
      };
      if (isBinaryType !== (count !== undefined) || !isValid(packet)) throw new Error("bad packet");
      if (!Number(count)) return packet;
      this.#pending = { packet, missing: Number(count), attachments: [] };
      return null;
    }

    #addAttachment(data) {
      if (!this.#pending) throw new Error("an attachment that nothing announced");
      const { packet, missing, attachments } = this.#pending;
      attachments.push(data);
      if (attachments.length < missing) return null;
      this.#pending = null;
      return { ...packet, data: putBytes(packet.data, attachments) };
    }
  }

  function isValid({ type, id, data }) {
    const isObject = data !== null && typeof data === "object";
    switch (type) {
      case CONNECT: return isObject && typeof data.sid === "string";
      case DISCONNECT: return data === undefined;
      case CONNECT_ERROR: return isObject || typeof data === "string";
      case ACK: return Array.isArray(data) && id !== undefined;
      default: return Array.isArray(data)
        && (typeof data[0] === "number" || (typeof data[0] === "string" && !RESERVED.has(data[0])));
    }
  }

  // Engine.IO

  async function toBase64(value) {
    const bytes = new Uint8Array(await new Response(value).arrayBuffer());
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) {
      text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    }
    return btoa(text);
  }

  const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;

  /** HTTP long-polling. Fires "frame", "drain" and "close" (with a reason). */
  class PollingTransport extends Emitter {
    name = "polling";
    writable = true;
    #engine;
    #over = new AbortController();
    #paused = false;
    #polling = null;
    #sending = null;

    constructor(engine) {
      super();
      this.#engine = engine;
    }

    open() {
      this.#polling = this.#poll();
    }

    async #request(method, body) {
      const response = await fetch(this.#engine.url("polling"), {
        method,
        body,
        credentials: this.#engine.options.withCredentials ? "include" : "same-origin",
        cache: "no-store",
        signal: this.#over.signal,
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      return response.text();
    }

    async #poll() {
      while (!this.#paused && !this.#over.signal.aborted) {
        let payload;
        try {
          payload = await this.#request("GET");
        } catch {
          this.#fail("transport error");
          return;
        }
        for (const part of payload.split(SEPARATOR)) {
          let frame = part;
          try {
            if (part[0] === "b") frame = fromBase64(part.slice(1));
          } catch {
            this.#fail("parse error");
          }
          if (this.#over.signal.aborted) return;
          this.fire("frame", frame);
        }
      }
    }

    /** Take frames from `queue` into one request, as many as the server takes. */
    send(queue) {
      this.writable = false;
      this.#sending = this.#post(queue);
    }

    async #post(queue) {
      const parts = [];
      let size = 0;
      while (queue.length && parts.length < MAX_PACKETS) {
        const part = typeof queue[0] === "string" ? queue[0] : `b${await toBase64(queue[0])}`;
        size += new Blob([part]).size + SEPARATOR.length;
        if (parts.length && size > this.#engine.maxPayload) break;
        parts.push(part);
        queue.shift();
      }
      try {
        await this.#request("POST", parts.join(SEPARATOR));
      } catch {
        this.#fail("transport error");
        return;
      }
      this.writable = true;
      this.fire("drain");
    }

    /** Resolve when no request is under way, and start none. */
    async pause() {
      this.#paused = true;
      await Promise.all([this.#polling, this.#sending]);
    }

    #fail(reason) {
      if (!this.#over.signal.aborted) this.fire("close", reason);
    }

    /** Stop, without a word to the server: the session goes on elsewhere. */
    discard() {
      this.off();
      this.#over.abort();
    }

    /** Stop, and tell the server. A beacon gets there even from a page that goes away. */
    close() {
      this.discard();
      if (this.#engine.sid) navigator.sendBeacon(this.#engine.url("polling"), ENGINE.close);
    }
  }

  /** WebSocket. Fires "open", "frame" and "close" (with a reason). */
  class WebSocketTransport extends Emitter {
    name = "websocket";
    writable = false;
    #engine;
    #socket = null;

    constructor(engine) {
      super();
      this.#engine = engine;
    }

    open() {
      try {
        this.#socket = new WebSocket(this.#engine.url("websocket"));
      } catch { // a page's policy, or a browser without it
        setTimeout(() => this.fire("close", "transport error"));
        return;
      }
      this.#socket.binaryType = "arraybuffer";
      this.#socket.onopen = () => {
        this.writable = true;
        this.fire("open");
      };
      this.#socket.onmessage = ({ data }) => this.fire("frame", data);
      this.#socket.onclose = () => this.fire("close", this.writable ? "transport close" : "transport error");
    }

    send(queue) {
      for (const frame of queue.splice(0)) this.#socket.send(frame);
    }

    close() {
      this.off();
      if (this.#socket) this.#socket.close();
    }
  }

  const TRANSPORTS = { polling: PollingTransport, websocket: WebSocketTransport };

  /** Return what the server says at first, or null for what is no handshake. */
  function parseHandshake(text) {
    try {
      const { sid, upgrades, pingInterval, pingTimeout, maxPayload = Infinity } = JSON.parse(text);
      const lifetime = pingInterval + pingTimeout;
      const valid = typeof sid === "string" && Array.isArray(upgrades) && Number.isFinite(lifetime);
      return valid ? { sid, upgrades, maxPayload, lifetime: Math.min(lifetime, MAX_DELAY) } : null;
    } catch {
      return null;
    }
  }

  const engines = new Set(); // those that live

  /**
   * One Engine.IO session. Fires "open", "message", "upgrade" (with the transport), "unload" and
   * "close".
   */
  class Engine extends Emitter {
    sid = "";
    maxPayload = Infinity;
    transport = null;
    #state = "opening";
    #queue = [];
    #choices;
    #patience = 0;
    #heartbeat = 0;
    #lifetime = 0;
    #deadline = 0;
    #probe = null;
    #pausing = false;
    #closing = "";

    constructor(base, options) {
      super();
      this.base = base;
      this.options = options;
      this.#choices = options.transports.filter((name) => name in TRANSPORTS);
    }

    /** Return the URL of a request. */
    url(transport) {
      const url = new URL(this.options.path.replace(/\/?$/, "/"), this.base);
      if (transport === "websocket") url.protocol = url.protocol.replace("http", "ws");
      const query = { ...this.options.query, EIO: 4, transport };
      if (this.sid) query.sid = this.sid;
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
      return url.href;
    }

    /** Open the first transport, or the next one after one that is blocked on the way. */
    open() {
      engines.add(this);
      const { timeout } = this.options;
      const choices = this.#choices.length;
      const name = this.#choices.shift();
      if (!name) {
        setTimeout(() => this.abort("transport error")); // when there are listeners
        return;
      }
      // One that hears nothing, not even an error, must leave time for the others.
      if (choices > 1 && timeout) {
        const { transport } = this;
        this.#patience = setTimeout(() => this.#lose(this.transport, "timeout"), timeout / (choices + !!transport));
      }
      this.#use(new TRANSPORTS[name](this));
      this.transport.open();
    }

    #use(transport) {
      this.transport = transport;
      transport.on("frame", (frame) => this.#receive(frame));
      transport.on("drain", () => this.#onDrain());
      transport.on("close", (reason) => this.#lose(transport, reason));
    }

    #lose(transport, reason) {
      clearTimeout(this.#patience);
      if (this.#state === "opening" && this.#choices.length) {
        transport.close();
        this.open();
      } else {
        this.abort(reason);
      }
    }

    #receive(frame) {
      if (this.#state === "closed") return;
      const type = typeof frame === "string" ? frame[0] : ENGINE.message;
      const data = typeof frame === "string" ? frame.slice(1) : frame;
      const isFirst = this.#state === "opening";
      if (isFirst && type === ENGINE.open) this.#onOpen(parseHandshake(data));
      else if (isFirst) this.abort("parse error");
      else if (type === ENGINE.message) this.fire("message", data);
      else if (type === ENGINE.ping) this.#onPing();
      else if (type === ENGINE.close) this.abort("transport close");
      else if (type !== ENGINE.noop) this.abort("parse error");
    }

    #onOpen(handshake) {
      if (!handshake) {
        this.abort("parse error");
        return;
      }
      clearTimeout(this.#patience);
      this.#state = "open";
      this.sid = handshake.sid;
      this.maxPayload = handshake.maxPayload;
      this.#lifetime = handshake.lifetime;
      this.#live();
      this.fire("open");
      const { upgrade, transports } = this.options;
      const wanted = upgrade && transports.includes("websocket");
      if (wanted && handshake.upgrades.includes("websocket")) this.#upgrade();
    }

    #onPing() {
      this.#live();
      this.#queue.push(ENGINE.pong);
      this.flush();
    }

    /** The server lives: it is dead when no ping comes for a whole lifetime. */
    #live() {
      clearTimeout(this.#heartbeat);
      this.#deadline = Date.now() + this.#lifetime;
      this.#heartbeat = setTimeout(() => this.abort("ping timeout"), this.#lifetime);
    }

    /** Whether it is dead: a computer that slept knows by the clock, before its timers tell. */
    get expired() {
      const expired = Date.now() > this.#deadline;
      if (expired) queueMicrotask(() => this.abort("ping timeout"));
      return expired;
    }

    /** Probe a WebSocket beside the polls, and move to it. If it fails, polling goes on. */
    #upgrade() {
      if (this.#state !== "open") return;
      const probe = new WebSocketTransport(this);
      this.#probe = probe;
      probe.on("open", () => probe.send([`${ENGINE.ping}probe`]));
      probe.on("close", () => {
        this.#probe = null;
        if (this.#pausing) this.abort("transport error"); // there is no way back to polling
      });
      probe.once("frame", (frame) => {
        if (frame === `${ENGINE.pong}probe`) this.#moveTo(probe);
        else probe.close();
      });
      probe.open();
    }

    async #moveTo(probe) {
      const polling = this.transport;
      this.#pausing = true;
      await polling.pause();
      if (this.#state !== "open") return;
      probe.off();
      probe.send([ENGINE.upgrade]);
      polling.discard();
      this.#probe = null;
      this.#pausing = false;
      this.#use(probe);
      this.fire("upgrade", probe);
      this.#onDrain();
    }

    #onDrain() {
      this.flush();
      if (this.#closing) this.close(this.#closing);
    }

    /** Whether what is written would leave at once. */
    get writable() {
      return this.#state === "open" && this.transport.writable && !this.#pausing;
    }

    /** Send a Socket.IO packet's frames. */
    write([text, ...attachments]) {
      this.#queue.push(ENGINE.message + text, ...attachments);
      this.flush();
    }

    /** Send what waits, if the transport can. */
    flush() {
      if (this.writable && this.#queue.length) this.transport.send(this.#queue);
    }

    /** Close the session, after what waits has been sent. */
    close(reason = "forced close") {
      if (this.#state === "open" && (this.#queue.length || !this.writable)) this.#closing = reason;
      else this.abort(reason);
    }

    /** Close the session at once. */
    abort(reason) {
      if (this.#state === "closed") return;
      this.#state = "closed";
      engines.delete(this);
      clearTimeout(this.#patience);
      clearTimeout(this.#heartbeat);
      if (this.#probe) this.#probe.close();
      if (this.transport) this.transport.close();
      this.fire("close", reason);
    }
  }

  // Socket.IO

  const UNREACHABLE = { timeout: "timeout", "parse error": "the server does not speak Engine.IO" };

  /**
   * One connection for all namespaces, which comes back by itself. Fires "open", "close", "error",
   * "reconnect", "reconnect_attempt", "reconnect_error" and "reconnect_failed".
   */
  class Manager extends Emitter {
    /** The current Engine.IO session, or the last one. */
    engine = null;
    /** Whether packets can be sent. */
    opened = false;
    #current = null;
    #sockets = new Map();
    #attempts = 0;
    #pause = 0;
    #patience = 0;

    constructor(base, options) {
      super();
      this.base = base;
      this.options = options;
    }

    /** Return the socket of a namespace. */
    socket(namespace, options = {}) {
      if (!this.#sockets.has(namespace)) {
        this.#sockets.set(namespace, new Socket(this, namespace, options));
      }
      return this.#sockets.get(namespace);
    }

    /** Whether this namespace has been asked for already. */
    has(namespace) {
      return this.#sockets.has(namespace);
    }

    /** Connect, unless that is under way, or will be after a pause. */
    open() {
      if (this.#current || this.#pause) return;
      const engine = new Engine(this.base, this.options);
      const decoder = new Decoder();
      const { timeout } = this.options;
      this.engine = this.#current = engine;
      if (timeout) this.#patience = setTimeout(() => engine.abort("timeout"), timeout);
      engine.on("open", () => this.#onOpen());
      engine.on("unload", () => this.#sockets.forEach((socket) => socket.onUnload()));
      engine.on("close", (reason) => {
        if (engine === this.#current) this.#onClose(reason);
      });
      engine.on("message", (frame) => {
        if (engine !== this.#current) return;
        let packet;
        try {
          packet = decoder.add(frame);
        } catch {
          engine.abort("parse error");
          return;
        }
        const socket = packet && this.#sockets.get(packet.namespace);
        if (socket) socket.receive(packet);
      });
      engine.open();
    }

    #onOpen() {
      const attempts = this.#attempts;
      clearTimeout(this.#patience);
      this.opened = true;
      this.#attempts = 0;
      this.fire("open");
      if (attempts) this.fire("reconnect", attempts);
      for (const socket of this.#sockets.values()) socket.onOpen();
    }

    #onClose(reason) {
      const { opened } = this;
      const attempts = this.#attempts;
      this.#forget();
      // Before listeners run, so that one that calls `connect` does not get around the pause.
      const failed = this.options.reconnection && this.#isWanted() && !this.#comeBack();
      if (opened) {
        this.fire("close", reason);
        for (const socket of this.#sockets.values()) socket.onClose(reason);
      } else {
        const error = new Error(UNREACHABLE[reason] || "the server cannot be reached");
        this.fire("error", error);
        if (attempts) this.fire("reconnect_error", error);
        for (const socket of this.#sockets.values()) socket.onError(error);
      }
      if (failed) this.fire("reconnect_failed");
    }

    #forget() {
      clearTimeout(this.#patience);
      this.#current = null;
      this.opened = false;
    }

    #isWanted() {
      return [...this.#sockets.values()].some((socket) => socket.active);
    }

    /** Try again after a pause that doubles, up to a limit, and differs from client to client. */
    #comeBack() {
      const { options } = this;
      if (this.#attempts >= options.reconnectionAttempts) {
        this.#attempts = 0;
        return false;
      }
      const delay = Math.min(options.reconnectionDelay * 2 ** this.#attempts, options.reconnectionDelayMax);
      const jitter = (Math.random() * 2 - 1) * options.randomizationFactor * delay;
      this.#attempts += 1;
      this.#pause = setTimeout(() => {
        this.#pause = 0;
        this.fire("reconnect_attempt", this.#attempts);
        if (this.#isWanted()) this.open();
      }, Math.min(delay + jitter, options.reconnectionDelayMax));
      return true;
    }

    /** Close the connection when no namespace wants it any more. */
    release() {
      if (this.#isWanted()) return;
      clearTimeout(this.#pause);
      this.#pause = 0;
      this.#attempts = 0;
      const { opened } = this;
      const engine = this.#current;
      this.#forget(); // what still waits is sent in peace, while a new connection may be opened
      if (engine) engine.close();
      if (opened) this.fire("close", "forced close");
    }
  }

  /** One namespace. Events: the server's, and "connect", "connect_error", "disconnect". */
  class Socket extends Emitter {
    id = undefined;
    connected = false;
    /** Whether the last connection went on where the one before had dropped, with nothing missed. */
    recovered = false;
    /** Whether it is connected, or will be by itself. */
    active = false;
    #asked = false;
    #pid = undefined; // the secret by which the server knows us again
    #offset = undefined; // of the last event that was handled
    #acks = new Map();
    #nextId = 0;
    #outbox = [];
    #early = []; // events that came before the answer to our CONNECT, as missed ones may
    #anyListeners = [];

    constructor(manager, namespace, options) {
      super();
      this.io = manager;
      this.nsp = namespace;
      /** The server's `auth`: an object, or a function that is given a callback for it. */
      this.auth = options.auth;
    }

    get disconnected() {
      return !this.connected;
    }

    /** Connect, unless that is under way. */
    connect() {
      this.active = true;
      if (this.io.opened) this.onOpen();
      else this.io.open();
      return this;
    }

    open() {
      return this.connect();
    }

    /** Leave the namespace, until `connect` is called. */
    disconnect() {
      this.active = false;
      if (this.connected) {
        this.#send({ type: DISCONNECT });
        this.#leave("io client disconnect");
      }
      this.io.release();
      return this;
    }

    close() {
      return this.disconnect();
    }

    /** Call `listener(name, ...args)` for every event of the server. */
    onAny(listener) {
      this.#anyListeners = [...this.#anyListeners, listener];
      return this;
    }

    /** Remove such a listener, or all of them. */
    offAny(listener) {
      this.#anyListeners = listener ? this.#anyListeners.filter((one) => one !== listener) : [];
      return this;
    }

    /**
     * Send an event; a function as the last argument is called with the acknowledgement. While
     * disconnected, events wait for the connection.
     */
    emit(name, ...args) {
      this.#emit({}, name, args);
      return this;
    }

    /** Send the event "message". */
    send(...args) {
      return this.emit("message", ...args);
    }

    /** Send an event, and return a promise of its acknowledgement. */
    emitWithAck(name, ...args) {
      return this.#emitWithAck({}, name, args);
    }

    /** For `emit` and `emitWithAck` with a limit: a callback is then given `(error, ...args)`. */
    timeout(milliseconds) {
      return this.#with({ timeout: milliseconds });
    }

    /** For `emit` and `emitWithAck` of what may be dropped where it would have to wait. */
    get volatile() {
      return this.#with({ volatile: true });
    }

    #with(flags) {
      const more = (flag) => this.#with({ ...flags, ...flag });
      return {
        emit: (name, ...args) => {
          this.#emit(flags, name, args);
          return this;
        },
        emitWithAck: (name, ...args) => this.#emitWithAck(flags, name, args),
        timeout: (milliseconds) => more({ timeout: milliseconds }),
        get volatile() {
          return more({ volatile: true });
        },
      };
    }

    #emitWithAck(flags, name, args) {
      return new Promise((resolve, reject) => {
        const settle = (error, value) => (error ? reject(error) : resolve(value));
        this.#emit({ timeout: 0, ...flags }, name, [...args, settle]);
      });
    }

    #emit({ timeout, volatile }, name, args) {
      if (RESERVED.has(name)) throw new Error(`"${name}" is a reserved event name`);
      const callback = typeof args[args.length - 1] === "function" ? args.pop() : null;
      const id = callback ? this.#nextId++ : undefined;
      // Now, so that what cannot be sent throws here, and later changes of it do not count.
      const frames = encode({ type: EVENT, namespace: this.nsp, id, data: [name, ...args] });
      if (callback) this.#awaitAck(id, callback, timeout);
      const open = this.connected && !this.io.engine.expired;
      if (open && (!volatile || this.io.engine.writable)) this.io.engine.write(frames);
      else if (!volatile) this.#outbox.push({ id, frames });
      else if (callback) queueMicrotask(() => this.#settle(id, new Error("the event was dropped")));
    }

    /** Who sets a timeout is told of failures. One of 0 never comes. */
    #awaitAck(id, callback, timeout) {
      const late = () => {
        this.#outbox = this.#outbox.filter((waiting) => waiting.id !== id);
        this.#settle(id, new Error("operation has timed out"));
      };
      const timer = timeout ? setTimeout(late, timeout) : 0;
      this.#acks.set(id, { callback, timer, tellsErrors: timeout !== undefined });
    }

    #settle(id, error, args = []) {
      const ack = this.#acks.get(id);
      if (!ack) return;
      this.#acks.delete(id);
      clearTimeout(ack.timer);
      if (ack.tellsErrors) attempt(() => ack.callback(error, ...args));
      else if (!error) attempt(() => ack.callback(...args));
    }

    #send(packet) {
      this.io.engine.write(encode({ ...packet, namespace: this.nsp }));
    }

    // Called by the manager

    /** Nobody will come back with this pid: the server need not keep what is missed. */
    onUnload() {
      if (this.connected && this.#pid) this.#send({ type: DISCONNECT });
    }

    onOpen() {
      if (!this.active || this.connected || this.#asked) return;
      const { engine } = this.io;
      let answered = false;
      const ask = (auth) => {
        if (answered || !this.io.opened || engine !== this.io.engine) return;
        answered = true;
        const data = this.#pid ? { pid: this.#pid, offset: this.#offset, ...auth } : auth;
        if (this.active) this.#send({ type: CONNECT, data });
        else this.#asked = false;
      };
      this.#asked = true;
      attempt(() => (typeof this.auth === "function" ? this.auth(ask) : ask(this.auth)));
    }

    onError(error) {
      if (this.active) this.fire("connect_error", error);
    }

    onClose(reason) {
      this.#asked = false;
      this.#early = []; // they have not been handled: they come again
      if (this.connected) this.#leave(reason);
    }

    /** Take a packet of this namespace; what crossed with our leaving is ignored. */
    receive({ type, id, data }) {
      if (type === CONNECT && this.#asked) this.#onConnect(data);
      else if (type === CONNECT_ERROR && this.#asked) this.#onRefused(data);
      else if (type === EVENT && this.#asked) this.#early.push([id, data]);
      else if (!this.connected) return;
      else if (type === EVENT) this.#onEvent(id, data);
      else if (type === ACK) this.#settle(id, null, data);
      else if (type === DISCONNECT) this.#onDisconnect();
    }

    #onConnect({ sid, pid }) {
      const early = this.#early.splice(0);
      this.#asked = false;
      if (!this.active) { // no longer wanted, but the server does not know
        this.#send({ type: DISCONNECT });
        return;
      }
      this.recovered = !!pid && pid === this.#pid;
      if (!this.recovered) this.#offset = undefined;
      this.#pid = pid;
      this.id = sid;
      this.connected = true;
      // First, so that it stays in order with what the listeners send.
      for (const { frames } of this.#outbox.splice(0)) this.io.engine.write(frames);
      for (const [id, data] of early) if (this.connected) this.#onEvent(id, data);
      if (this.connected) this.fire("connect");
    }

    #onRefused(data) {
      this.#asked = false;
      this.#early = [];
      if (!this.active) return;
      this.active = false;
      const error = new Error(typeof data === "string" ? data : data.message);
      error.data = data.data;
      this.fire("connect_error", error);
      this.io.release();
    }

    #onEvent(id, data) {
      const args = [...data];
      let offset = this.#offset;
      if (id === undefined) {
        // A server that recovers puts its offset behind the arguments. It is not for listeners.
        if (this.#pid && args.length > 1 && typeof args.at(-1) === "string") offset = args.pop();
      } else {
        const { engine } = this.io;
        let answered = false;
        args.push((...answer) => {
          if (answered || !this.connected || engine !== this.io.engine) return;
          answered = true;
          this.#send({ type: ACK, id, data: answer });
        });
      }
      for (const listener of this.#anyListeners) attempt(() => listener.apply(this, args));
      this.fire(...args);
      this.#offset = offset; // now that it is handled
    }

    #onDisconnect() {
      this.active = false;
      this.#leave("io server disconnect");
      this.io.release();
    }

    /** What was sent and not acknowledged will not be: whoever can be told is told. */
    #leave(reason) {
      this.connected = false;
      this.id = undefined;
      const waiting = new Set(this.#outbox.map(({ id }) => id));
      for (const id of [...this.#acks.keys()]) {
        if (!waiting.has(id)) this.#settle(id, new Error("socket has been disconnected"));
      }
      this.fire("disconnect", reason);
    }
  }

  const managers = new Map();

  /** Return where a URL leads: the server, the namespace, and the query for each request. */
  function locate(url) {
    const { protocol, origin } = window.location;
    const isPath = /^\/(?!\/)/.test(url);
    const hasScheme = /^\w+:\/\//.test(url);
    const full = isPath ? origin + url : hasScheme ? url : `${protocol}//${url.replace(/^\/\//, "")}`;
    const { protocol: scheme, host, searchParams } = new URL(full);
    const path = /^\w+:\/\/[^/?#]*([^?#]*)/.exec(full)[1]; // as it is written, not percent-encoded
    return {
      base: `${/^(https|wss):$/.test(scheme) ? "https" : "http"}://${host}`,
      namespace: path.replace(/\/+$/, "") || "/",
      query: Object.fromEntries(searchParams),
    };
  }

  /**
   * Return the socket of a namespace: `io()`, `io("/users")`, `io("https://host/users", options)`.
   * Namespaces of one host share a connection, unless `forceNew` is set or a namespace is asked
   * for a second time.
   */
  function io(url, options) {
    if (url !== null && typeof url === "object") [url, options] = [undefined, url];
    const { base, namespace, query } = locate(url || "/");
    const settings = { ...DEFAULTS, query, ...options };
    const key = base + settings.path;
    let manager = managers.get(key);
    if (settings.forceNew || !manager || manager.has(namespace)) {
      manager = new Manager(base, settings);
      if (!settings.forceNew && !managers.has(key)) managers.set(key, manager);
    }
    const socket = manager.socket(namespace, settings);
    if (settings.autoConnect) socket.connect();
    return socket;
  }

  // Servers hear at once of a page that goes away; one that the browser brings back reconnects.
  window.addEventListener("pagehide", ({ persisted }) => {
    for (const engine of engines) {
      if (!persisted) engine.fire("unload");
      engine.abort("transport close");
    }
  });

  window.io = Object.assign(io, { io, connect: io, Manager, Socket });
})();
