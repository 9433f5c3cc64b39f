"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("rows").textContent);
  const col = data.columns;
  const PAGE = 100;
  const UNSEEN = "not observable";
  let parsed = null;
  const details = () => (parsed ??= JSON.parse(byId("details").textContent));

  const make = (name, properties = {}, ...children) => {
    const node = document.createElement(name);
    Object.assign(node, properties);
    node.append(...children);
    return node;
  };
  const draw = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  // One line: what cannot be shown, or would turn the writing around, becomes a space.
  const line = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, " ");
  const significant = (value) => value.toFixed(value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2);
  const time = (us) => (us < 999500 ? `${significant(us / 1000)} ms` : `${significant(us / 1e6)} s`);
  const fill = (select, entries, chosen) => {
    select.replaceChildren(...entries.map(([value, text]) => make("option", { value: String(value), textContent: text })));
    if (chosen !== undefined) select.value = String(chosen);
  };

  // ---- the table of all queries

  const nothing = (value) => (value === null ? UNSEEN : String(value));
  const timed = (value) => (value === null ? UNSEEN : time(value));
  const columns = [
    { title: "query", value: (i) => data.queries[col.query[i]], query: true },
    { title: "configuration", value: (i) => data.configurations[col.configuration[i]], words: true },
    { title: "round", value: (i) => col.round[i] },
    { title: "verdict", value: (i) => data.verdicts[col.verdict[i]], verdict: true },
    { title: "wall", value: (i) => col.wall[i], show: timed },
    { title: "queue", value: (i) => col.queue[i], show: timed },
    { title: "generation", value: (i) => col.generation[i], show: timed },
    { title: "tool", value: (i) => col.tool[i], show: timed },
    { title: "framework", value: (i) => col.framework[i], show: timed },
    { title: "TTFT", value: (i) => col.ttft[i], show: timed },
    { title: "tokens in", value: (i) => col.input[i], show: nothing },
    { title: "cached", value: (i) => col.cached[i], show: nothing },
    { title: "out", value: (i) => col.output[i], show: nothing },
    { title: "generations", value: (i) => col.generations[i] },
    { title: "tool calls", value: (i) => col.calls[i] },
    { title: "category", value: (i) => data.categories[data.query_category[col.query[i]]], words: true },
    { title: "seq", value: (i) => col.seq[i] },
  ];
  const state = { column: columns[4], up: false, shown: PAGE, order: [] };

  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const arrange = () => {
    const configuration = byId("only-configuration").value;
    const verdict = byId("only-verdict").value;
    const category = byId("only-category").value;
    const wanted = byId("find").value.trim().toLowerCase();
    const hit = data.queries.map((name, index) => {
      const of = data.query_category[index];
      const inCategory = category === "" || of === Number(category);
      return inCategory && `${name}\n${data.categories[of]}`.toLowerCase().includes(wanted);
    });
    const order = [];
    for (let i = 0; i < col.seq.length; i++) {
      if (configuration !== "" && col.configuration[i] !== Number(configuration)) continue;
      if (verdict === "wrong" ? data.verdicts[col.verdict[i]] === "correct" : verdict !== "" && col.verdict[i] !== Number(verdict)) continue;
      if (hit[col.query[i]]) order.push(i);
    }
    const { value } = state.column;
    const keys = new Map(order.map((i) => [i, value(i)]));
    const sign = state.up ? 1 : -1;
    order.sort((a, b) => {
      const left = keys.get(a), right = keys.get(b);
      // What was not observed stands last, whichever way it is sorted.
      if (left === null || right === null) return (left === null) - (right === null) || a - b;
      return sign * compare(left, right) || a - b;
    });
    state.order = order;
    state.shown = PAGE;
    list();
  };

  const tableRow = (i) => {
    const row = make("tr");
    for (const column of columns) {
      const value = column.value(i);
      const cell = make("td");
      if (column.query) {
        const button = make("button", { type: "button", textContent: line(value) });
        button.addEventListener("click", () => open(i));
        cell.append(button);
        cell.className = "words";
      } else {
        cell.textContent = column.show ? column.show(value) : line(String(value));
        cell.className = column.verdict ? (value === "correct" ? "good" : "bad") : column.words ? "words" : "";
        if (value === null) cell.className = "unseen";
      }
      row.append(cell);
    }
    return row;
  };

  const list = () => {
    const body = byId("table").tBodies[0];
    const rows = document.createDocumentFragment();
    for (const i of state.order.slice(0, state.shown)) rows.append(tableRow(i));
    body.replaceChildren(rows);
    const left = state.order.length - state.shown;
    byId("more").hidden = left <= 0;
    byId("count").textContent = `${state.order.length} of ${col.seq.length} rows` + (left > 0 ? `, the first ${state.shown} shown` : "");
    for (const cell of byId("table").tHead.rows[0].cells) {
      const sorted = cell.textContent === state.column.title;
      cell.setAttribute("aria-sort", sorted ? (state.up ? "ascending" : "descending") : "none");
    }
  };

  const setUpTable = () => {
    for (const column of columns) {
      const button = make("button", { type: "button", textContent: column.title });
      button.addEventListener("click", () => {
        state.up = state.column === column ? !state.up : Boolean(column.query || column.words);
        state.column = column;
        arrange();
      });
      byId("table").tHead.rows[0].append(make("th", { scope: "col", className: column.query || column.words || column.verdict ? "words" : "" }, button));
    }
    const named = (values) => [["", "all"], ...values.map((value, index) => [index, line(value)])];
    const seen = new Set(col.verdict);
    fill(byId("only-configuration"), named(data.configurations));
    fill(byId("only-verdict"), [["", "all"], ["wrong", "all but correct"], ...data.verdicts.map((v, i) => [i, v]).filter(([i]) => seen.has(i))]);
    fill(byId("only-category"), named(data.categories));
    for (const id of ["only-configuration", "only-verdict", "only-category"]) byId(id).addEventListener("change", arrange);
    byId("find").addEventListener("input", arrange);
    byId("more").addEventListener("click", () => {
      state.shown += PAGE * 5;
      list();
    });
    arrange();
  };

  // ---- one query, side by side

  const places = new Map(); // query -> round -> configuration -> row
  const setUpPlaces = () => {
    for (let i = 0; i < col.seq.length; i++) {
      if (!(col.seq[i] in details().of)) continue;
      const rounds = places.get(col.query[i]) ?? places.set(col.query[i], new Map()).get(col.query[i]);
      const sides = rounds.get(col.round[i]) ?? rounds.set(col.round[i], new Map()).get(col.round[i]);
      sides.set(col.configuration[i], i);
    }
  };

  const pick = (query, round, a, b) => {
    const rounds = places.get(query);
    if (!rounds) return;
    if (!rounds.has(round)) round = rounds.keys().next().value;
    const sides = rounds.get(round);
    const names = [...sides.keys()].sort((x, y) => x - y);
    if (!sides.has(a)) a = names[0];
    if (!sides.has(b) || b === a) b = names.find((name) => name !== a) ?? "";
    fill(byId("pick-query"), [...places.keys()].map((index) => [index, line(data.queries[index])]), query);
    fill(byId("pick-round"), [...rounds.keys()].map((value) => [value, String(value)]), round);
    const options = names.map((index) => [index, line(data.configurations[index])]);
    fill(byId("pick-a"), options, a);
    fill(byId("pick-b"), [["", "nothing"], ...options], b);
    show(sides, a, b);
  };

  const show = (sides, a, b) => {
    const rows = [a, b].filter((name) => sides.has(name)).map((name) => sides.get(name));
    const longest = Math.max(1, ...rows.map((i) => col.wall[i]));
    byId("question").textContent = details().questions[col.query[rows[0]]] ?? line(data.queries[col.query[rows[0]]]);
    byId("same").textContent = rows.length > 1 ? sameness(...rows.map((i) => details().of[col.seq[i]])) : "";
    byId("sides").replaceChildren(...rows.map((i) => side(i, longest)));
  };

  const sameness = (one, other) => {
    const same = one.digests.map((digest, index) => digest === other.digests[index]);
    const tools = same[0] ? "The same tool calls" : "Not the same tool calls";
    if (same[1]) return `${tools}, the same answer to the letter.`;
    let at = 0;
    while (at < one.answer.length && one.answer[at] === other.answer[at]) at++;
    return `${tools}; the answers first differ after ${at} characters.`;
  };

  const side = (i, longest) => {
    const detail = details().of[col.seq[i]];
    const verdict = data.verdicts[col.verdict[i]];
    const parts = [["queue", col.queue[i]], ["generation", col.generation[i]], ["tool", col.tool[i]], ["framework", col.framework[i]]];
    const ledger = parts.map(([name, us]) => `${name} ${timed(us)}`).join(", ");
    const node = make("div", { className: "side" });
    node.append(
      make("h3", { textContent: line(data.configurations[col.configuration[i]]) }),
      make("p", { className: "note", textContent: `${verdict}, ${time(col.wall[i])}: ${ledger}` }),
      make("p", { className: "note", textContent: tokens(i, detail) }),
      ...detail.spans.map((span, place) => bar(span, longest, onPath(detail.path, place))),
    );
    if (!detail.spans.length) node.append(make("p", { className: "note unseen", textContent: "this page holds no span of it" }));
    if (detail.left_out) node.append(make("p", { className: "note", textContent: `and ${detail.left_out} more spans` }));
    if (detail.error !== undefined) node.append(...labelled("error", detail.error));
    for (const [name, given, ok, result] of detail.calls) {
      node.append(...labelled(`tool call${ok ? "" : ", failed"}: ${line(name)}`, given));
      node.append(...(result === null ? [make("p", { className: "note unseen", textContent: "its result was not recorded" })] : labelled("its result", result)));
    }
    node.append(...labelled("answer", detail.answer));
    return node;
  };

  const tokens = (i, detail) => {
    const first = col.ttft[i] === null ? `TTFT ${UNSEEN}` : `TTFT ${time(col.ttft[i])}`;
    const model = detail.model === undefined ? "" : `, answered by ${line(detail.model)}`;
    return `${first}, tokens: in ${nothing(col.input[i])}, cached ${nothing(col.cached[i])}, out ${nothing(col.output[i])}${model}`;
  };

  const labelled = (label, text) => [make("p", { className: "label", textContent: label }), make("pre", { textContent: text === "" ? "(nothing)" : text })];

  // The stretches [start, length] of the critical path that are this span's own.
  const onPath = (path, place) => {
    const own = [];
    for (let i = 0; i < path.length; i += 3) if (path[i] === place) own.push([path[i + 1], path[i + 2]]);
    return own;
  };

  const bar = ([name, segment, depth, start, length, marks = [], error], longest, path) => {
    const { names, segments, marks: kinds } = details();
    const percent = (us) => `${Math.min(Math.max((us / longest) * 100, 0), 100)}%`;
    const chart = draw("svg", { width: "100%", height: 18, role: "img" });
    const rect = draw("rect", { class: segments[segment], x: percent(start), y: 1, width: percent(length), height: 12, rx: 2 });
    chart.append(rect, draw("rect", { class: segments[segment], x: percent(start), y: 1, width: 1.5, height: 12 }));
    const seen = marks.map(([kind, at]) => `${kinds[kind].replaceAll("_", " ")} at ${time(at)}`);
    for (const [, at] of marks) chart.append(draw("rect", { class: "mark", x: percent(at), y: 3, width: 1.5, height: 8 }));
    for (const [from, us] of path) {
      chart.append(draw("rect", { class: "path", x: percent(from), y: 14, width: percent(us), height: 3 }));
      chart.append(draw("rect", { class: "path", x: percent(from), y: 14, width: 1, height: 3 }));
    }
    if (path.length) seen.push(`${time(path.reduce((sum, [, us]) => sum + us, 0))} of it on the critical path`);
    const label = make("span", { textContent: line(names[name]) });
    label.style.paddingLeft = `${Math.min(depth, 8) * 9}px`;
    const said = [`${line(names[name])}: from ${time(start)}, ${time(length)}`, ...seen, ...(error === undefined ? [] : [line(error)])].join("; ");
    chart.setAttribute("aria-label", said);
    const took = make("span", { className: "took", textContent: time(length) });
    return make("div", { className: error === undefined ? "span" : "span failed", title: said }, label, make("div", { className: "bars" }, chart), took);
  };

  const chosen = (id) => (byId(id).value === "" ? "" : Number(byId(id).value));
  const open = (i) => {
    if (!places.get(col.query[i])?.get(col.round[i])?.has(col.configuration[i])) {
      byId("same").textContent = "This page holds no spans and texts of that query; the run's folder does.";
    } else {
      pick(col.query[i], col.round[i], col.configuration[i], chosen("pick-a"));
    }
    byId("query").scrollIntoView();
    // Whoever came by keyboard goes on there, and a screen reader says where.
    const title = byId("query").querySelector("h2");
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
  };

  const setUpQuery = () => {
    setUpPlaces();
    for (const id of ["pick-query", "pick-round", "pick-a", "pick-b"]) {
      byId(id).addEventListener("change", () => {
        const [query, round, a, b] = ["pick-query", "pick-round", "pick-a", "pick-b"].map(chosen);
        if (id === "pick-b") show(places.get(query).get(round), a, b);
        else pick(query, round, a, b);
      });
    }
    // The slowest of the first configuration whose spans it has: most likely what one looks for.
    let slowest = -1;
    for (let i = 0; i < col.seq.length; i++) {
      const held = details().of[col.seq[i]]?.spans.length > 0 && col.configuration[i] === 0;
      if (held && (slowest < 0 || col.wall[i] > col.wall[slowest])) slowest = i;
    }
    if (slowest >= 0) pick(col.query[slowest], col.round[slowest], 0, "");
    else if (places.size) pick(places.keys().next().value, NaN, 0, "");
  };

  // ---- what is wider than the page scrolls by keyboard too, and says what it is

  const setUpScrolling = () => {
    const watch = new ResizeObserver((seen) => seen.forEach(({ target }) => reach(target.closest(".scroll"))));
    for (const part of document.querySelectorAll(".scroll")) {
      reach(part);
      watch.observe(part);
      watch.observe(part.firstElementChild);
    }
  };
  const reach = (part) => {
    const attributes = { tabindex: "0", role: "region", "aria-label": `${scrolled(part)}, wider than the page` };
    for (const [name, value] of Object.entries(attributes)) {
      if (part.scrollWidth > part.clientWidth) part.setAttribute(name, value);
      else part.removeAttribute(name);
    }
  };
  const scrolled = (part) => {
    const above = part.previousElementSibling;
    const title = part.closest("section").querySelector("h2").textContent;
    return above?.tagName === "H3" ? `${title}: ${above.textContent}` : title;
  };

  if (byId("table")) setUpTable();
  if (byId("pick-query")) setUpQuery();
  setUpScrolling();
  // Milliseconds from opening the page to here; what tests and benchmarks read.
  document.documentElement.dataset.ready = performance.now().toFixed(0);
})();
