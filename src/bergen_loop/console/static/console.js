"use strict";

// Live pages: the server says that the journal has moved; htmx then fetches the page anew.
(() => {
  const live = () => document.getElementById("live");
  let source = null;

  const moved = () => document.body.dispatchEvent(new Event("journal-moved"));

  function listen() {
    if (source || document.hidden || !live()?.hasAttribute("hx-get")) return;
    // From what this page has seen on: what happened meanwhile is told at once.
    source = new EventSource(`/live?since=${live().dataset.newest}`);
    source.addEventListener("moved", moved);
  }

  function leave() {
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", listen);
  document.addEventListener("DOMContentLoaded", listen);

  // Nobody's choice is taken out of their hands by a refresh.
  const busy = (part) =>
    document.querySelector("dialog[open]") ||
    part.querySelector("input:checked, details[data-keep][open]") ||
    (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));

  document.addEventListener("htmx:before:request", (event) => {
    const part = event.detail.ctx.sourceElement;
    if (part.id === "live" && busy(part)) event.preventDefault();
  });

  document.addEventListener("htmx:before:response", (event) => {
    const { response } = event.detail.ctx;
    if (response.status === 401) location.reload();
    if (response.status >= 400) event.preventDefault();
  });
})();

// Confirmations open in a dialog; without script they are pages of their own.
document.addEventListener("htmx:after:swap", (event) => {
  const dialog = document.getElementById("dialog");
  if (event.detail.ctx.target === dialog && !dialog.open) dialog.showModal();
});

document.addEventListener("click", (event) => {
  const close = event.target.closest("[data-close]");
  const dialog = close?.closest("dialog[open]");
  if (dialog) {
    event.preventDefault();
    dialog.close();
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy);
    text.select();
    navigator.clipboard?.writeText(text.value);
    copy.textContent = "Copied";
  }
  const all = event.target.closest("[data-choose-all]");
  if (all) for (const box of document.querySelectorAll("input[name=item]")) box.checked = all.checked;
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "get") {
    // Short addresses: what is empty is left out.
    for (const input of form.querySelectorAll("input, select")) if (!input.value) input.disabled = true;
    setTimeout(() => {
      for (const input of form.querySelectorAll("[disabled]")) input.disabled = false;
    });
  } else {
    // Once is enough.
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  }
});

window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && event.target.matches("select, input[type=checkbox], input[type=date]")) form.requestSubmit();
});

// An editor that completes what can be written; the words are those of a datalist.
(() => {
  const HIGHEST = 12;

  function wordBefore(area) {
    const before = area.value.slice(0, area.selectionStart);
    return before.match(/[A-Za-z_][\w.]*$/)?.[0] ?? "";
  }

  function listOf(area) {
    const id = `${area.id}-completions`;
    let list = document.getElementById(id);
    if (!list) {
      list = document.createElement("ul");
      list.id = id;
      list.className = "completions";
      list.setAttribute("role", "listbox");
      list.setAttribute("aria-label", "What can be written");
      list.hidden = true;
      area.after(list);
      area.setAttribute("aria-controls", id);
      list.addEventListener("mousedown", (event) => {
        const item = event.target.closest("li");
        event.preventDefault();
        if (item) take(area, list, item);
      });
    }
    return list;
  }

  function show(area, all) {
    const list = listOf(area);
    const typed = wordBefore(area).toLowerCase();
    const words = [...document.getElementById(area.dataset.complete).options];
    const fit = words.filter((o) => (typed ? o.value.toLowerCase().startsWith(typed) : all));
    const only = fit.length === 1 && fit[0].value.toLowerCase() === typed;
    list.replaceChildren(
      ...(only ? [] : fit.slice(0, all ? 200 : HIGHEST)).map((option, n) => {
        const item = document.createElement("li");
        item.setAttribute("role", "option");
        item.id = `${list.id}-${n}`;
        item.dataset.word = option.value;
        const kind = document.createElement("span");
        kind.textContent = option.textContent;
        item.append(option.value, " ", kind);
        return item;
      }),
    );
    list.hidden = !list.children.length || (!all && typed.length < 2);
    if (!list.hidden) choose(area, list, list.firstElementChild);
    else area.removeAttribute("aria-activedescendant");
  }

  function choose(area, list, item) {
    for (const one of list.children) one.setAttribute("aria-selected", one === item);
    area.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  function take(area, list, item) {
    const at = area.selectionStart;
    const word = item.dataset.word;
    area.setRangeText(word, at - wordBefore(area).length, at, "end");
    if (word.endsWith(")")) area.selectionStart = area.selectionEnd = area.selectionEnd - 1;
    list.hidden = true;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    list.hidden = true;
  }

  document.addEventListener("input", (event) => {
    if (!event.target.matches?.("[data-complete]")) return;
    show(event.target, false);
    // What is pasted or typed is what is tried.
    const which = event.target.form.elements.which;
    if (which) which.value = "pasted";
  });

  document.addEventListener("keydown", (event) => {
    const area = event.target;
    if (!area.matches?.("[data-complete]")) return;
    const list = listOf(area);
    if (event.ctrlKey && event.code === "Space") {
      event.preventDefault();
      show(area, true);
      return;
    }
    if (list.hidden) return;
    const chosen = list.querySelector("[aria-selected=true]");
    const step = { ArrowDown: chosen?.nextElementSibling, ArrowUp: chosen?.previousElementSibling };
    if (event.key in step) {
      event.preventDefault();
      if (step[event.key]) choose(area, list, step[event.key]);
    } else if (event.key === "Enter" && chosen) {
      event.preventDefault();
      take(area, list, chosen);
    } else if (event.key === "Escape") {
      event.preventDefault();
      list.hidden = true;
    }
  });

  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.("[data-complete]")) listOf(event.target).hidden = true;
  });

  // A mistake leads to its line.
  document.addEventListener("click", (event) => {
    const line = event.target.closest("[data-line]")?.dataset.line;
    const area = line && document.querySelector("[data-complete]");
    if (!area) return;
    const lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    area.scrollTop = (line - 3) * parseFloat(getComputedStyle(area).lineHeight);
  });
})();

