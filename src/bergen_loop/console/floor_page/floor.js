// The floor page: counts a parcel by scanning, and sends the counting once.
//
// A finished counting goes into a queue in this browser first and from there to the server, again
// and again until it has answered. Each carries a key, by which the server knows a repeat: so it
// may be sent twice, but is counted once. What is expected is kept here too, so that a parcel can
// be opened and counted without a network; a service worker (sw.js) keeps the page itself. It is
// sent in the name of whoever counted it, never of whoever is signed in later.
"use strict";

const RETRY_MS = 3000;
const PHOTO_SIDE = 1200;
const REASONS = ["Stained", "Torn", "Worn", "Broken", "Missing parts", "Other"];
const MOST_UNDONE = 40;
const EXPECTED_EVERY_MS = 60_000;
const SHORT = { dateStyle: "medium", timeStyle: "short" }; // as this device's clock shows it

const $ = (id) => document.getElementById(id);
let current = null; // {ticket, lines: [line], photos: [{code, data}], undo: [{lines, photos, say}]}
let queue = []; // [{counting, po, who, error}], the oldest first
let who = null; // is signed in, as far as is known: their name
let expected = []; // tickets, as the server gave them last
let sending = false;

// -- small helpers ------------------------------------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (["onclick", "onchange", "onerror", "onload"].includes(name)) made[name] = value;
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

// -- what this browser keeps --------------------------------------------------------------------

// Two stores: `queue` has a counting under its key, `page` whatever else. Every change is written
// in the order in which it was made; `kept` settles when the last one is on disk.
let database = null;
let kept = Promise.resolve();

function opened() {
  return new Promise((give, fail) => {
    const asked = indexedDB.open("floor", 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("queue");
      asked.result.createObjectStore("page");
    };
    asked.onsuccess = () => give(asked.result);
    asked.onerror = () => fail(asked.error);
  });
}

function inStore(name, mode, work) {
  return new Promise((give, fail) => {
    const transaction = database.transaction(name, mode);
    const asked = work(transaction.objectStore(name));
    transaction.oncomplete = () => give(asked.result);
    transaction.onabort = transaction.onerror = () => fail(transaction.error);
  });
}

function write(name, key, value) {
  if (!database) return kept;
  const copy = structuredClone(value);
  kept = kept.then(() => inStore(name, "readwrite", (s) => (copy === null ? s.delete(key) : s.put(copy, key))));
  kept = kept.catch(() => say("This device keeps nothing any more (is it full?): finish and stay online", "bad"));
  return kept;
}

async function recall() {
  database = await opened();
  // So that the browser does not throw countings away when room gets short.
  navigator.storage?.persist?.().catch(() => {});
  current = (await inStore("page", "readonly", (s) => s.get("current"))) ?? null;
  expected = (await inStore("page", "readonly", (s) => s.get("expected"))) ?? [];
  who = (await inStore("page", "readonly", (s) => s.get("who"))) ?? null;
  await fromEarlier();
  queue = await inStore("queue", "readonly", (s) => s.getAll());
  queue.sort((one, other) => one.at - other.at);
}

// An earlier release kept them elsewhere.
async function fromEarlier() {
  for (const [name, take] of [
    ["floor.queue", (found) => found.forEach((one, n) => write("queue", one.counting.key, { at: n, ...one }))],
    ["floor.current", (found) => { current ??= { undo: [], ...found }; keep(); }],
  ]) {
    try {
      const found = JSON.parse(localStorage.getItem(name));
      if (found) take(found);
    } catch { /* nothing that can be read */ }
    await kept;
    localStorage.removeItem(name);
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
    (one) => isProduct(one, code));
  if (line) return countOne(line);
  if (isTicket(current.ticket, code)) return say("That is this RMA: scan its items", "good");
  askUnknown(code);
}

const isProduct = (one, code) =>
  (one.upc && upcKey(one.upc) === upcKey(code)) || (one.sku && plain(one.sku) === plain(code));

// A label's barcode may have more before the tracking number than people read.
function isTicket(ticket, code) {
  const folded = plain(code);
  return [ticket.bag?.barcode, ticket.ticket, ticket.po, ...ticket.tracking].map(plain)
    .some((one) => one && (one === folded || (one.length > 7 && folded.endsWith(one))));
}

