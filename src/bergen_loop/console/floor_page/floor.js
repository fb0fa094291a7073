// The floor page: counts a parcel by scanning, and sends the counting once.
//
// A finished counting goes into a queue in this browser first and from there to the server, again
// and again until it has answered. Each carries a key, by which the server knows a repeat: so it
// may be sent twice, but is counted once.
"use strict";

const RETRY_MS = 3000;
const PHOTO_SIDE = 1200;
const REASONS = ["Stained", "Torn", "Worn", "Broken", "Missing parts", "Other"];
const QUEUE = "floor.queue";
const CURRENT = "floor.current";

const $ = (id) => document.getElementById(id);
let current = null; // {ticket, lines: [line], photos: [{code, data}]}
let sending = false;

// -- small helpers ------------------------------------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "onchange") made[name] = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function say(text, kind = "") {
  $("say").textContent = text;
  $("say").className = kind;
  if (kind) beep(kind === "good");
}

let audio = null;
function beep(good) {
  try {
    audio ??= new AudioContext();
    const tone = audio.createOscillator();
    tone.frequency.value = good ? 1200 : 220;
    tone.connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + (good ? 0.08 : 0.4));
  } catch { /* no sound here: the words on the page say the same */ }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false; // full: photos are large
  }
}

const plain = (code) => (code ?? "").replace(/\s+/g, "").toLowerCase();
const upcKey = (code) => {
  const folded = plain(code);
  return /^\d+$/.test(folded) ? folded.replace(/^0+/, "") || folded : folded;
};
const nameOf = (line) => line.sku || line.upc || "?";

// -- the scan field -----------------------------------------------------------------------------

function toField() {
  if (!$("panel").open) $("code").focus({ preventScroll: true });
}

$("scan").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = $("code").value.trim();
  $("code").value = "";
  if (code) scanned(code);
});

// A scanner types as a keyboard does: wherever the focus has gone, its text belongs in the field.
let lastTyped = 0;
document.addEventListener("keydown", (event) => {
  const printable = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
  if ($("panel").open) {
    if (printable && event.key !== " ") lastTyped = event.timeStamp;
    // The Enter at the end of a scan must not press a button of the panel.
    if (event.key === "Enter" && event.timeStamp - lastTyped < 300) event.preventDefault();
    return;
  }
  if (printable && event.key !== " " && event.target !== $("code")) toField();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("dialog, input, label")) toField();
});
$("panel").addEventListener("close", toField);
$("keyboard").addEventListener("click", () => {
  const on = $("keyboard").getAttribute("aria-pressed") !== "true";
  $("keyboard").setAttribute("aria-pressed", String(on));
  $("code").inputMode = on ? "text" : "none";
  $("code").blur();
  toField();
});

let turn = Promise.resolve();

// A scanner is faster than the network: what is scanned while an RMA is looked up waits for it.
function scanned(code) {
  turn = turn.then(() => taken(code)).catch((error) => reportError(error));
}

function taken(code) {
  if (!current) return find(code);
  const line = current.lines.find(
    (one) => (one.upc && upcKey(one.upc) === upcKey(code)) || (one.sku && plain(one.sku) === plain(code)));
  if (line) return countOne(line);
  const own = [current.ticket.bag?.barcode, current.ticket.ticket, current.ticket.po, ...current.ticket.tracking].map(plain);
  const folded = plain(code);
  if (own.some((one) => one && (one === folded || folded.endsWith(one)))) {
    return say("That is this RMA: scan its items", "good");
  }
  askUnknown(code);
}

// -- finding a ticket ---------------------------------------------------------------------------

async function find(code) {
  say(`Looking for ${code} …`);
  let answer;
  try {
    answer = await fetch(`api/find?code=${encodeURIComponent(code)}`, { headers: { accept: "application/json" } });
  } catch {
    return say("No network: an RMA can be looked up when it is back", "bad");
  }
  const found = await json(answer);
  if (!found) return say(answer.redirected || answer.status === 401 ? "Sign in again, then scan" : "The server did not answer: scan again", "bad");
  showChoices(code, found.tickets);
}