// Keys: for who works through a list. What they ask for is asked once more.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = KEYS[event.key];
  if (act && act() !== false) event.preventDefault();
});

const KEYS = (() => {
  const rows = () => [...document.querySelectorAll("[data-keys] li[tabindex], [data-keys] tbody tr")];
  const here = () => document.activeElement?.closest("[data-keys] li[tabindex], [data-keys] tbody tr");

  function step(by) {
    const all = rows();
    if (!all.length) return false;
    const at = all.indexOf(here());
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    next.tabIndex = -1;
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  const doing = (name) => () => {
    const form = document.getElementById("choice");
    const button = form?.querySelector(`button[value=${name}]`);
    if (!button) return false;
    if (!form.querySelector("input[name=item]:checked")) {
      const box = here()?.querySelector("input[name=item]");
      if (!box) return false;
      box.checked = true;
    }
    form.requestSubmit(button);
  };

  return {
    "/": () => {
      const find = document.querySelector(".find input");
      if (!find) return false;
      find.focus();
      find.select();
    },
    "?": () => {
      const keys = document.getElementById("keys");
      if (!keys) return false;
      keys.showModal();
    },
    j: () => step(1),
    k: () => step(-1),
    x: () => {
      const box = here()?.querySelector("input[name=item]");
      if (!box) return false;
      box.checked = !box.checked;
    },
    Enter: () => {
      // On a link, a button or a box the browser knows what to do.
      const row = here();
      if (!row || document.activeElement !== row) return false;
      const link = row.querySelector("a[href]");
      if (!link) return false;
      link.click();
    },
    r: doing("retry"),
    a: doing("assign"),
    s: doing("snooze"),
    i: doing("ignore"),
  };
})();

// Tables that are whole on the page are sorted by a click on a column's head.
(() => {
  const chosen = new Map(); // by table: [column, direction]; a refresh keeps it

  const value = (cell) => {
    const time = cell?.querySelector("time");
    if (time) return time.dateTime;
    const text = cell?.textContent.trim() ?? "";
    const number = /^-?[\d,]+(\.\d+)?/.exec(text);
    return number ? Number(number[0].replaceAll(",", "")) : text.toLocaleLowerCase();
  };

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b, undefined, { numeric: true });
  }

  function sort(table, heads) {
    const [column, direction] = chosen.get(table.dataset.name) ?? [];
    for (const head of heads) head.removeAttribute("aria-sort");
    if (column === undefined) return;
    heads[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[column]), row]);
    rows.sort((a, b) => direction * compare(a[0], b[0]));
    table.tBodies[0].append(...rows.map((pair) => pair[1]));
  }

  function ready() {
    document.querySelectorAll("table[data-sort]").forEach((table, number) => {
      table.dataset.name = `${location.pathname} ${number}`;
      const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
      heads.forEach((head, column) => {
        if (!head.textContent.trim() || head.querySelector("button")) return;
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        button.addEventListener("click", () => {
          const [now, direction] = chosen.get(table.dataset.name) ?? [];
          chosen.set(table.dataset.name, [column, now === column ? -direction : 1]);
          sort(table, heads);
        });
        head.append(button);
      });
      sort(table, heads);
    });
  }

  document.addEventListener("DOMContentLoaded", ready);
  document.addEventListener("htmx:after:swap", ready);
})();
