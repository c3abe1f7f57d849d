"use strict";
// The lists are in the page already; this folds, searches and follows them. No text becomes markup here.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const explorer = document.querySelector(".explorer");
  const details = document.getElementById("details");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const filters = new Set();
  document.documentElement.classList.add("scripted");

  // A side is a list of rows in the order of its data: what is searched in each, which are hits, which are to be seen.
  const side = (name, text) => {
    const list = document.getElementById(name);
    const rows = list ? [...list.querySelectorAll(".row")] : [];
    const entries = data[name];
    return { name, list, rows, entries, texts: entries.map(text), hits: rows.map(() => true), seen: rows.map(() => true), first: 0, current: 0 };
  };
  const before = side("before", (e) => `${e.path} ${e.class}`.toLowerCase());
  const after = side("after", (e) => `${e.name} ${e.path} ${e.class}`.toLowerCase());
  const sides = [before, after];
  const other = (one) => (one === before ? after : before);

  // Which row belongs to which.
  const byName = new Map(after.entries.map((entry, i) => [entry.name, i]));
  const byPath = new Map(before.entries.map((entry, i) => [entry.path, i]));
  const end = before.entries.map((_, i) => i);
  for (let i = end.length - 1; i > 0; i--) {
    const up = before.entries[i].up;
    if (up >= 0) end[up] = Math.max(end[up], end[i]);
  }
  const origins = new Map();
  before.entries.forEach((entry, i) => entry.layers.forEach((name) => {
    if (!origins.has(name)) origins.set(name, []);
    origins.get(name).push(i);
  }));
  const users = new Map();
  after.entries.forEach((entry) => new Set(entry.inputs).forEach((name) => {
    if (!users.has(name)) users.set(name, []);
    users.get(name).push(entry.name);
  }));

  function partners(one, i) {
    if (one === after) {
      const { name, path } = after.entries[i];
      return origins.get(name) ?? (byPath.has(path) ? [byPath.get(path)] : []);
    }
    const rows = new Set();
    for (let j = i; j <= end[i]; j++) before.entries[j].layers.forEach((name) => rows.add(byName.get(name)));
    rows.delete(undefined);
    return [...rows].sort((a, b) => a - b);
  }

  // Folding. While something is looked for all is open, but for what is closed then.
  const folded = new Set();
  const foldedMeanwhile = new Set();
  const looking = () => search.value.trim() !== "" || filters.size > 0;
  const folds = () => (looking() ? foldedMeanwhile : folded);
  const isParent = (i) => end[i] > i;
  function fold(i, value) {
    if (isParent(i)) folds()[value ? "add" : "delete"](i);
    draw();
  }
  function foldBelow(level) {
    folds().clear();
    before.rows.forEach((row, i) => isParent(i) && row.ariaLevel > level && folds().add(i));
    draw();
  }

  // Shows the hits that are not folded away. Rows that stay as they are, and those far from view, cost nothing.
  function draw() {
    const now = folds();
    const open = before.entries.map(() => true);
    before.entries.forEach(({ up }, i) => {
      if (up >= 0) open[i] = open[up] && !now.has(up);
      const expanded = String(!now.has(i));
      if (isParent(i) && before.rows[i].ariaExpanded !== expanded) before.rows[i].ariaExpanded = expanded;
    });
    for (const one of sides) {
      const numbers = new Map();
      one.rows.forEach((row, i) => {
        const value = one.hits[i] && (one === after || open[i]);
        if (one.seen[i] !== value) row.hidden = !(one.seen[i] = value);
        numbers.set(row.parentNode, (numbers.get(row.parentNode) ?? 0) + Number(value));
      });
      numbers.forEach((number, chunk) => {
        chunk.hidden = number === 0;
        chunk.style.setProperty("--rows", number);
      });
      if (!one.seen[one.current]) stand(one, Math.max(0, one.seen.indexOf(true)));
    }
  }

  // Searching and filtering.
  const compared = new Map(Object.entries(data.differences));
  const difference = (name) => compared.get(name);
  const tests = {
    kept: (kind) => kind === "kept" || kind === "whole",
    function: (kind) => kind === "function",
    unused: (kind) => kind === "unused" || kind === "dropped",
    inexact: (_, name) => difference(name)?.exact === false,
    differs: (_, name) => difference(name)?.within === false,
  };
  function passes(one, i) {
    if (!filters.size) return true;
    const entry = one.entries[i];
    const kinds = one === after ? [[entry.kind, entry.name]] : [[entry.became, ""]];
    if (one === before) entry.layers.forEach((name) => kinds.push([after.entries[byName.get(name)]?.kind, name]));
    return [...filters].some((filter) => kinds.some(([kind, name]) => tests[filter](kind, name)));
  }
  function look() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    foldedMeanwhile.clear();
    const numbers = sides.map((one) => {
      one.hits = one.rows.map((_, i) => words.every((word) => one.texts[i].includes(word)) && passes(one, i));
      one.first = one.hits.indexOf(true);
      return one.hits.filter(Boolean).length;
    });
    // What is around a hit is seen as well.
    for (let i = end.length - 1; i > 0; i--) {
      if (before.hits[i] && before.entries[i].up >= 0) before.hits[before.entries[i].up] = true;
    }
    draw();
    const say = (one, number) => `${number.toLocaleString("en")} of ${one.rows.length.toLocaleString("en")} ${one.name}`;
    found.textContent = looking() ? sides.map((one, k) => say(one, numbers[k])).join(", ") : "";
  }

  // Choosing: the row, its partners on the other side, its details, its address.
  let chosen = [];
  let addressing = 0;

  function choose(one, i, { focus = false } = {}) {
    chosen.forEach(([row, name]) => (name ? row.classList.remove(name) : (row.ariaSelected = "false")));
    chosen = [[one.rows[i], ""]];
    one.rows[i].ariaSelected = "true";
    const partner = other(one);
    const there = partners(one, i);
    there.forEach((j) => {
      partner.rows[j].classList.add("partner");
      chosen.push([partner.rows[j], "partner"]);
    });
    describe(one, i, there);
    stand(one, i);
    if (there.length) stand(partner, there[0]);
    want(one, i);
    if (there.length) want(partner, there[0]);
    if (focus) one.rows[i].focus({ preventScroll: true });
    reveal(one, i);
    if (there.length) reveal(partner, there[0]);
    clearTimeout(addressing);
    addressing = setTimeout(() => address(one, i), 150);
  }
  function stand(one, i) {
    if (!one.rows.length) return;
    one.rows[one.current].tabIndex = -1;
    one.rows[(one.current = i)].tabIndex = 0;
  }
  // A row that the search hides, or that is folded away, is wanted now.
  function want(one, i) {
    if (one.seen[i]) return;
    one.hits[i] = true;
    for (let up = before.entries[i]?.up ?? -1; one === before && up >= 0; up = before.entries[up].up) {
      before.hits[up] = true;
      folds().delete(up);
    }
    draw();
  }
  // Scrolls the list and not the page.
  function reveal(one, i) {
    const list = one.list.getBoundingClientRect();
    const place = one.rows[i].getBoundingClientRect();
    // On a phone the details lie over the list.
    const over = getComputedStyle(details).position === "fixed" ? details.getBoundingClientRect().top : Infinity;
    const bottom = Math.min(list.bottom, over);
    if (place.top < list.top || place.bottom > bottom) {
      one.list.scrollTop += place.top - list.top - (bottom - list.top) / 4;
    }
  }
  const hashOf = (one, i) =>
    one === after ? `#layer=${encodeURIComponent(after.entries[i].name)}` : `#path=${encodeURIComponent(before.entries[i].path)}`;
  function address(one, i) {
    try {
      history.replaceState(null, "", hashOf(one, i));
    } catch {
      // A page that is shown inside of another may have no address of its own.
    }
  }
  function follow(url) {
    const [, kind, value] = /#(layer|path)=(.*)$/s.exec(url) ?? [];
    if (!kind) return;
    let name = value;
    try {
      name = decodeURIComponent(value);
    } catch {
      // A percent sign of the name itself.
    }
    const [one, i] = kind === "layer" ? [after, byName.get(name)] : [before, byPath.get(name)];
    if (i === undefined) return;
    turnTo(one);
    choose(one, i, { focus: true });
    explorer.scrollIntoView({ block: "start" });
  }

  // The details.
  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.filter((child) => child !== null));
    return element;
  }
  // `code` in a sentence.
  const prose = (text) => text.split("`").map((piece, k) => (k % 2 ? make("code", {}, piece) : piece));
  const link = (one, i, text) => make("a", { href: hashOf(one, i) }, make("bdi", {}, text));
  function links(one, rows, text) {
    const shown = rows.slice(0, 40).flatMap((i) => [link(one, i, text(one.entries[i])), ", "]).slice(0, -1);
    if (rows.length > 40) shown.push(` and ${(rows.length - 40).toLocaleString("en")} more`);
    return shown;
  }
  const nameOf = (entry) => entry.name;
  const pathOf = (entry) => entry.path || "(the model)";
  const rowsOf = (names) => names.map((name) => byName.get(name)).filter((i) => i !== undefined);

  function describe(one, i, there) {
    const entry = one.entries[i];
    const list = make("dl", {});
    const say = (term, ...what) => {
      if (what.some((part) => part !== null && part !== "")) list.append(make("dt", {}, term), make("dd", {}, ...what));
    };
    say("class", `${entry.module ? `${entry.module}.` : ""}${entry.class}`);
    say("why", ...prose(entry.why));
    if (one === after) {
      say("comes from", ...(there.length ? links(before, there, pathOf) : [entry.path]));
      say("shape and dtype", [entry.shape, entry.dtype].filter(Boolean).join(" "));
    } else {
      const layers = `${there.length.toLocaleString("en")} layer${there.length === 1 ? "" : "s"}`;
      say("became", `${entry.became}, ${layers}${there.length ? ": " : ""}`, ...links(after, there, nameOf));
    }
    say("parameters", (entry.parameters ?? 0).toLocaleString("en"));
    if (one === after) {
      say("takes", ...links(after, rowsOf(entry.inputs), nameOf));
      say("taken by", ...links(after, rowsOf(users.get(entry.name) ?? []), nameOf));
    }
    if (compared.size) say("difference", one === after ? farAway(difference(entry.name)) : worstOf(one.rows[i], there));
    if (entry.source) {
      const { file, line, text } = entry.source;
      say("source", make("span", { className: "place" }, make("bdi", {}, file), `:${line}`), text ? make("code", {}, text) : null);
    }
    const close = make("button", { className: "close", type: "button" }, "Close");
    close.addEventListener("click", () => details.classList.remove("shown"));
    const title = one === after ? entry.name : pathOf(entry);
    details.replaceChildren(close, make("h3", {}, make("bdi", {}, title)), list);
    details.classList.add("shown");
    details.scrollTop = 0;
  }
  function worstOf(row, there) {
    const number = there.filter((i) => compared.has(after.entries[i].name)).length;
    const worst = number ? `, the worst: ${row.querySelector(".difference").textContent.split(",")[0]}` : "";
    return `${number.toLocaleString("en")} of ${there.length.toLocaleString("en")} layers were compared${worst}`;
  }
  function farAway(far) {
    if (!far) return "nothing to compare with";
    if (far.exact) return "exact";
    const number = (value) => (value === null ? "not comparable" : value.toExponential(1));
    const verdict = far.within ? "within tolerance" : "not within tolerance";
    return [`${number(far.max_abs_difference)} absolute, ${number(far.relative)} relative, ${verdict}`, far.reason].filter(Boolean).join(": ");
  }

  // Keyboard and mouse.
  function step(one, from, by) {
    for (let i = from; i >= 0 && i < one.rows.length; i += by) if (one.seen[i]) return i;
    return -1;
  }
  function press(one, event) {
    const i = one.current;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = {
      ArrowDown: () => step(one, i + 1, 1),
      ArrowUp: () => step(one, i - 1, -1),
      Home: () => step(one, 0, 1),
      End: () => step(one, one.rows.length - 1, -1),
      ArrowRight: () => (one === before && isParent(i) ? (folds().has(i) ? fold(i, false) : step(one, i + 1, 1)) : -1),
      ArrowLeft: () => (one !== before ? -1 : isParent(i) && !folds().has(i) ? fold(i, true) : before.entries[i].up),
      Enter: () => cross(one, i),
      " ": () => i,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const target = to();
    if (target >= 0) choose(one, target, { focus: true });
  }
  function cross(one, i) {
    const [first] = partners(one, i);
    if (first === undefined) return i;
    turnTo(other(one));
    choose(other(one), first, { focus: true });
    return -1;
  }
  function turnTo(one) {
    explorer.dataset.side = one.name;
    for (const button of document.querySelectorAll("[data-show]")) button.ariaPressed = String(button.dataset.show === one.name);
  }
  for (const one of sides.filter((one) => one.list)) {
    const numbers = new Map(one.rows.map((row, i) => [row, i]));
    // What is cut off.
    one.list.addEventListener("pointerover", ({ target }) => {
      const i = numbers.get(target.closest(".row"));
      if (i !== undefined) one.rows[i].title = one === after ? one.entries[i].name : pathOf(one.entries[i]);
    });
    one.list.addEventListener("keydown", (event) => press(one, event));
    one.list.addEventListener("click", (event) => {
      const i = numbers.get(event.target.closest(".row"));
      if (i === undefined) return;
      if (event.target.closest(".fold") && isParent(i)) fold(i, !folds().has(i));
      else choose(one, i, { focus: true });
    });
  }
  before.list.addEventListener("dblclick", (event) => {
    const i = before.rows.indexOf(event.target.closest(".row"));
    if (i >= 0) fold(i, !folds().has(i));
  });
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      look();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      const one = [explorer.dataset.side === "after" ? after : before, before, after].find(({ first }) => first >= 0);
      if (!one) return;
      turnTo(one);
      choose(one, one.first, { focus: true });
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && event.target !== search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
  document.getElementById("unfold").addEventListener("click", () => foldBelow(Infinity));
  document.getElementById("fold").addEventListener("click", () => foldBelow(1));
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.filter;
      filters[filters.has(name) ? "delete" : "add"](name);
      button.ariaPressed = String(filters.has(name));
      look();
    });
  }
  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => turnTo(button.dataset.show === "after" ? after : before));
  }
  document.querySelector(".strip")?.addEventListener("click", (event) => {
    if (event.target.dataset.row) choose(after, Number(event.target.dataset.row));
  });
  // By the address of the event: that of the page may be another by now.
  window.addEventListener("hashchange", (event) => follow(event.newURL));

  // A large model begins with its upper parts.
  foldBelow(before.rows.length > 150 ? 1 : Infinity);
  sides.forEach((one) => stand(one, 0));
  follow(location.href);
  document.documentElement.dataset.ready = "true";
})();