async function json(answer) {
  if (!answer.ok || answer.redirected) return null;
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function showChoices(code, tickets) {
  if (!tickets.length) return say(`Nothing found for ${code}`, "bad");
  if (tickets.length === 1) return open(tickets[0]);
  say(`${tickets.length} RMAs fit ${code}: choose one`);
  const list = tickets.map((one) =>
    el("button", { type: "button", class: "choice", onclick: () => open(one) },
      `${one.bag ? `Bag of return ${one.bag.return_id || "?"} · ` : ""}${one.ticket} · ${one.po}${one.finished ? " · finished" : ""}`, el("br"), one.memo ?? ""));
  $("choices").replaceChildren(el("h2", { id: "choices-title" }, "Choose the RMA"), ...list);
  $("choices").hidden = false;
}

function open(ticket) {
  $("choices").hidden = true;
  if (ticket.finished) {
    const when = ticket.finished_at ? ` on ${ticket.finished_at.slice(0, 16).replace("T", " ")}` : "";
    return say(`RMA ${ticket.ticket} is ${ticket.status}${when}: put the parcel aside and tell your lead`, "bad");
  }
  current = {
    ticket,
    lines: (ticket.bag ?? ticket).items.map((item) => ({
      upc: item.upc, sku: item.sku, description: item.description, expected: item.expected,
      before: item.counted, beforeDamaged: item.damaged, counted: 0, damaged: 0, reasons: [],
    })),
    photos: [],
  };
  keep();
  say(ticket.bag ? `Bag ${ticket.bag.barcode}: scan what is in it` : `RMA ${ticket.ticket}: scan its items`, "good");
  draw();
}

// -- counting -----------------------------------------------------------------------------------

function keep() {
  if (!current) localStorage.removeItem(CURRENT);
  else if (!store(CURRENT, current)) store(CURRENT, { ...current, photos: [] });
}

const good = (line) => line.before + line.counted;
const bad = (line) => line.beforeDamaged + line.damaged;

function countOne(line) {
  line.counted += 1;
  const total = good(line) + bad(line);
  const over = total > line.expected;
  say(`${nameOf(line)}: ${total} of ${line.expected}${over ? " – more than expected" : ""}`, over ? "bad" : "good");
  changed(line);
}

function takeBack(line) {
  if (line.counted > 0) line.counted -= 1;
  else if (line.damaged > 0) {
    line.damaged -= 1;
    line.reasons.pop();
  }
  say(`${nameOf(line)}: ${good(line) + bad(line)} of ${line.expected}`);
  changed(line);
}

function changed(line) {
  $("unknown").hidden = true;
  keep();
  draw(line);
}

function askUnknown(code) {
  say(`${code} is not on this RMA`, "bad");
  const add = () => {
    current.lines.push({ upc: code, sku: null, description: "Not on the RMA", expected: 0,
      before: 0, beforeDamaged: 0, counted: 1, damaged: 0, reasons: [] });
    say(`${code} added as an extra item`, "good");
    changed(current.lines.at(-1));
  };
  const close = () => { $("unknown").hidden = true; };
  $("unknown").replaceChildren(
    el("h2", { id: "unknown-title" }, `${code} is not on this RMA`),
    el("div", { class: "bar" },
      el("button", { type: "button", id: "add-extra", class: "stop", onclick: add }, "It is in the parcel: add as extra"),
      el("button", { type: "button", onclick: close }, "Scanned by mistake")));
  $("unknown").hidden = false;
}

function draw(hit = null) {
  const section = $("ticket");
  section.hidden = !current;
  $("ask").textContent = current ? "Scan each item" : "Scan RMA, PO, tracking number, bag or UPC";
  if (!current) return section.replaceChildren();
  const { ticket, lines } = current;
  section.replaceChildren(
    el("h2", { id: "ticket-title" }, ticket.bag
      ? `Bag ${ticket.bag.barcode} · return ${ticket.bag.return_id || "?"}` : `RMA ${ticket.ticket} · PO ${ticket.po}`),
    el("p", {}, ticket.bag ? `RMA ${ticket.ticket} · PO ${ticket.po}` : ticket.memo ?? ""),
    el("ul", { class: "items" }, ...lines.map((line) => drawLine(line, line === hit))),
    el("div", { class: "bar" },
      el("button", { type: "button", id: "leave", onclick: leave }, "Leave without counting"),
      el("button", { type: "button", id: "finish", class: "go", onclick: askFinish }, "Finish")));
}

function drawLine(line, hit) {
  const total = good(line) + bad(line);
  const kind = total > line.expected ? "over" : total === line.expected ? "full" : "";
  const name = nameOf(line);
  const damaged = bad(line) ? el("span", { class: "damaged" }, ` · ${bad(line)} damaged`) : null;
  return el("li", { class: hit ? "hit" : null, "data-code": line.upc ?? line.sku },
    el("span", { class: "name" }, name,
      el("small", {}, [line.description, line.upc && `UPC ${line.upc}`].filter(Boolean).join(" · "))),
    el("span", { class: `counts ${kind}` }, `${good(line)} of ${line.expected}`, damaged),
    el("div", { class: "acts" },
      el("button", { type: "button", "aria-label": `One ${name} less`, disabled: line.counted + line.damaged === 0,
        onclick: () => takeBack(line) }, "−1"),
      el("button", { type: "button", "aria-label": `One ${name} more`, onclick: () => countOne(line) }, "+1"),
      el("button", { type: "button", "aria-label": `One ${name} is damaged`, class: "damage",
        onclick: () => askDamage(line) }, "Damaged …")));
}

// -- damage -------------------------------------------------------------------------------------

function askDamage(line) {
  let reason = null;
  let photo = null;
  const done = el("button", { type: "button", id: "mark", class: "stop", disabled: true }, "Mark one as damaged");
  const reasons = REASONS.map((text) => el("button", { type: "button", "aria-pressed": "false", onclick: (event) => {
    for (const other of reasons) other.setAttribute("aria-pressed", String(other === event.currentTarget));
    reason = text;
    done.disabled = false;
  } }, text));
  const note = el("span", {}, "Take a photo");
  const file = el("input", { type: "file", accept: "image/*", capture: "environment", "aria-label": "Photo of the damage",
    onchange: async () => {
      try {
        photo = file.files.length ? await shrink(file.files[0]) : null;
        note.textContent = photo ? "Photo taken" : "Take a photo";
      } catch {
        note.textContent = "This photo cannot be read";
      }
    } });
  done.onclick = () => {
    markDamaged(line, reason, photo);
    $("panel").close();
  };
  showPanel(`Damaged: ${nameOf(line)}`,
    el("div", { class: "bar", role: "group", "aria-label": "What is wrong" }, ...reasons),
    el("div", { class: "bar" }, el("span", { class: "file" }, note, file)),
    el("div", { class: "bar" }, el("button", { type: "button", onclick: () => $("panel").close() }, "Back"), done));
}

function markDamaged(line, reason, photo) {
  if (line.counted > 0) line.counted -= 1; // the unit that was scanned as good
  line.damaged += 1;
  line.reasons.push(reason);
  if (photo) current.photos.push({ code: line.upc ?? line.sku, data: photo });
  say(`${nameOf(line)}: ${bad(line)} damaged`, "good");
  changed(line);
}

async function shrink(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, PHOTO_SIDE / Math.max(picture.width, picture.height));
  const canvas = el("canvas", { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.75);
}

function showPanel(title, ...content) {
  $("panel").replaceChildren(el("h2", { id: "panel-title" }, title), ...content);
  $("panel").showModal();
}

// -- finishing ----------------------------------------------------------------------------------

function askFinish() {
  const sum = (of) => current.lines.reduce((total, line) => total + of(line), 0);
  const facts = {
    Expected: sum((line) => line.expected),
    Good: sum(good),
    Damaged: sum(bad),
    Missing: sum((line) => Math.max(0, line.expected - good(line) - bad(line))),
    "Too many": sum((line) => Math.max(0, good(line) + bad(line) - line.expected)),
  };
  const rows = Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]);
  showPanel("Is that all?", el("dl", {}, ...rows),
    el("div", { class: "bar" },
      el("button", { type: "button", onclick: () => $("panel").close() }, "Back"),
      el("button", { type: "button", id: "keep-open", onclick: () => submit(false) },
        current.ticket.bag ? "Next bag" : "Another parcel is to come"),
      el("button", { type: "button", id: "confirm", class: "go", onclick: () => submit(true) },
        current.ticket.bag ? "That was the last bag: finish" : "That was all: finish")));
}

