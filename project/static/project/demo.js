/** The demo page: every control sends one event, and everything that arrives goes to the log. */
"use strict";

const MAX_LINES = 300;
const COUNT_INTERVAL = 2000;
const ACK_TIMEOUT = 5000;
const HOME_ROOM = "Room №1";

const element = (id) => document.getElementById(id);
const rooms = new Set();
const sockets = new Map();
let socket = null;

function show(value) {
  if (value instanceof ArrayBuffer) return `<bytes ${[...new Uint8Array(value)].join(" ")}>`;
  if (ArrayBuffer.isView(value)) return show(value.buffer);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Add a line to the log; `kind` is "in", "out" or "bad". */
function write(kind, name, ...values) {
  const log = element("log");
  const line = document.createElement("li");
  line.className = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  const label = document.createElement("b");
  label.textContent = name;
  label.title = name;
  const text = document.createElement("span");
  text.textContent = values.map(show).join("  ");
  line.append(time, label, text);
  log.append(line);
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

function showState() {
  const state = element("state");
  const engine = socket.io.engine;
  state.textContent = socket.connected ? "connected" : socket.active ? "connecting" : "disconnected";
  state.classList.toggle("connected", socket.connected);
  element("sid").textContent = socket.id || "–";
  element("curl").textContent = socket.id ? `curl -X POST ${new URL(`client/${socket.id}`, document.baseURI)}` : "–";
  element("transport").textContent = socket.connected && engine ? engine.transport.name : "–";
}

/** Show the rooms; a click on one chooses it. */
function showRooms() {
  element("rooms").replaceChildren(...[...rooms].map((room) => {
    const item = document.createElement("li");
    const choose = document.createElement("button");
    choose.type = "button";
    choose.textContent = room;
    choose.addEventListener("click", () => { element("room").value = room; });
    item.append(choose);
    return item;
  }));
}

/** Switch off what only the namespace "/" can do, while another one is chosen. */
function showAbilities() {
  for (const control of document.querySelectorAll("[data-home]")) control.disabled = socket.nsp !== "/";
}

async function showCount() {
  if (document.hidden) return;
  try {
    const response = await fetch("clients-count");
    element("count").textContent = (await response.json()).count;
  } catch {
    element("count").textContent = "–";
  }
}

/** Show which of the cluster's servers the connection is to. */
async function showServer(main) {
  const { server, address } = await main.timeout(ACK_TIMEOUT).emitWithAck("whereami");
  element("server").textContent = address.replace(/^.*:/, ":");
  element("server").title = `${server} at ${address}`;
}

/** Make a namespace's socket once, and listen to it. */
function open(namespace) {
  if (sockets.has(namespace)) return sockets.get(namespace);
  const opened = io(namespace);
  sockets.set(namespace, opened);
  opened.on("connect", () => {
    write("in", "connect", namespace, opened.id);
    if (namespace === "/") {
      // A new connection starts with the room that the server puts everybody into.
      for (const room of rooms) if (room !== HOME_ROOM) opened.emit("join", room);
      rooms.add(HOME_ROOM);
      showRooms();
      quietly(showServer(opened));
    }
    opened.io.engine.on("upgrade", showState);
    showState();
    showCount();
  });
  opened.on("disconnect", (reason) => {
    write("bad", "disconnect", namespace, reason);
    showState();
    showCount();
  });
  opened.on("connect_error", (error) => {
    write("bad", "refused", namespace, error.message);
    showState();
  });
  opened.on("message", (text) => console.log("message", text));
  opened.on("question", (text, answer) => answer("yes"));
  opened.onAny((name, ...args) => write("in", name, ...args.filter((arg) => typeof arg !== "function")));
  return opened;
}

/** Send an event and log its acknowledgement, or what is wrong. */
async function ask(name, ...args) {
  write("out", `→ ${name}`, ...args);
  try {
    const answer = await socket.timeout(ACK_TIMEOUT).emitWithAck(name, ...args);
    if (answer && answer.error) throw new Error(answer.error.message);
    return answer;
  } catch (error) {
    write("bad", name, error.message);
    throw error;
  }
}

const quietly = (promise) => promise.catch(() => {});

function onSubmit(id, handle) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    quietly(Promise.resolve(handle()));
  });
}

function onClick(id, handle) {
  element(id).addEventListener("click", () => quietly(Promise.resolve(handle())));
}

onSubmit("message-form", () => {
  const text = element("message").value;
  write("out", "→ message", text);
  socket.emit("message", text);
});

onClick("broadcast", () => ask("broadcast", element("message").value));

onSubmit("room-form", async () => {
  const room = element("room").value;
  await ask("join", room);
  rooms.add(room);
  showRooms();
});

onClick("leave", async () => {
  const room = element("room").value;
  await ask("leave", room);
  rooms.delete(room);
  showRooms();
});

onSubmit("say-form", () => ask("say", element("room").value, element("say-text").value));

onSubmit("client-form", async () => {
  const response = await fetch(`client/${encodeURIComponent(element("client-id").value.trim())}`, { method: "POST" });
  element("client-answer").textContent = `${response.status}: ${(await response.json()).message}`;
});

onClick("echo", () => {
  const args = ["text", new Uint8Array([1, 2, 3])];
  write("out", "→ echo", ...args);
  socket.timeout(ACK_TIMEOUT).emit("echo", ...args, (error, ...echo) => {
    if (error) write("bad", "echo", error.message);
    else write("in", "echo", ...echo);
  });
});

onClick("ask", async () => write("in", "ask me", await ask("ask me")));

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(element(button.dataset.copies).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

onClick("clear", () => element("log").replaceChildren());

element("namespace").addEventListener("change", (event) => {
  socket = open(event.target.value);
  showState();
  showAbilities();
});

socket = open("/");
showState();
showCount();
setInterval(showCount, COUNT_INTERVAL);
document.addEventListener("visibilitychange", showCount);