// -- finding a ticket ---------------------------------------------------------------------------

async function find(code) {
  say(`Looking for ${code} …`);
  let answer;
  try {
    answer = await fetch(`api/find?code=${encodeURIComponent(code)}`, { headers: { accept: "application/json" } });
  } catch {
    return findKept(code);
  }
  const found = await json(answer);
  if (found) return showChoices(code, found.tickets.map(asCounted));
  if (answer.redirected || answer.status === 401) return say("Sign in again, then scan", "bad");
  findKept(code);
}

// Without a network: among what was expected when there last was one.
function findKept(code) {
  const known = expected.filter((one) => isTicket(one, code));
  const fit = known.length ? known : expected.filter((one) => one.items.some((item) => isProduct(item, code)));
  if (fit.length) return showChoices(code, fit.map(asCounted));
  say(`No network, and ${code} is not among what is expected here: put the parcel aside until it is back`, "bad");
}

// What waits here to be sent is counted already, though the server does not know it yet.
function asCounted(ticket) {
  const waiting = queue.filter((one) => !one.error && one.counting.brand === ticket.brand
    && one.counting.ticket === ticket.ticket).map((one) => one.counting);
  if (!waiting.length) return ticket;
  const own = structuredClone(ticket);
  const { items } = own.bag ?? own; // of a bag: what was counted of it, and not of its ticket's others
  for (const { lines, finish, bag, reopen } of waiting) {
    own.finished ||= finish;
    if (finish) own.status = "counted here, and waits to be sent";
    if (own.bag && own.bag.barcode !== bag) continue;
    if (reopen === "anew") for (const item of items) item.counted = item.damaged = 0;
    for (const line of lines) {
      let item = items.find((one) => isProduct(one, line.upc ?? line.sku));
      if (!item) items.push(item = { upc: line.upc, sku: line.sku, expected: 0, counted: 0, damaged: 0 });
      item.counted += line.counted;
      item.damaged += line.damaged;
    }
  }
  return own;
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
  if (!tickets.length) return say(`Nothing found for ${code}: scan another code of the parcel, or put it aside and tell your lead`, "bad");
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
    const when = ticket.finished_at ? ` since ${new Date(ticket.finished_at).toLocaleString([], SHORT)}` : "";
    say(`RMA ${ticket.ticket} is ${ticket.status}${when}: put the parcel aside and tell your lead`, "bad");
    return ticket.bag ? undefined : askAgain(ticket);
  }
  countOn(ticket);
}

// Beside the next scan: most often the parcel is put aside, and another one is taken.
function askAgain(ticket) {
  const button = (reopen, text) => el("button", { type: "button", class: "choice", id: reopen,
    onclick: () => { $("choices").hidden = true; countOn(ticket, reopen); } }, text);
  $("choices").replaceChildren(el("h2", { id: "choices-title" }, `Or count RMA ${ticket.ticket} again`),
    button("more", "Another parcel of it has come"),
    button("anew", "The counts are wrong: count all of it anew"));
  $("choices").hidden = false;
}

// `reopen`: why one that is finished is counted again, "more" or "anew".
function countOn(ticket, reopen = null) {
  const was = (count) => (reopen === "anew" ? 0 : count);
  current = {
    ticket,
    reopen,
    lines: (ticket.bag ?? ticket).items.map((item) => ({
      upc: item.upc, sku: item.sku, description: item.description, expected: item.expected,
      picture: item.picture ?? null,
      before: was(item.counted), beforeDamaged: was(item.damaged), counted: 0, damaged: 0, reasons: [],
    })),
    photos: [],
    undo: [],
  };
  keep();
  say(ticket.bag ? `Bag ${ticket.bag.barcode}: scan what is in it` : `RMA ${ticket.ticket}: scan its items`, "good");
  draw();
}

// -- counting -----------------------------------------------------------------------------------

const keep = () => write("page", "current", current);

// Before each change: so that it can be taken back, until the counting is finished.
function remember(what) {
  current.undo.push({ lines: structuredClone(current.lines), photos: [...current.photos], what });
  if (current.undo.length > MOST_UNDONE) current.undo.shift();
}

function undo() {
  const last = current.undo.pop();
  if (!last) return;
  current.lines = last.lines;
  current.photos = last.photos;
  $("unknown").hidden = true;
  keep();
  draw();
  say(`Taken back: ${last.what}`);
}

