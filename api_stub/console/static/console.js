// Live parts of a page, keys and the switch of colours. Pages are whole without it.
"use strict";

const live = document.body.dataset.live;
const button = document.querySelector("button.live");
const here = document.querySelector("form.theme input[name=here]");
const stale = document.querySelector("p.stale");
const AGAIN = 5000;
let source = null;
let refused = 0;
let again = 0;
let paused = sessionStorage.getItem("paused") === "1";

function show(state) {
  if (!button) return;
  button.hidden = false;
  button.setAttribute("aria-pressed", String(paused));
  button.classList.toggle("away", state === "away");
  const words = { on: "Live", off: "Paused", away: "No answer" };
  button.querySelector(".text").textContent = words[paused ? "off" : state];
  mark(state === "away" && !paused);
}

// What stands there is old: in words, and by lines that are broken.
function mark(old) {
  if (!stale || old !== stale.hidden) return;
  stale.hidden = !old;
  stale.textContent = old ? `No answer since ${new Date().toLocaleTimeString()}. What changes by itself is as it was then.` : "";
  document.body.classList.toggle("old", old);
}

// On a narrow screen each row of a table is a card; its cells say themselves what they are.
function label(root) {
  for (const table of root.querySelectorAll(".wide > table:not(.rows)")) {
    const heads = [...table.querySelectorAll("thead th")].map((one) => (one.querySelector(".unseen") ? "" : one.textContent.trim()));
    for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => { if (i && heads[i]) cell.dataset.label = heads[i]; });
    table.classList.add("cards");
  }
}

// A link that is replaced under the finger is not followed.
let pressed = false;
for (const kind of ["pointerdown", "pointerup", "pointercancel"]) {
  window.addEventListener(kind, () => { pressed = kind === "pointerdown"; });
}

function put(name, html) {
  const part = document.querySelector(`[data-part="${name}"]`);
  if (!part || part.dataset.html === html || pressed) return;
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const path = focused && focused.getAttribute("href");
  part.dataset.html = html;
  part.innerHTML = html;
  label(part);
  // Who stands on a link with the keyboard stays on it.
  if (path) part.querySelector(`a[href="${CSS.escape(path)}"]`)?.focus({ preventScroll: true });
}

function listen() {
  if (source || paused || document.hidden || !live || !button) return;
  source = new EventSource(live);
  source.addEventListener("open", () => show("on"));
  source.addEventListener("look", (event) => {
    refused = 0;
    show("on");
    for (const [name, html] of Object.entries(JSON.parse(event.data))) put(name, html);
    document.dispatchEvent(new CustomEvent("look"));
  });
  source.addEventListener("ended", leave);
  source.addEventListener("error", lost);
}

// A browser tries again by itself where the connection broke, and never where another answer came.
function lost() {
  show("away");
  if (source.readyState !== EventSource.CLOSED) return;
  rest();
  refused += 1;
  if (refused > 1) askWhy();
  again = setTimeout(listen, AGAIN);
}

// A stream does not say what was answered; where the session has ended, the page leads to the sign-in.
async function askWhy() {
  const stop = new AbortController();
  try {
    const found = await fetch(live, { headers: { Accept: "text/event-stream" }, redirect: "manual", signal: stop.signal });
    if (found.status === 401 || found.type === "opaqueredirect") leave();
  } catch { /* no answer at all */ } finally { stop.abort(); }
}

// The answer to a form has no address of its own to load again.
function leave() {
  location.replace(here.value);
}

function rest() {
  clearTimeout(again);
  source?.close();
  source = null;
}

function toggle() {
  paused = !paused;
  sessionStorage.setItem("paused", paused ? "1" : "0");
  show("on");
  if (paused) rest();
  else listen();
}

label(document);
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

if (button) {
  button.addEventListener("click", toggle);
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", listen);
  show("on");
}

// How many rows are ticked, and one box for all of them.
function counted() {
  const form = document.getElementById("chosen");
  if (!form) return;
  const boxes = [...document.querySelectorAll('input[form="chosen"]')];
  const ticked = boxes.filter((one) => one.checked).length;
  form.querySelector(".count").textContent = `Those ticked (${ticked}):`;
  for (const one of form.querySelectorAll("button")) one.disabled = !ticked;
  const head = document.querySelector("th.tick");
  let all = head.querySelector("input");
  if (!all) {
    all = Object.assign(document.createElement("input"), { type: "checkbox", ariaLabel: "Tick all of this page" });
    all.addEventListener("change", () => boxes.forEach((one) => { one.checked = all.checked; }));
    head.append(all);
  }
  all.checked = ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
}
document.addEventListener("change", counted);
document.addEventListener("htmx:afterSettle", counted);
window.addEventListener("pageshow", counted);
counted();

const theme = document.querySelector("form.theme");
if (theme) {
  theme.querySelector("button").hidden = true;
  theme.querySelector("select").addEventListener("change", () => theme.requestSubmit());
}

const pages = { o: "/", q: "/queues", f: "/failures", r: "/requests", c: "/countries", s: "/senders", w: "/workers", l: "/limits", a: "/audit" };
const keys = document.getElementById("keys");
const opener = document.querySelector("button.keys");
let go = 0;

if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", () => keys.showModal());
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys) return;
  if (go && Date.now() - go < 1500 && pages[event.key]) {
    location.href = `/console${pages[event.key]}`;
    return;
  }
  go = event.key === "g" ? Date.now() : 0;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("q").focus();
  } else if (event.key === "?") keys.showModal();
  else if (event.key === "p") toggle();
});