function leave() {
  const counted = current.lines.some((line) => line.counted || line.damaged);
  if (!counted) return closeTicket("Left");
  showPanel("Throw this counting away?",
    el("div", { class: "bar" },
      el("button", { type: "button", onclick: () => $("panel").close() }, "Back"),
      el("button", { type: "button", class: "stop", onclick: () => { $("panel").close(); closeTicket("Left"); } }, "Throw it away")));
}

function closeTicket(text) {
  current = null;
  keep();
  $("unknown").hidden = true;
  draw();
  say(text, "good");
}

function submit(finish) {
  $("panel").close();
  const { ticket, lines, photos } = current;
  const counting = {
    key: newKey(), brand: ticket.brand, ticket: ticket.ticket, finish,
    ...(ticket.bag ? { bag: ticket.bag.barcode } : {}),
    lines: lines.filter((line) => line.counted || line.damaged)
      .map(({ upc, sku, counted, damaged, reasons }) => ({ upc, sku, counted, damaged, reasons })),
    photos,
  };
  const entry = { counting, po: ticket.po, error: null };
  const queue = load(QUEUE, []);
  if (!store(QUEUE, [...queue, entry])) {
    entry.counting.photos = [];
    if (!store(QUEUE, [...queue, entry])) {
      return say("This device has no room left: connect it to the network, then finish again", "bad");
    }
  }
  const lost = photos.length && !entry.counting.photos.length ? " (its photos did not fit)" : "";
  closeTicket(`${ticket.bag ? `Bag ${ticket.bag.barcode}` : `RMA ${ticket.ticket}`} counted${lost}`);
  drawQueue();
  send();
}

