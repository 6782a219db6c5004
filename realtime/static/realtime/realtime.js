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
  const ENGINE = { open: "0", close: "1", ping: "2", pong: "3", message: "4", upgrade: "5" };
  const CONNECT = 0, DISCONNECT = 1, EVENT = 2, ACK = 3, CONNECT_ERROR = 4;
  const BINARY_EVENT = 5, BINARY_ACK = 6;
  const RESERVED = new Set(["connect", "connect_error", "disconnect", "disconnecting",
    "newListener", "removeListener"]);

  const DEFAULTS = {
    path: "/socket.io/",
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
      if (!this.#listeners.has(name)) this.#listeners.set(name, []);
      this.#listeners.get(name).push(listener);
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
        const kept = this.listeners(name).filter((l) => l !== listener && l.listener !== listener);
        this.#listeners.set(name, kept);
      }
      return this;
    }

    /** The listeners of a name. */
    listeners(name) {
      return [...(this.#listeners.get(name) || [])];
    }

    /** Call the listeners of a name. One that throws is reported, and stops nobody else. */
    fire(name, ...args) {
      for (const listener of this.listeners(name)) attempt(() => listener.apply(this, args));
    }
  }

  // Packets

  const isBinary = (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value)
    || (typeof Blob !== "undefined" && value instanceof Blob);

  /** Return a copy of `value` with its bytes replaced by placeholders; they go to `attachments`. */
  function takeBytes(value, attachments) {
    if (value === null || typeof value !== "object") return value;
    if (isBinary(value)) {
      attachments.push(value);
      return { _placeholder: true, num: attachments.length - 1 };
    }
    if (Array.isArray(value)) return value.map((item) => takeBytes(item, attachments));
    if (typeof value.toJSON === "function") return takeBytes(value.toJSON(), attachments);
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, takeBytes(item, attachments)]));
  }

  function putBytes(value, attachments) {
    if (value === null || typeof value !== "object") return value;
    if (value._placeholder === true) {
      if (!Number.isInteger(value.num) || !(value.num in attachments)) throw new Error("placeholder");
      return attachments[value.num];
    }
    if (Array.isArray(value)) return value.map((item) => putBytes(item, attachments));
    for (const key of Object.keys(value)) value[key] = putBytes(value[key], attachments);
    return value;
  }

  /** Return the frames of a packet: its text and its attachments. */
  function encode({ type, namespace, id, data }) {
    const attachments = [];
    const payload = data === undefined ? "" : JSON.stringify(takeBytes(data, attachments));
    let head = String(type);
    if (attachments.length) head = `${type === EVENT ? BINARY_EVENT : BINARY_ACK}${attachments.length}-`;
    const name = namespace === "/" ? "" : `${namespace},`;
    return [head + name + (id === undefined ? "" : id) + payload, ...attachments];
  }

  const PACKET = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?([^]*)$/;

  /** Puts packets together from frames. Throws for what is none. */
  class Decoder {
    #pending = null;

    add(frame) {
      if (typeof frame !== "string") return this.#addAttachment(frame);
      if (this.#pending) throw new Error("a text where an attachment was due");
      const match = PACKET.exec(frame);
      if (!match) throw new Error("no packet");
      const binary = match[1] === "5" || match[1] === "6";
      if (binary !== (match[2] !== undefined)) throw new Error("attachments");
      const packet = {
        type: binary ? Number(match[1]) - 3 : Number(match[1]),
        namespace: (match[3] || "/").split("?")[0],
        id: match[4] === undefined ? undefined : Number(match[4]),
        data: match[5] ? JSON.parse(match[5]) : undefined,
      };
      if (!isValid(packet)) throw new Error("payload");
      if (!binary || match[2] === "0") return packet;
      this.#pending = { packet, missing: Number(match[2]), attachments: [] };
      return null;
    }

    #addAttachment(data) {
      const pending = this.#pending;
      if (!pending) throw new Error("an attachment that nothing announced");
      pending.attachments.push(data);
      if (pending.attachments.length < pending.missing) return null;
      this.#pending = null;
      const { packet, attachments } = pending;
      return { ...packet, data: putBytes(packet.data, attachments) };
    }
  }

  function isValid({ type, id, data }) {
    switch (type) {
      case CONNECT: return data !== null && typeof data === "object";
      case DISCONNECT: return data === undefined;
      case CONNECT_ERROR: return typeof data === "string" || (data !== null && typeof data === "object");
      case EVENT: return Array.isArray(data) && typeof data[0] === "string";
      default: return Array.isArray(data) && id !== undefined;
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
    #paused = null;
    #polling = false;

    constructor(engine) {
      super();
      this.#engine = engine;
    }

    open() {
      this.#poll();
    }

    async #request(body) {
      const response = await fetch(this.#engine.url("http", "polling"), {
        method: body === undefined ? "GET" : "POST",
        body,
        headers: body === undefined ? {} : { "Content-Type": "text/plain;charset=UTF-8" },
        credentials: this.#engine.options.withCredentials ? "include" : "same-origin",
        cache: "no-store",
        signal: this.#over.signal,
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      return response.text();
    }

    async #poll() {
      this.#polling = true;
      let payload;
      try {
        payload = await this.#request();
      } catch {
        this.#fail();
        return;
      }
      this.#polling = false;
      for (const part of payload.split(SEPARATOR)) {
        if (this.#over.signal.aborted) return;
        this.fire("frame", part[0] === "b" ? fromBase64(part.slice(1)) : part);
      }
      if (this.#paused) this.#paused();
      else if (!this.#over.signal.aborted) this.#poll();
    }

    /** Take frames from `queue` into one request, as many as the server takes. */
    async send(queue) {
      this.writable = false;
      const parts = [];
      let size = 0;
      while (queue.length && parts.length < MAX_PACKETS) {
        const frame = queue[0];
        const part = typeof frame === "string" ? frame : `b${await toBase64(frame)}`;
        size += new Blob([part]).size + 1;
        if (parts.length && size > this.#engine.maxPayload) break;
        parts.push(part);
        queue.shift();
      }
      try {
        await this.#request(parts.join(SEPARATOR));
      } catch {
        this.#fail();
        return;
      }
      this.writable = true;
      this.fire("drain");
    }

    /** Resolve when no request is under way, and start none. */
    async pause() {
      const polled = this.#polling && new Promise((resolve) => { this.#paused = resolve; });
      this.#paused ||= () => {};
      const sent = !this.writable && new Promise((resolve) => this.once("drain", resolve));
      await Promise.all([polled, sent]);
      this.writable = false;
    }

    close() {
      if (this.#over.signal.aborted) return;
      this.#over.abort();
      const url = this.#engine.url("http", "polling");
      if (this.#engine.sid && navigator.sendBeacon) navigator.sendBeacon(url, ENGINE.close);
    }

    #fail() {
      if (!this.#over.signal.aborted) this.fire("close", "transport error");
    }

    /** Give up without telling the server: the session goes on elsewhere. */
    discard() {
      this.off();
      this.#over.abort();
    }
  }

  /** WebSocket. Fires "open", "frame", "drain" and "close" (with a reason). */
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
        this.#socket = new WebSocket(this.#engine.url("ws", "websocket"));
      } catch {
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

  /**
   * One Engine.IO session. Fires "open", "message", "upgrade" (with the transport) and "close".
   */
  class Engine extends Emitter {
    sid = "";
    maxPayload = Infinity;
    transport = null;
    #queue = [];
    #choices;
    #state = "opening";
    #heartbeat = 0;
    #lifetime = 0;
    #probe = null;
    #upgrading = false;
    #closing = "";

    constructor(base, options) {
      super();
      this.base = base;
      this.options = options;
      this.#choices = options.transports.filter((name) => name in TRANSPORTS);
      this.#open();
    }

    /** Return the URL of a request. */
    url(scheme, transport) {
      const url = new URL(this.options.path, this.base);
      url.protocol = scheme + (url.protocol.endsWith("s:") ? "s:" : ":");
      const query = { ...this.options.query, EIO: 4, transport };
      if (this.sid) query.sid = this.sid;
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
      return url.href;
    }

    #open() {
      const name = this.#choices.shift();
      if (!name) {
        this.#end("transport error");
        return;
      }
      this.#use(new TRANSPORTS[name](this));
      this.transport.open();
    }

    #use(transport) {
      this.transport = transport;
      transport.on("frame", (frame) => this.#receive(frame));
      transport.on("drain", () => {
        this.flush();
        if (this.#closing) this.close(this.#closing);
      });
      transport.on("close", (reason) => {
        transport.off();
        // One that never worked may be blocked on the way; the next one may not be.
        if (this.#state === "opening" && this.#choices.length) this.#open();
        else this.#end(reason);
      });
    }

    #receive(frame) {
      if (this.#state === "closed") return;
      if (typeof frame !== "string") {
        this.fire("message", frame);
        return;
      }
      const data = frame.slice(1);
      switch (frame[0]) {
        case ENGINE.open: this.#onOpen(data); break;
        case ENGINE.ping: this.#alive(); this.#send(ENGINE.pong); break;
        case ENGINE.message: this.fire("message", data); break;
        case ENGINE.close: this.#end("transport close"); break;
        default: // a noop, which ends a poll
      }
    }

    #onOpen(text) {
      let handshake;
      try {
        handshake = JSON.parse(text);
      } catch {
        this.#end("parse error");
        return;
      }
      this.#state = "open";
      this.sid = handshake.sid;
      this.maxPayload = handshake.maxPayload || Infinity;
      this.#lifetime = handshake.pingInterval + handshake.pingTimeout;
      this.#alive();
      this.fire("open");
      const wanted = this.options.upgrade && this.options.transports.includes("websocket");
      if (wanted && handshake.upgrades.includes("websocket")) this.#upgrade();
    }

    /** The server has been heard: it is dead when it is not heard for a whole lifetime. */
    #alive() {
      clearTimeout(this.#heartbeat);
      this.#heartbeat = setTimeout(() => this.#end("ping timeout"), this.#lifetime);
    }

    /** Probe a WebSocket beside the polls, and move to it. If it fails, polling goes on. */
    #upgrade() {
      const probe = new WebSocketTransport(this);
      this.#probe = probe;
      probe.on("open", () => probe.send([`${ENGINE.ping}probe`]));
      probe.on("close", () => { this.#probe = null; });
      probe.on("frame", async (frame) => {
        if (frame !== `${ENGINE.pong}probe`) {
          probe.close();
          return;
        }
        const polling = this.transport;
        this.#upgrading = true;
        await polling.pause();
        if (this.#state !== "open") return;
        probe.off();
        probe.send([ENGINE.upgrade]);
        polling.discard();
        this.#probe = null;
        this.#upgrading = false;
        this.#use(probe);
        this.fire("upgrade", probe);
        this.flush();
      });
      probe.open();
    }

    #send(text) {
      this.#queue.push(text);
      this.flush();
    }

    /** Send a Socket.IO packet's frames. */
    write([text, ...attachments]) {
      this.#queue.push(ENGINE.message + text, ...attachments);
      this.flush();
    }

    /** Send what waits, if the transport can. */
    flush() {
      const ready = this.#state === "open" && this.transport.writable && !this.#upgrading;
      if (ready && this.#queue.length) this.transport.send(this.#queue);
    }

    /** Whether a message would leave at once. */
    get writable() {
      return this.#state === "open" && this.transport.writable;
    }

    /** Close the session, after what waits has been sent. */
    close(reason = "forced close") {
      this.flush();
      const sent = !this.#queue.length && this.transport.writable;
      if (this.#state === "open" && !sent) this.#closing = reason;
      else this.#end(reason);
    }

    /** Close the session at once: the page goes away. */
    leave() {
      this.flush();
      this.#end("forced close");
    }

    #end(reason) {
      if (this.#state === "closed") return;
      this.#state = "closed";
      clearTimeout(this.#heartbeat);
      if (this.#probe) this.#probe.close();
      if (this.transport) this.transport.close();
      this.fire("close", reason);
    }
  }

  // Socket.IO

  /**
   * One connection for all namespaces, which comes back by itself. Fires "open", "close", "error",
   * "reconnect", "reconnect_attempt", "reconnect_error" and "reconnect_failed".
   */
  class Manager extends Emitter {
    engine = null;
    #sockets = new Map();
    #attempts = 0;
    #timer = 0;
    #opened = false;

    constructor(base, options) {
      super();
      this.base = base;
      this.options = options;
    }

    /** Return the socket of a namespace. */
    socket(namespace, options) {
      let socket = this.#sockets.get(namespace);
      if (!socket) {
        socket = new Socket(this, namespace, options);
        this.#sockets.set(namespace, socket);
      }
      return socket;
    }

    /** Whether a connection to this namespace has been asked for already. */
    has(namespace) {
      return this.#sockets.has(namespace);
    }

    /** Connect, unless that is under way. */
    open() {
      if (this.engine) return;
      clearTimeout(this.#timer);
      const engine = new Engine(this.base, this.options);
      const decoder = new Decoder();
      this.engine = engine;
      const late = setTimeout(() => engine.close("timeout"), this.options.timeout);
      engine.on("open", () => {
        clearTimeout(late);
        this.#onOpen();
      });
      engine.on("message", (frame) => {
        let packet;
        try {
          packet = decoder.add(frame);
        } catch {
          engine.close("parse error");
          return;
        }
        const socket = packet && this.#sockets.get(packet.namespace);
        if (socket) socket.receive(packet);
      });
      engine.on("close", (reason) => {
        clearTimeout(late);
        this.#onClose(reason);
      });
    }

    #onOpen() {
      const attempts = this.#attempts;
      this.#opened = true;
      this.#attempts = 0;
      this.fire("open");
      if (attempts) this.fire("reconnect", attempts);
      for (const socket of this.#sockets.values()) socket.onOpen();
    }

    #onClose(reason) {
      const opened = this.#opened;
      this.engine = null;
      this.#opened = false;
      if (opened) {
        this.fire("close", reason);
        for (const socket of this.#sockets.values()) socket.onClose(reason);
      } else {
        const error = new Error(reason === "timeout" ? "timeout" : "the server cannot be reached");
        this.fire("error", error);
        if (this.#attempts) this.fire("reconnect_error", error);
        for (const socket of this.#sockets.values()) socket.onError(error);
      }
      if (this.#isActive()) this.#reconnect();
    }

    #isActive() {
      return [...this.#sockets.values()].some((socket) => socket.active);
    }

    /** Try again after a pause that doubles, up to a limit, and is never the same for all. */
    #reconnect() {
      const { reconnection, reconnectionAttempts, reconnectionDelay, reconnectionDelayMax,
        randomizationFactor } = this.options;
      if (!reconnection) return;
      if (this.#attempts >= reconnectionAttempts) {
        this.#attempts = 0;
        this.fire("reconnect_failed");
        return;
      }
      const delay = Math.min(reconnectionDelay * 2 ** this.#attempts, reconnectionDelayMax);
      const jitter = (Math.random() * 2 - 1) * randomizationFactor * delay;
      this.#attempts += 1;
      this.#timer = setTimeout(() => {
        if (!this.#isActive()) return;
        this.fire("reconnect_attempt", this.#attempts);
        this.open();
      }, Math.min(delay + jitter, reconnectionDelayMax));
    }

    /** Whether packets can be sent. */
    get opened() {
      return this.#opened;
    }

    /** Close the connection when no namespace needs it any more. */
    release() {
      if (this.#isActive()) return;
      clearTimeout(this.#timer);
      if (this.engine) this.engine.close();
    }
  }

  /** One namespace. Events: the server's, and "connect", "connect_error", "disconnect". */
  class Socket extends Emitter {
    id = undefined;
    connected = false;
    /** Whether it is connected, or will be by itself. */
    active = false;
    #acks = new Map();
    #lastId = 0;
    #outbox = [];
    #anyListeners = [];

    constructor(manager, namespace, options) {
      super();
      this.io = manager;
      this.nsp = namespace;
      /** An object, or a function that is given a callback for it: the server's `auth`. */
      this.auth = options.auth;
    }

    /** Connect. */
    connect() {
      if (this.active) return this;
      this.active = true;
      if (this.io.opened) this.onOpen();
      else this.io.open();
      return this;
    }

    open() {
      return this.connect();
    }

    get disconnected() {
      return !this.connected;
    }

    /** Leave the namespace, for good until `connect` is called. */
    disconnect() {
      if (this.connected) this.#send({ type: DISCONNECT });
      this.active = false;
      if (this.connected) this.#leave("io client disconnect");
      this.io.release();
      return this;
    }

    close() {
      return this.disconnect();
    }

    /** Call `listener(name, ...args)` for every event of the server. */
    onAny(listener) {
      this.#anyListeners.push(listener);
      return this;
    }

    offAny(listener) {
      this.#anyListeners = listener ? this.#anyListeners.filter((l) => l !== listener) : [];
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

    /** Send an event, and return a promise of its acknowledgement. */
    emitWithAck(name, ...args) {
      return this.#emitWithAck({}, name, args);
    }

    /** The same with a limit: `(error, ...args)` goes to the acknowledgement's function. */
    timeout(milliseconds) {
      return this.#with({ timeout: milliseconds });
    }

    /** The same, but events are dropped rather than wait. */
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
        this.#emit({ ...flags, settle }, name, args);
      });
    }

    #emit(flags, name, args) {
      if (RESERVED.has(name)) throw new Error(`"${name}" is a reserved event name`);
      const writable = this.connected && this.io.engine && this.io.engine.writable;
      if (flags.volatile && !writable) return;
      const packet = { type: EVENT, data: [name, ...args] };
      const last = args[args.length - 1];
      if (flags.settle || typeof last === "function") {
        if (!flags.settle) packet.data.pop();
        packet.id = this.#lastId;
        this.#lastId += 1;
        this.#awaitAck(packet, flags, last);
      }
      if (this.connected) this.#send(packet);
      else this.#outbox.push(packet);
    }

    #awaitAck(packet, { timeout, settle }, callback) {
      const { id } = packet;
      const report = settle || (timeout === undefined ? null : callback);
      const done = (error, args) => {
        clearTimeout(timer);
        this.#acks.delete(id);
        if (report) report(error, ...args);
        else if (!error) callback(...args);
      };
      const timer = timeout === undefined ? 0 : setTimeout(() => {
        this.#outbox = this.#outbox.filter((waiting) => waiting !== packet);
        done(new Error("operation has timed out"), []);
      }, timeout);
      this.#acks.set(id, { done, packet });
    }

    #send(packet) {
      this.io.engine.write(encode({ ...packet, namespace: this.nsp }));
    }

    // Called by the manager

    onOpen() {
      if (!this.active) return;
      const connect = (auth) => this.io.opened && this.#send({ type: CONNECT, data: auth });
      if (typeof this.auth === "function") this.auth(connect);
      else connect(this.auth);
    }

    onError(error) {
      if (this.active) this.fire("connect_error", error);
    }

    onClose(reason) {
      if (this.connected) this.#leave(reason);
    }

    /** Take a packet of this namespace. */
    receive(packet) {
      switch (packet.type) {
        case CONNECT: this.#onConnect(packet.data.sid); break;
        case CONNECT_ERROR: this.#onRefused(packet.data); break;
        case EVENT: this.#onEvent(packet); break;
        case ACK: this.#onAck(packet); break;
        default:
          this.active = false;
          this.#leave("io server disconnect");
          this.io.release();
      }
    }

    #onConnect(id) {
      this.id = id;
      this.connected = true;
      for (const packet of this.#outbox.splice(0)) this.#send(packet);
      this.fire("connect");
    }

    #onRefused(data) {
      this.active = false;
      const error = new Error(typeof data === "string" ? data : data.message);
      error.data = data.data;
      this.fire("connect_error", error);
      this.io.release();
    }

    #onEvent({ id, data }) {
      const args = [...data];
      if (id !== undefined) {
        let answered = false;
        args.push((...answer) => {
          if (answered || !this.connected) return;
          answered = true;
          this.#send({ type: ACK, id, data: answer });
        });
      }
      for (const listener of [...this.#anyListeners]) attempt(() => listener(...data));
      this.fire(...args);
    }

    #onAck({ id, data }) {
      const ack = this.#acks.get(id);
      if (ack) ack.done(null, data);
    }

    /** What was sent and not acknowledged will not be: whoever can be told is told. */
    #leave(reason) {
      this.connected = false;
      this.id = undefined;
      const waiting = new Set(this.#outbox);
      for (const { done, packet } of [...this.#acks.values()]) {
        if (!waiting.has(packet)) done(new Error("socket has been disconnected"), []);
      }
      this.fire("disconnect", reason);
    }
  }

  const managers = new Set();
  const shared = new Map();

  /**
   * Return the socket of a namespace: `io()`, `io("/users")`, `io("https://host/users", options)`.
   * Namespaces of one host share a connection, unless `forceNew` is set or a namespace is asked
   * for a second time.
   */
  function io(url, options) {
    if (url !== null && typeof url === "object") [url, options] = [undefined, url];
    const settings = { ...DEFAULTS, ...options };
    const target = new URL(url || "/", window.location.href);
    const namespace = decodeURIComponent(target.pathname).replace(/(.)\/$/, "$1");
    const key = target.origin + settings.path;
    let manager = shared.get(key);
    if (settings.forceNew || !manager || manager.has(namespace)) {
      manager = new Manager(target.origin, settings);
      managers.add(manager);
      if (!settings.forceNew && !shared.has(key)) shared.set(key, manager);
    }
    const socket = manager.socket(namespace, settings);
    if (settings.autoConnect) socket.connect();
    return socket;
  }

  window.addEventListener("pagehide", () => {
    for (const { engine } of managers) if (engine) engine.leave();
  });

  window.io = Object.assign(io, { io, connect: io, Manager, Socket });
})();