const good = (line) => line.before + line.counted;
const bad = (line) => line.beforeDamaged + line.damaged;

function countOne(line) {
  remember(`one ${nameOf(line)}`);
  line.counted += 1;
  const total = good(line) + bad(line);
  const over = total > line.expected;
  say(`${nameOf(line)}: ${total} of ${line.expected}${over ? " – more than expected" : ""}`, over ? "bad" : "good");
  changed(line);
}

function takeBack(line) {
  remember(`one ${nameOf(line)} less`);
  if (line.counted > 0) line.counted -= 1;
  else if (line.damaged > 0) {
    line.damaged -= 1;
    line.reasons.pop();
    const last = current.photos.findLastIndex((one) => one.code === (line.upc ?? line.sku));
    if (current.photos.filter((one) => one.code === (line.upc ?? line.sku)).length > line.damaged) {
      current.photos.splice(last, 1);
    }
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
    remember(`${code}, which is not on the RMA`);
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
  drawExpected();
  if (!current) return section.replaceChildren();
  const { ticket, lines } = current;
  const rma = `RMA ${ticket.ticket} · PO ${ticket.po}`;
  const more = ticket.bag ? rma : ticket.memo;
  section.replaceChildren(
    el("h2", { id: "ticket-title" }, ticket.bag ? `Bag ${ticket.bag.barcode} · return ${ticket.bag.return_id || "?"}` : rma),
    more ? el("p", { class: "memo" }, more) : null,
    el("ul", { class: "items" }, ...lines.map((line) => drawLine(line, line === hit))),
    el("div", { class: "bar" },
      el("button", { type: "button", id: "leave", onclick: leave }, "Leave without counting")),
    el("div", { class: "bar last" },
      el("button", { type: "button", id: "undo", disabled: !current.undo.length, onclick: undo }, "Undo"),
      el("button", { type: "button", id: "finish", class: "go", onclick: askFinish }, "Finish")));
}

function drawLine(line, hit) {
  const total = good(line) + bad(line);
  const kind = total > line.expected ? "over" : total === line.expected ? "full" : "";
  const name = nameOf(line);
  const damaged = bad(line) ? el("span", { class: "damaged" }, `${bad(line)} damaged`) : null;
  const shots = current.photos.filter((one) => one.code === (line.upc ?? line.sku)).length;
  const why = [...new Set(line.reasons)].join(", ") + (shots ? ` (${shots} photo${shots > 1 ? "s" : ""})` : "");
  return el("li", { class: [hit && "hit", line.picture && "pictured"].filter(Boolean).join(" ") || null,
    "data-code": line.upc ?? line.sku },
    line.picture ? el("img", { class: "picture", src: line.picture, alt: "", loading: "lazy",
      onerror: (event) => event.target.remove() }) : null,
    el("span", { class: "name" }, name,
      el("small", {}, [line.description, line.upc && `UPC ${line.upc}`].filter(Boolean).join(" · "))),
    el("span", { class: `counts ${kind}` }, `${good(line)} of ${line.expected}`, damaged),
    why ? el("p", { class: "reasons" }, why) : null,
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
  const done = el("button", { type: "button", id: "mark", class: "stop", disabled: true }, "Mark damaged");
  const reasons = REASONS.map((text) => el("button", { type: "button", "aria-pressed": "false", onclick: (event) => {
    for (const other of reasons) other.setAttribute("aria-pressed", String(other === event.currentTarget));
    reason = text;
    done.disabled = false;
  } }, text));
  const note = el("span", {}, "Take a photo");
  const shot = el("img", { class: "shot", alt: "The photo that was taken", hidden: true });
  const file = el("input", { type: "file", accept: "image/*", capture: "environment", "aria-label": "Photo of the damage",
    onchange: async () => {
      try {
        photo = file.files.length ? await shrink(file.files[0]) : null;
        note.textContent = photo ? "Photo taken: take another" : "Take a photo";
        shot.hidden = !photo;
        if (photo) shot.src = photo;
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
    el("div", { class: "bar" }, el("span", { class: "file" }, note, file)), shot,
    el("div", { class: "bar" }, el("button", { type: "button", onclick: () => $("panel").close() }, "Back"), done));
}

function markDamaged(line, reason, photo) {
  remember(`one ${nameOf(line)} damaged`);
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

// -- the camera ---------------------------------------------------------------------------------

const CODES = ["ean_13", "ean_8", "upc_a", "upc_e", "code_128", "code_39", "itf", "codabar", "qr_code", "data_matrix"];
const NO_CAMERA = "This browser reads no barcodes by camera: use a scanner, or Keyboard";
const NOT_SECURE = "The camera works only where this page's address begins with https: tell your lead; use a scanner, or Keyboard";

// The browser's own reader of barcodes, or where it has none (Safari, Firefox) the one that is kept
// beside this page.
async function reader() {
  const own = "BarcodeDetector" in window ? await BarcodeDetector.getSupportedFormats() : [];
  const kind = own.includes("ean_13") && own.includes("code_128") ? BarcodeDetector : await keptReader();
  const known = await kind.getSupportedFormats();
  return new kind({ formats: CODES.filter((one) => known.includes(one)) });
}

async function keptReader() {
  if (!window.BarcodeDetectionAPI) {
    await new Promise((loaded, failed) => {
      document.head.append(el("script", { src: "barcodes.js", onload: loaded, onerror: failed }));
    });
    const locateFile = (name) => new URL(name, location.href).href;
    BarcodeDetectionAPI.prepareZXingModule({ overrides: { locateFile } });
  }
  return BarcodeDetectionAPI.BarcodeDetector;
}

async function openCamera() {
  if (!isSecureContext) return say(NOT_SECURE, "bad");
  if (!navigator.mediaDevices?.getUserMedia) return say(NO_CAMERA, "bad");
  const detector = await reader().catch(() => null);
  if (!detector) return say(NO_CAMERA, "bad");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(error.name === "NotAllowedError"
      ? "The camera is not allowed for this page: allow it in the browser, or use a scanner"
      : "There is no camera here that can be used: use a scanner, or Keyboard", "bad");
  }
  const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "The camera's picture" });
  video.srcObject = stream;
  const seen = el("p", { class: "sub", role: "status" }, "Hold a barcode before the camera");
  showPanel("Scan by camera", video, seen,
    el("div", { class: "bar" }, el("button", { type: "button", onclick: () => $("panel").close() }, "Done")));
  await watch(video, detector, (code) => {
    scanned(code);
    turn = turn.then(() => {
      // What it came to stands behind the picture: so it is said here too, and a question is asked there.
      seen.textContent = `Read ${code}. ${$("say").textContent}`;
      seen.className = $("say").className;
      if (!$("unknown").hidden || !$("choices").hidden) $("panel").close();
    });
  });
  for (const track of stream.getTracks()) track.stop();
}

// The same code counts again once it has been out of sight for a moment.
async function watch(video, detector, read) {
  let last = { code: null, at: 0 };
  while ($("panel").open && video.isConnected) {
    const [found] = video.readyState >= 2 ? await detector.detect(video).catch(() => []) : [];
    if (found) {
      if (found.rawValue !== last.code || Date.now() - last.at > 1500) read(found.rawValue);
      last = { code: found.rawValue, at: Date.now() };
    }
    await new Promise((go) => { setTimeout(go, 150); });
  }
}

$("camera").addEventListener("click", () => openCamera().catch(() => say(NO_CAMERA, "bad")));

// -- what is expected ---------------------------------------------------------------------------

async function lookExpected() {
  try {
    const found = await json(await fetch("api/expected", { headers: { accept: "application/json" } }));
    if (found) {
      expected = found.tickets;
      write("page", "expected", expected);
      await signedIn();
    }
  } catch { /* what was expected last still stands */ }
  drawExpected();
}

function drawExpected() {
  const section = $("expected");
  const open_ = expected.map(asCounted).filter((one) => !one.finished);
  section.hidden = Boolean(current) || !open_.length;
  if (section.hidden) return section.replaceChildren();
  const units = (one) => one.items.reduce((total, item) => total + item.expected, 0);
  const begun = (one) => one.items.some((item) => item.counted || item.damaged);
  section.replaceChildren(
    el("h2", { id: "expected-title" }, `Expected: ${open_.length}`),
    ...open_.slice(0, 50).map((one) => el("button", { type: "button", class: "choice", onclick: () => open(one) },
      `${one.ticket} · PO ${one.po}`,
      el("small", {}, [`${units(one)} unit${units(one) === 1 ? "" : "s"}`, begun(one) && "begun",
        one.due && `due ${one.due}`, one.carrier, one.tracking[0]].filter(Boolean).join(" · ")))),
    open_.length > 50 ? el("p", { class: "sub" }, `and ${open_.length - 50} more: scan the parcel's label`) : "");
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
  const { ticket, lines, photos, reopen } = current;
  const counting = {
    key: newKey(), brand: ticket.brand, ticket: ticket.ticket, finish,
    ...(ticket.bag ? { bag: ticket.bag.barcode } : {}),
    ...(reopen ? { reopen } : {}),
    lines: lines.filter((line) => line.counted || line.damaged)
      .map(({ upc, sku, counted, damaged, reasons }) => ({ upc, sku, counted, damaged, reasons })),
    photos,
  };
  const entry = { at: Date.now(), counting, po: ticket.po, who, error: null };
  queue.push(entry);
  const written = write("queue", counting.key, entry);
  closeTicket(`${ticket.bag ? `Bag ${ticket.bag.barcode}` : `RMA ${ticket.ticket}`} counted`);
  drawQueue();
  written.then(send); // on disk first: a lost page must not lose a counting
}

// -- sending ------------------------------------------------------------------------------------

async function send() {
  if (sending) return;
  sending = true;
  try {
    for (const entry of queue.filter((one) => !one.error && isOurs(one))) {
      if (!(await sendOne(entry))) break;
    }
  } finally {
    sending = false;
    drawQueue();
  }
}

// Who is signed in, with what their countings have to carry; null: nobody.
async function signedIn() {
  const me = await json(await fetch("api/me", { headers: { accept: "application/json" } }));
  if (me && me.who !== who) write("page", "who", (who = me.who));
  return me;
}

const isOurs = (entry) => !entry.who || entry.who === who;

// Whether to go on with the next one.
async function sendOne(entry) {
  let answer;
  try {
    const me = await signedIn();
    if (!me) return network("Sign in again: countings wait to be sent", "/login?next=/floor/");
    if (!isOurs(entry)) return true;
    const body = new URLSearchParams({ csrf: me.csrf, counting: JSON.stringify(entry.counting) });
    answer = await fetch("api/count", { method: "POST", body, headers: { accept: "application/json" } });
  } catch {
    return network("No network");
  }
  if (answer.ok && !answer.redirected) {
    replace(entry.counting.key, null);
    return network("");
  }
  if ([400, 404, 409, 413, 422].includes(answer.status)) {
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
  queue = queue.flatMap((one) => (one.counting.key !== key ? [one] : entry ? [entry] : []));
  write("queue", key, entry);
}

let trouble = "";
let cure = null;
function network(text, href = null) {
  [trouble, cure] = [text, href];
  return text === "";
}

function drawQueue() {
  const waiting = queue.filter((one) => !one.error);
  const refused = queue.filter((one) => one.error);
  const others = [...new Set(waiting.filter((one) => !isOurs(one)).map((one) => one.who))];
  const theirs = others.length ? `What ${others.join(", ")} counted is sent once they sign in here. ` : "";
  $("network").textContent = waiting.length
    ? `${waiting.length} counting${waiting.length === 1 ? " waits" : "s wait"} to be sent. ${theirs}${trouble}` : trouble || "All sent";
  if (cure) $("network").append(" ", el("a", { href: cure }, "Sign in"));
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

addEventListener("online", () => { if (!queue.length) network(""); drawQueue(); send(); lookExpected(); });
addEventListener("offline", () => { network("No network"); drawQueue(); });

async function begin() {
  try {
    await recall();
  } catch {
    say("This browser keeps nothing (a private window?): stay online until all is sent", "bad");
  }
  if (!navigator.onLine) network("No network");
  draw();
  drawQueue();
  send();
  toField();
  lookExpected();
  setInterval(send, RETRY_MS);
  setInterval(lookExpected, EXPECTED_EVERY_MS);
  navigator.serviceWorker?.register("sw.js").catch(() => { /* the page works, while there is a network */ });
}

turn = begin(); // what is scanned meanwhile waits
