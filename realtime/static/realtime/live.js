/**
 * The live page of the admin: it draws what the namespace "/realtime/live" tells every two
 * seconds. A chart is an SVG of this script's own.
 */
(function () {
  "use strict";

  const POINTS = 150; // five minutes
  const MAX_NEWS = 50;
  const GONE_FOR = 30; // how many states a server stays that is not told of any more
  const WIDTH = 300, HEIGHT = 84;
  const SVG = "http://www.w3.org/2000/svg";

  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const options = read("live-options");
  const texts = read("live-texts");
  const root = document.querySelector(".live");
  const byId = (id) => document.getElementById(id);

  const whole = new Intl.NumberFormat(options.language, { maximumFractionDigits: 0 });
  const fine = new Intl.NumberFormat(options.language, { maximumFractionDigits: 1 });
  const short = new Intl.NumberFormat(options.language, { notation: "compact", maximumFractionDigits: 1 });
  const clock = new Intl.DateTimeFormat(options.language, { timeStyle: "medium" });
  const rate = (value) => (value < 10 ? fine : whole).format(value);

  /** Return a new element with these properties, its children texts or elements. */
  function make(name, { data = {}, ...properties } = {}, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    Object.assign(element.dataset, data);
    element.append(...children);
    return element;
  }

  // Charts

  function shape(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  /** Return a number of one digit and zeros (or 15, 150, ...) that is no less than the value. */
  function ceiling(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
    return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value) * power;
  }

  /** Draw series ({ color, values, area }) into an SVG, the newest values on the right. */
  function draw(svg, series, { top, grid = false, height = HEIGHT }) {
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const step = WIDTH / (POINTS - 1);
    const y = (value) => (height - 1.5 - (value / top) * (height - 4)).toFixed(1);
    const shapes = [];
    if (grid) {
      for (const part of [0, 0.5, 1]) {
        shapes.push(shape("line", { class: "live-grid", x1: 0, x2: WIDTH, y1: y(part * top), y2: y(part * top) }));
      }
    }
    for (const { color, values } of series) {
      if (values.length < 2) continue;
      const x = (index) => (WIDTH - (values.length - 1 - index) * step).toFixed(1);
      const points = values.map((value, index) => `${x(index)},${y(value)}`).join(" ");
      const group = shape("g", { "data-color": color });
      group.append(
        shape("polygon", { class: "live-area", points: `${x(0)},${height} ${points} ${WIDTH},${height}` }),
        shape("polyline", { class: "live-line", points }),
      );
      shapes.push(group);
    }
    svg.replaceChildren(...shapes);
  }

  function keep(values, value) {
    values.push(value);
    if (values.length > POINTS) values.shift();
  }

  // Totals

  const totals = new Map(
    [...document.querySelectorAll("[data-total]")].map((element) => [
      element.dataset.total,
      { values: [], output: element.querySelector("output"), svg: element.querySelector("svg") },
    ]),
  );

  function showTotal(name, value, color, format) {
    const total = totals.get(name);
    keep(total.values, value);
    total.output.textContent = format(value);
    const top = Math.max(...total.values, 1) * 1.1;
    draw(total.svg, [{ color, values: total.values }], { top, height: 38 });
  }

  // Servers

  const servers = new Map();

  /** Return a problem's text; a newer server's may be unknown. */
  function problemText(problem) {
    const text = texts.problems[problem.problem] || String(problem.problem);
    return text.replace(/%\((\w+)\)s/g, (_, name) => problem[name]);
  }

  /** A server's card: what it told last, its rates so far, and its elements. */
  class Server {
    constructor(id) {
      this.id = id;
      this.last = null;
      this.missed = 0;
      this.rates = { in: [], out: [] };
      this.now = { in: 0, out: 0 };
      this.name = make("span");
      this.age = make("small");
      this.numbers = make("p", { className: "live-numbers" });
      this.problems = make("p", { className: "live-problems", role: "status" });
      this.svg = document.createElementNS(SVG, "svg");
      this.svg.setAttribute("role", "img");
      this.top = make("span", { className: "live-top" });
      this.card = make("article", { className: "live-server", data: { server: id } },
        make("h3", {}, this.name, this.age),
        this.problems,
        this.numbers,
        make("div", { className: "live-chart" }, this.svg, this.top));
      this.svg.addEventListener("pointermove", (event) => this.#point(event));
      this.svg.addEventListener("pointerleave", () => this.#showNumbers());
    }

    /** Take what the server told; the same again where nothing newer has come. */
    take(report) {
      const { last } = this;
      if (last && report.uptime > last.uptime) {
        const seconds = report.uptime - last.uptime;
        this.now.in = Math.max(0, report.events_in - last.events_in) / seconds;
        this.now.out = Math.max(0, report.events_out - last.events_out) / seconds;
      }
      this.last = report;
      this.missed = 0;
      delete this.card.dataset.gone;
      if (last) {
        keep(this.rates.in, this.now.in);
        keep(this.rates.out, this.now.out);
      }
      this.#show();
    }

    /** Take note that nobody tells of this server any more; tell whether it can go. */
    miss() {
      this.missed += 1;
      this.now = { in: 0, out: 0 };
      this.card.dataset.gone = "";
      this.age.textContent = texts.gone;
      return this.missed > GONE_FOR;
    }

    get gone() {
      return this.missed > 0;
    }

    #show() {
      const { host, pid, uptime } = this.last;
      this.name.textContent = `${host}:${pid}`;
      this.age.textContent = `${texts.up} ${span(uptime)}`;
      this.problems.textContent = (this.last.problems || []).map(problemText).join(" · ");
      const top = ceiling(Math.max(...this.rates.in, ...this.rates.out, 1));
      this.top.textContent = `${short.format(top)}${texts.perSecond}`;
      this.svg.setAttribute("aria-label", texts.chart.replace("%s", this.name.textContent));
      draw(this.svg, [
        { color: "out", values: this.rates.out },
        { color: "in", values: this.rates.in },
      ], { top, grid: true });
      this.#showNumbers();
    }

    #showNumbers({ in: incoming, out: outgoing } = this.now) {
      const { connections, rooms, away = 0 } = this.last;
      const labelled = (text, value) => [`${text} `, make("b", {}, whole.format(value))];
      const clients = [...labelled(texts.clients, connections), ...(away ? [" · ", ...labelled(texts.away, away)] : [])];
      const key = (color, value) =>
        make("span", { className: "live-key", data: { color } }, `${texts[color]} `,
          make("b", {}, rate(value)), texts.perSecond);
      this.numbers.replaceChildren(
        make("span", {}, ...clients),
        key("in", incoming),
        make("span", {}, ...labelled(texts.rooms, rooms)),
        key("out", outgoing),
      );
    }

    /** Show the numbers of the moment under the pointer. */
    #point(event) {
      const box = this.svg.getBoundingClientRect();
      const back = Math.round((1 - (event.clientX - box.left) / box.width) * (POINTS - 1));
      const index = this.rates.in.length - 1 - back;
      if (index >= 0) this.#showNumbers({ in: this.rates.in[index], out: this.rates.out[index] });
    }
  }

  /** Return a time in seconds as its two largest units. */
  function span(seconds) {
    const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
    const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
    const parts = [];
    let rest = seconds < 1 ? 0 : seconds;
    for (const [unit, size] of seconds < 1 ? [units[3]] : units.slice(first, first + 2)) {
      const count = Math.floor(rest / size);
      rest -= count * size;
      if (count || !parts.length) {
        parts.push(new Intl.NumberFormat(options.language, { style: "unit", unit, unitDisplay: "short" }).format(count));
      }
    }
    return parts.join(" ");
  }

  function showServers(reports) {
    const told = new Set(reports.map((report) => report.id));
    for (const report of reports) {
      if (!servers.has(report.id)) servers.set(report.id, new Server(report.id));
      servers.get(report.id).take(report);
    }
    for (const [id, server] of servers) {
      if (!told.has(id) && server.miss()) servers.delete(id);
    }
    const name = ({ last }) => `${last.host}:${String(last.pid).padStart(8, "0")}`;
    const cards = [...servers.values()].sort((a, b) => name(a).localeCompare(name(b)));
    const order = cards.map((server) => server.card);
    const list = byId("live-servers");
    // Cards stay where they are, so that a pointer over a chart stays there too.
    if (order.length !== list.children.length || order.some((card, index) => list.children[index] !== card)) {
      list.replaceChildren(...order);
    }
  }

  function showTotals() {
    const living = [...servers.values()].filter((server) => !server.gone);
    const sum = (value) => living.reduce((so_far, server) => so_far + value(server), 0);
    showTotal("clients", sum((server) => server.last.connections), "plain", whole.format);
    showTotal("rooms", sum((server) => server.last.rooms), "plain", whole.format);
    showTotal("servers", living.length, "plain", whole.format);
    showTotal("in", sum((server) => server.now.in), "in", rate);
    showTotal("out", sum((server) => server.now.out), "out", rate);
  }

  // News

  const seen = new Map(); // the number of the newest news of each server

  /** Show what is new, and of what came before this page was opened the last few seconds. */
  function showNews(reports) {
    const news = [];
    for (const { id, news: items = [] } of reports) {
      const newest = seen.get(id) || 0;
      news.push(...items.filter((item) => item.number > newest));
      if (items.length) seen.set(id, Math.max(newest, items[items.length - 1].number));
    }
    if (!news.length) return;
    news.sort((a, b) => b.at - a.at);
    byId("live-quiet").hidden = true;
    const list = byId("live-news");
    list.prepend(...news.slice(0, MAX_NEWS).map(line));
    while (list.children.length > MAX_NEWS) list.lastElementChild.remove();
  }

  /** Quote an id as the admin does for its URLs. */
  const quote = (sid) => sid.replace(/_/g, "_5F");

  function line({ at, kind, sid, namespace, user, address, transport, reason }) {
    const href = options.socketUrl.replace("SID", quote(sid));
    const code = make("code", { title: sid }, `${sid.slice(0, 10)}…`);
    const gone = kind === "disconnect";
    const more = [address, gone ? reason : texts.transports[transport]];
    return make("li", { data: { sid } },
      make("time", { dateTime: new Date(at * 1000).toISOString() }, clock.format(at * 1000)),
      make("span", { data: { kind } }, texts[kind]),
      make("span", { title: namespace }, namespace),
      make("span", {}, user || texts.anonymous),
      make("span", {}, gone ? code : make("a", { href }, code)),
      make("span", { className: "live-more" }, more.filter(Boolean).join(" · ")));
  }

  // The connection

  function showState(name, reason = "") {
    const state = byId("live-state");
    const { engine } = socket.io;
    const how = name === "connected" && engine ? texts.transports[engine.transport.name] : "";
    state.dataset.state = name;
    state.textContent = [texts[name], how].filter(Boolean).join(" · ");
    byId("live-reason").hidden = !reason;
    byId("live-reason").textContent = reason;
    root.toggleAttribute("data-stale", name !== "connected");
  }

  const socket = window.io(options.namespace, {
    path: options.path,
    transports: options.transports,
    auth: { language: options.language },
  });

  let refusal = "";
  socket.on("connect", () => showState("connected"));
  socket.on("refused", (reason) => (refusal = reason));
  socket.on("connect_error", (error) => {
    // A server that refuses is not asked again; one that cannot be reached is.
    if (socket.active) showState("disconnected");
    else showState("refused", error.message);
  });
  socket.on("disconnect", () => {
    if (socket.active) showState("disconnected");
    else showState("refused", refusal);
  });
  socket.on("state", ({ servers: reports }) => {
    showServers(reports);
    showTotals();
    showNews(reports);
    showState("connected");
  });
})();
