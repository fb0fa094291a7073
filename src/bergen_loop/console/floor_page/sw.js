// Keeps the floor page's own files, so that it opens and reloads without a network. It keeps no
// answers of the server: what is expected and what was counted is the page's to keep.
"use strict";

const KEPT = "floor-2";
const READER = "BarcodeDetector" in self ? [] : ["barcodes.js", "zxing_reader.wasm"];
const FILES = ["./", "floor.js", "floor.css", ...READER];
const PATIENCE_MS = 4000; // then the kept file serves: a warehouse's radio may be up and yet dead

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) =>
    Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const wanted = FILES.find((file) => new URL(file, self.registration.scope).href === request.url);
  if (request.method === "GET" && wanted) event.respondWith(fresh(request, wanted));
});

// The server's newest, if it comes: a page that is not for whoever asks (it leads to the sign-in)
// is handed on, and never kept.
async function fresh(request, file) {
  const kept = await caches.open(KEPT);
  const patience = new Promise((_, give) => { setTimeout(give, PATIENCE_MS); });
  try {
    const answer = await Promise.race([fetch(request), patience]);
    if (answer.ok && answer.type === "basic" && !answer.redirected) await kept.put(file, answer.clone());
    return answer;
  } catch {
    return (await kept.match(file)) ?? Response.error();
  }
}
