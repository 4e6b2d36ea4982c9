// The table of cases: search, filters, sorting, and both answers side by side.
// Nothing here asks a network, and nothing that a model said becomes markup: text is only ever set
// as textContent. Without this script the page shows its static selection of cases instead.
"use strict";

(() => {
  const PAGE = 50;
  const MOST_CELLS = 4e6; // of the table that compares two answers word by word
  const MOST_OPTIONS = 500; // of a select; it says how many it leaves out
  const FLAG = { FAILED: 1, LOST: 2, GAINED: 4, CHANGED: 8, FORM: 16, SLOWER: 32, EDITED: 64, SILENT: 128, NOT_ASKED: 256, LEFT: 512 };

  const at = (name) => document.getElementById(`cases-${name}`);
  const blocks = document.querySelectorAll("script.block");
  const source = document.querySelector("script.index");
  if (!source || typeof DecompressionStream === "undefined") return;

  let index;
  let shown = []; // numbers of the rows that pass the filters, in order
  let page = 0;
  let open = null; // the number of the row that is opened
  let haystacks = null; // the answers, once somebody searches in them
  let asked = 0; // counts changes of the filters, so that a late answer is dropped
  const state = { words: [], flags: 0, candidate: 0, change: -1, tag: -1, sort: "", down: false };

  // --- reading -----------------------------------------------------------------------------------

  async function inflate(element) {
    const bytes = Uint8Array.from(atob(element.textContent.trim()), (each) => each.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  const kept = new Map(); // the blocks that were read last

  async function block(number) {
    if (!kept.has(number)) {
      kept.set(number, inflate(blocks[number]));
      if (kept.size > 4) kept.delete(kept.keys().next().value);
    }
    return kept.get(number);
  }

  async function detail(row) {
    let number = index.starts.length - 1;
    while (index.starts[number] > row) number -= 1;
    return (await block(number))[row - index.starts[number]];
  }

  async function readAnswers() {
    const found = [];
    for (const element of blocks) {
      for (const each of await inflate(element)) {
        const said = each.trials.flatMap((trial) => [trial.answer, trial.tools, trial.error]);
        found.push([each.prompt, each.expected, ...said].join("\n").toLowerCase());
      }
    }
    haystacks = found;
  }

  // --- what a row says -----------------------------------------------------------------------------

  const entry = (row) => index.rows[row][4][state.candidate] || [FLAG.NOT_ASKED, null, null, null, null, []];

  function outcome([flags, , success]) {
    if (flags & FLAG.NOT_ASKED) return ["?", "not asked", "open", 7];
    if (flags & FLAG.LEFT) return ["✗", "calls the incumbent", "fail", 0];
    if (flags & FLAG.LOST) return ["✗", "lost", "fail", 0];
    if (flags & FLAG.SILENT) return ["✗", "no answer", "fail", 1];
    if (flags & FLAG.GAINED) return ["✓", "gained", "pass", 3];
    if (flags & FLAG.FAILED) return ["✗", "wrong", "fail", 2];
    if (success === 1) return ["✓", "right", "pass", 6];
    if (success === null) return ["·", "not judged", "soft", 5];
    return ["~", "partly right", "open", 4];
  }

  function seconds(value) {
    if (value === null) return "–";
    return value < 1 ? `${+(value * 1000).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
  }

  function changed([flags, , , , , changes]) {
    const names = changes.slice(0, 2).map((number) => index.changes[number][0]);
    if (changes.length > 2) names.push(`and ${changes.length - 2} more`);
    if (names.length) return names.join("; ");
    return flags & FLAG.CHANGED ? "another answer" : "";
  }

  // Which cases deserve a look most, of the chosen candidate: the first flag that a case has.
  const RANKS = [FLAG.LEFT, FLAG.LOST, FLAG.SILENT, FLAG.CHANGED, FLAG.GAINED, FLAG.FAILED, FLAG.FORM];

  function rank([flags]) {
    const found = RANKS.findIndex((flag) => flags & flag);
    return found < 0 ? RANKS.length : found;
  }

  const KEYS = {
    "": (row) => rank(entry(row)),
    number: (row) => index.rows[row][0],
    case: (row) => index.rows[row][1],
    outcome: (row) => outcome(entry(row))[3],
    changed: (row) => -entry(row)[5].length,
    before: (row) => entry(row)[3],
    after: (row) => entry(row)[4],
  };

  // --- choosing --------------------------------------------------------------------------------------

  const passes = (row) => {
    const [, id, head, tags] = index.rows[row];
    const [flags, , , , , changes] = entry(row);
    if ((flags & state.flags) !== state.flags) return false;
    if (state.change >= 0 && !changes.includes(state.change)) return false;
    if (state.tag >= 0 && !tags.includes(state.tag)) return false;
    if (!state.words.length) return true;
    const names = tags.map((tag) => index.tags[tag]);
    const own = [id, head, ...names].join("\n").toLowerCase();
    const deep = at("deep").checked && haystacks ? haystacks[row] : "";
    return state.words.every((word) => own.includes(word) || deep.includes(word));
  };

  function compare(left, right) {
    const key = KEYS[state.sort];
    const [a, b] = [key(left), key(right)];
    if (a === b) return left - right;
    if (a === null || b === null) return a === null ? 1 : -1; // what was not measured comes last
    return (a < b ? -1 : 1) * (state.down ? -1 : 1);
  }

  async function choose() {
    const mine = ++asked;
    state.words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    if (state.words.length && at("deep").checked && !haystacks) {
      at("status").textContent = "Reading the answers …";
      await readAnswers();
      if (mine !== asked) return;
    }
    shown = index.rows.map((_, row) => row).filter(passes);
    shown.sort(compare);
    page = 0;
    open = null;
    draw();
  }

  // --- drawing ---------------------------------------------------------------------------------------

  function make(tag, text = "", kind = "", attributes = {}) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  const number = (value) => value.toLocaleString("en");

  function draw() {
    const last = Math.max(0, Math.ceil(shown.length / PAGE) - 1);
    page = Math.min(Math.max(page, 0), last);
    const rows = shown.slice(page * PAGE, (page + 1) * PAGE);
    at("rows").replaceChildren(...rows.map(line));
    const hits = `${number(shown.length)} of ${number(index.rows.length)} cases`;
    at("status").textContent = hits;
    const first = rows.length ? page * PAGE + 1 : 0;
    const place = `${number(first)} to ${number(page * PAGE + rows.length)} of ${number(shown.length)}`;
    at("place").textContent = place;
    at("printed").textContent = `Printed are cases ${place}, as they were chosen on the screen; all are in cases.jsonl.`;
    at("empty").hidden = rows.length > 0;
    for (const [name, off] of [["first", page === 0], ["previous", page === 0], ["next", page === last], ["last", page === last]]) {
      at(name).setAttribute("aria-disabled", String(off)); // not disabled: that would lose the focus
    }
  }

  function line(row) {
    const [place, id, head, tags] = index.rows[row];
    const found = entry(row);
    const [sign, word, kind] = outcome(found);
    const made = make("tr", "", "", { role: "row", "data-row": row });
    const cell = (label, ...inside) => {
      const td = make("td", "", "", { role: "cell", "data-label": label });
      td.append(...inside);
      made.append(td);
      return td;
    };
    cell("#", number(place)).classList.add("number");
    const button = make("button", id || "(no id)", "opener", { type: "button", "aria-expanded": "false" });
    cell("Case", button, make("span", head, "head"), ...tags.map((tag) => make("span", index.tags[tag], "tag"))).classList.add("case-cell");
    cell("Outcome", make("span", `${sign} ${word}`, `status ${kind}`)).classList.add("nowrap");
    const form = found[5].length && found[0] & FLAG.FORM;
    cell("What changed", changed(found), ...(form ? [make("span", "form only", "tag")] : []));
    cell(`Time: ${index.arms[0]}`, seconds(found[3])).classList.add("number");
    const mark = found[0] & FLAG.SLOWER ? [make("span", "slower", "tag")] : [];
    cell(`Time: ${index.arms[state.candidate + 1]}`, seconds(found[4]), ...mark).classList.add("number");
    return made;
  }

  // --- an opened case --------------------------------------------------------------------------------

  async function toggle(row) {
    const before = open;
    if (before !== null) close();
    if (before === row) return;
    open = row;
    const opener = line_of(row);
    const button = opener.querySelector("button");
    button.setAttribute("aria-expanded", "true");
    const made = make("tr", "", "detail", { role: "row", id: "cases-detail" });
    button.setAttribute("aria-controls", "cases-detail");
    const cell = make("td", "Reading …", "", { role: "cell", colspan: "6" });
    made.append(cell);
    opener.after(made);
    const found = await detail(row);
    if (open === row) cell.replaceChildren(...inside(found));
  }

  const line_of = (row) => at("rows").querySelector(`tr[data-row="${row}"]`);

  function close() {
    const button = line_of(open)?.querySelector("button");
    button?.setAttribute("aria-expanded", "false");
    button?.removeAttribute("aria-controls");
    at("detail")?.remove();
    open = null;
    return button;
  }

  function inside(found) {
    const made = [make("h3", found.app ? "Input" : "Request (last message)"), said(found.prompt, "not recorded")];
    made.push(make("h3", `Expected${found.checker ? `, by the checker ${found.checker}` : ""}`));
    made.push(said(found.expected, "nothing in particular"));
    const names = [index.arms[0], index.arms[state.candidate + 1]];
    const of = (arm) => found.trials.filter((trial) => trial.arm === arm);
    const [ours, theirs] = names.map(of);
    const repeats = [...new Set([...ours, ...theirs].map((trial) => trial.repeat))].sort((a, b) => a - b);
    for (const repeat of repeats) {
      const pair = [ours, theirs].map((trials) => trials.find((trial) => trial.repeat === repeat));
      made.push(sides(pair, names, repeats.length > 1 ? repeat : null, found.app));
      if (same(pair)) made.push(make("p", "The same, to the letter.", "soft"));
    }
    if (found.more) made.push(make("p", `${number(found.more)} more answers to this case are in cases.jsonl.`, "soft"));
    return made;
  }

  const said = (text, otherwise) =>
    text === null || text === "" ? make("p", otherwise, "missing") : make("pre", text, "", { tabindex: "0" });

  function sides([ours, theirs], names, repeat, app) {
    const made = make("div", "", "answers");
    const answers = differ(ours?.answer, theirs?.answer);
    const tools = differ(ours?.tools, theirs?.tools);
    [ours, theirs].forEach((trial, side) => {
      const role = side ? "candidate" : "incumbent";
      const box = make("section", "", `answer ${side ? "" : "left"}`);
      const title = `${names[side]} (${role}${repeat === null ? "" : `, repeat ${repeat + 1}`})`;
      box.append(make("h4", title));
      box.append(...(trial ? answer(trial, answers[side], tools[side], app) : [make("p", "not asked", "missing")]));
      made.append(box);
    });
    return made;
  }

  const same = ([ours, theirs]) =>
    ours && theirs && ours.answer !== null && ours.answer === theirs.answer && ours.tools === theirs.tools;

  function answer(trial, text, tools, app) {
    const right = trial.success === null ? "not judged" : trial.success === 1 ? "✓ right" : trial.success === 0 ? "✗ wrong" : `${+(trial.success * 100).toPrecision(3)} % right`;
    const finish = trial.finish && !app ? ` · ended by ${trial.finish}` : "";
    const made = [make("p", `${right} · ${seconds(trial.seconds)}${finish}`, "soft facts-line")];
    if (trial.error) made.push(make("pre", `✗ no answer: ${trial.error}`, "fail", { tabindex: "0" }));
    if (trial.answer) made.push(marked(text));
    else if (trial.answer === "" && !trial.tools) made.push(make("p", "an empty answer", "missing"));
    else if (!trial.error && !trial.tools) made.push(make("p", trial.status === "not_asked" ? "not asked" : "no text", "missing"));
    if (trial.tools) made.push(make("h5", "Tool calls"), marked(tools));
    if (trial.reasoning) {
      const more = make("details");
      more.append(make("summary", "Reasoning"), said(trial.reasoning, ""));
      made.push(more);
    }
    if (trial.calls.length) {
      const amiss = trial.calls.filter(([, bad]) => bad).length;
      const more = make("details", "", "", amiss ? { open: "" } : {});
      const list = make("ol");
      list.append(...trial.calls.map(([line, bad]) => make("li", line, bad ? "fail" : "")));
      more.append(make("summary", `Model calls: ${trial.calls.length}${amiss ? `, ${amiss} of them failed or went elsewhere` : ""}`), list);
      made.push(more);
    }
    if (trial.edits.length) {
      const list = make("ul");
      list.append(...trial.edits.map((edit) => make("li", edit)));
      made.push(make("h5", "Edits to the request"), list);
    }
    return made;
  }

  function marked(parts) {
    const made = make("pre", "", "", { tabindex: "0" });
    for (const [differs, text] of parts) made.append(differs ? make("mark", text) : text);
    return made;
  }

  // --- what differs: the longest common subsequence of words -------------------------------------------

  const words = (text) => text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) || [];

  function differ(left, right) {
    if (!left || !right || left === right) return [left, right].map((text) => [[false, text || ""]]);
    const [a, b] = [words(left), words(right)];
    let start = 0;
    while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
    let end = 0;
    while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
    const [x, y] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
    const same = x.length * y.length > MOST_CELLS ? [new Set(), new Set()] : common(x, y);
    return [[a, x, same[0]], [b, y, same[1]]].map(([all, middle, kept]) =>
      joined([
        [false, all.slice(0, start).join("")],
        ...middle.map((word, place) => [!kept.has(place), word]),
        [false, all.slice(all.length - end).join("")],
      ]),
    );
  }

  function common(x, y) {
    const width = y.length + 1;
    const longest = new Uint16Array((x.length + 1) * width);
    for (let i = x.length - 1; i >= 0; i -= 1) {
      for (let j = y.length - 1; j >= 0; j -= 1) {
        longest[i * width + j] = x[i] === y[j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
      }
    }
    const [left, right] = [new Set(), new Set()];
    for (let i = 0, j = 0; i < x.length && j < y.length; ) {
      if (x[i] === y[j]) { left.add(i++); right.add(j++); }
      else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i += 1;
      else j += 1;
    }
    return [left, right];
  }

  function joined(parts) {
    const made = [];
    for (const [differs, text] of parts) {
      if (made.length && made[made.length - 1][0] === differs) made[made.length - 1][1] += text;
      else made.push([differs, text]);
    }
    return made.filter(([, text]) => text);
  }

  // --- controls ----------------------------------------------------------------------------------------

  function fill(select, options, name) {
    const first = make("option", "any", "", { value: "-1" });
    const made = options.slice(0, MOST_OPTIONS).map(([value, count]) => make("option", `${name(value)} (${number(count)})`, "", { value }));
    const more = options.length - made.length;
    if (more) made.push(make("option", `${number(more)} rarer ones are not listed`, "", { disabled: "" }));
    select.replaceChildren(first, ...made);
  }

  function counted(lists) {
    const counts = new Map();
    for (const list of lists) for (const each of list) counts.set(each, (counts.get(each) || 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  }

  function recount() {
    const rows = index.rows.map((_, row) => entry(row));
    for (const button of at("flags").querySelectorAll("button")) {
      const flag = Number(button.dataset.flag);
      const count = rows.filter(([flags]) => flags & flag).length;
      button.querySelector("span").textContent = number(count);
    }
    const changes = counted(rows.map((found) => found[5]));
    const wanted = changes.findIndex(([change]) => change === state.change);
    if (wanted >= MOST_OPTIONS) changes.unshift(...changes.splice(wanted, 1)); // a link may lead to it
    fill(at("change"), changes, (change) => index.changes[change][0]);
    at("change").value = String(state.change);
    if (at("change").selectedIndex < 0) {
      state.change = -1;
      at("change").value = "-1";
    }
    at("before-name").textContent = index.arms[0];
    at("after-name").textContent = index.arms[state.candidate + 1];
  }

  function press(flags) {
    state.flags = flags;
    for (const button of at("flags").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Boolean(flags & Number(button.dataset.flag))));
    }
  }

  function reset() {
    at("search").value = "";
    at("deep").checked = false;
    at("tag").value = at("change").value = "-1";
    state.tag = state.change = -1;
    press(0);
    sortBy("", false);
  }

  function sortBy(key, down) {
    state.sort = key;
    state.down = down;
    for (const header of at("head").querySelectorAll("th")) {
      const mine = header.dataset.key === key;
      header.setAttribute("aria-sort", mine ? (down ? "descending" : "ascending") : "none");
    }
  }

  function nextSort(key) {
    if (state.sort !== key) return sortBy(key, false);
    return state.down ? sortBy("", false) : sortBy(key, true);
  }

  function turn({ currentTarget }, to) {
    if (currentTarget.getAttribute("aria-disabled") === "true") return;
    page = to;
    open = null;
    draw();
    at("status").parentElement.scrollIntoView({ block: "start" });
  }

  // Text that somebody marks in a row is not a wish to open it; the button is one in any case.
  function wished(target, row) {
    const found = getSelection();
    const inside = !found.isCollapsed && row.contains(found.anchorNode) && row.contains(found.focusNode);
    return target.closest("button") !== null || !inside;
  }

  const openers = () => [...at("rows").querySelectorAll("button.opener")];

  function onKey(event) {
    if (event.key === "Escape" && open !== null) {
      close()?.focus();
      event.preventDefault();
      return;
    }
    if (!event.target.classList.contains("opener")) return;
    const all = openers();
    const here = all.indexOf(event.target);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[Math.min(Math.max(to, 0), all.length - 1)].focus();
  }

  function onLink(event) {
    const { candidate, change } = event.currentTarget.dataset;
    reset();
    state.candidate = Number(candidate);
    at("candidate").value = candidate;
    state.change = Number(change);
    recount();
    choose();
  }

  // A link says how many cases it leads to, and is there only if it leads to any.
  function link() {
    const links = [...document.querySelectorAll("a.to-cases")];
    const counts = index.arms.slice(1).map((_, place) => new Map(counted(index.rows.map((row) => row[4][place]?.[5] || []))));
    for (const each of links) {
      const count = counts[each.dataset.candidate].get(Number(each.dataset.change)) || 0;
      each.parentElement.hidden = count === 0;
      const held = index.left_out ? " in this page" : "";
      each.querySelector(".cases-count").textContent = `${number(count)} ${count === 1 ? "case" : "cases"}${held}`;
      each.addEventListener("click", onLink);
    }
  }

  function listen() {
    let waiting;
    at("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 120); });
    at("deep").addEventListener("change", choose);
    at("candidate").addEventListener("change", (event) => { state.candidate = Number(event.target.value); recount(); choose(); });
    at("change").addEventListener("change", (event) => { state.change = Number(event.target.value); choose(); });
    at("tag").addEventListener("change", (event) => { state.tag = Number(event.target.value); choose(); });
    at("reset").addEventListener("click", () => { reset(); choose(); });
    at("flags").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      press(state.flags ^ Number(button.dataset.flag));
      choose();
    });
    at("head").addEventListener("click", (event) => {
      const header = event.target.closest("button")?.closest("th");
      if (!header) return;
      nextSort(header.dataset.key);
      choose();
    });
    at("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-row]");
      if (row && wished(event.target, row)) toggle(Number(row.dataset.row));
    });
    at("table").addEventListener("keydown", onKey);
    at("first").addEventListener("click", (event) => turn(event, 0));
    at("previous").addEventListener("click", (event) => turn(event, page - 1));
    at("next").addEventListener("click", (event) => turn(event, page + 1));
    at("last").addEventListener("click", (event) => turn(event, Infinity));
  }

  async function start() {
    index = await inflate(source);
    if (!index.rows.length) return;
    const left = index.left_out;
    at("held").textContent = left
      ? `This page holds ${number(index.rows.length)} of ${number(index.total)} cases, those that deserve a look most, whichever the candidate; ${number(left)} are left out, and in cases.jsonl.`
      : `This page holds all ${number(index.total)} cases.`;
    at("candidate").replaceChildren(...index.arms.slice(1).map((arm, place) => make("option", arm, "", { value: place })));
    at("candidate").closest("label").hidden = index.arms.length < 3;
    fill(at("tag"), counted(index.rows.map((row) => row[3])), (tag) => index.tags[tag]);
    at("tag").closest("label").hidden = !index.tags.length;
    recount();
    listen();
    link();
    sortBy("", false);
    await choose();
    document.getElementById("static-cases").hidden = true;
    at("browser").hidden = false;
    document.documentElement.dataset.cases = "ready";
  }

  start();
})();