// -- sending ------------------------------------------------------------------------------------

async function send() {
  if (sending) return;
  sending = true;
  try {
    for (const entry of load(QUEUE, []).filter((one) => !one.error)) {
      if (!(await sendOne(entry))) break;
    }
  } finally {
    sending = false;
    drawQueue();
  }
}

// Whether to go on with the next one.
async function sendOne(entry) {
  let answer;
  try {
    const who = await json(await fetch("api/me", { headers: { accept: "application/json" } }));
    if (!who) return network("Sign in again: countings wait to be sent");
    const body = new URLSearchParams({ csrf: who.csrf, counting: JSON.stringify(entry.counting) });
    answer = await fetch("api/count", { method: "POST", body, headers: { accept: "application/json" } });
  } catch {
    return network("No network");
  }
  if (answer.ok && !answer.redirected) {
    replace(entry.counting.key, null);
    return network("");
  }
  if ([404, 409, 413, 422].includes(answer.status)) {
    let error = `refused (${answer.status})`;
    try {
      error = (await answer.json()).error ?? error;
    } catch { /* the status is all there is to say */ }
    replace(entry.counting.key, { ...entry, error });
    say(`RMA ${entry.counting.ticket} was refused: ${error}`, "bad");
    return true;
  }
  return network("The server does not take countings right now");
}

function replace(key, entry) {
  const queue = load(QUEUE, []).flatMap((one) => (one.counting.key !== key ? [one] : entry ? [entry] : []));
  store(QUEUE, queue);
}

let trouble = "";
function network(text) {
  trouble = text;
  return text === "";
}

function drawQueue() {
  const queue = load(QUEUE, []);
  const waiting = queue.filter((one) => !one.error);
  const refused = queue.filter((one) => one.error);
  $("network").textContent = waiting.length
    ? `${waiting.length} counting(s) wait to be sent. ${trouble}` : trouble || "All sent";
  $("network").dataset.waiting = String(waiting.length);
  $("queue").hidden = !refused.length;
  const drop = (one) => {
    replace(one.counting.key, null);
    drawQueue();
  };
  $("queue").replaceChildren(
    el("h2", { id: "queue-title" }, "Refused: tell your lead"),
    ...refused.map((one) => el("div", { class: "bar" },
      el("p", {}, `RMA ${one.counting.ticket} · PO ${one.po}: ${one.error}`),
      el("button", { type: "button", onclick: () => drop(one) }, "Seen"))));
}

addEventListener("online", send);
addEventListener("offline", () => { network("No network"); drawQueue(); });
setInterval(send, RETRY_MS);

current = load(CURRENT, null);
draw();
drawQueue();
send();
toField();
