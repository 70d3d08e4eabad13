"use strict";
// Keeps the lists and the phone fresh, shows local times, speaks calls. The page reads without it.
const PERIOD = 1000;
const PARTS = ["numbers", "screen", "orders", "requests"];
const here = document.body.dataset.here;
const voice = window.speechSynthesis;
const aloud = new Map(); // calls that are spoken, and how many of their lines were
const fresh = new Map(); // each part's children as the server wrote them
let tag = null;

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (time.dataset.part === "day") {
      time.textContent = moment.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" });
    } else {
      const seconds = time.className === "when" ? undefined : "2-digit";
      time.textContent = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds });
    }
  }
}

function enliven(root) {
  localTimes(root);
  for (const button of root.querySelectorAll("button.copy")) button.hidden = !navigator.clipboard;
  for (const button of root.querySelectorAll("button.speak")) button.hidden = !voice;
}

// Speaks what a call said since the last time.
function speak() {
  for (const [sid, told] of aloud) {
    const lines = [...document.querySelectorAll(`article[data-sid="${sid}"] .speech li`)];
    for (const line of lines.slice(told)) {
      const words = new SpeechSynthesisUtterance(line.textContent);
      if (line.lang) words.lang = line.lang;
      voice.speak(words);
    }
    aloud.set(sid, Math.max(told, lines.length));
  }
}

function hush() {
  aloud.clear();
  if (voice) voice.cancel();
}

function atEnd(screen) {
  return screen.scrollHeight - screen.scrollTop - screen.clientHeight < 40;
}

// Replaces the children that changed, so that focus and reading stay where they are.
function renew(old, part) {
  const seen = fresh.get(old.id) ?? new Map();
  const now = new Map([...part.children].map((child) => [child.id, child.outerHTML]));
  const children = [...part.children].map((child) => {
    const kept = child.id && seen.get(child.id) === now.get(child.id) && document.getElementById(child.id);
    if (!kept) enliven(child);
    return kept || child;
  });
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  for (const child of [...old.children]) if (!children.includes(child)) child.remove();
  children.forEach((child, place) => {
    if (old.children[place] !== child) old.insertBefore(child, old.children[place] ?? null);
  });
  if (focused && document.activeElement.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
  fresh.set(old.id, now);
}

function show(page) {
  if (page.body.dataset.here !== here) {
    location.replace(page.body.dataset.here); // the first number has come
    return;
  }
  const screen = document.getElementById("screen");
  const follow = atEnd(screen);
  for (const id of PARTS) {
    const part = page.getElementById(id);
    const old = document.getElementById(id);
    if (part && old) renew(old, part);
  }
  if (follow) screen.scrollTop = screen.scrollHeight;
  if (voice) speak();
}

async function refresh() {
  if (document.hidden) return;
  const headers = tag ? { "If-None-Match": tag } : {};
  const answer = await fetch(here, { headers, credentials: "same-origin", cache: "no-store" });
  if (answer.status !== 200) return;
  tag = answer.headers.get("ETag");
  show(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

async function loop() {
  try {
    await refresh();
  } catch {
    // the next round tries again
  }
  setTimeout(loop, PERIOD);
}

// What a callee does goes out without leaving the page, so that the voice goes on.
async function act(form, submitter) {
  const sid = form.closest("article").dataset.sid;
  const word = form.action.split("/").pop();
  if (word === "answer" && voice) aloud.set(sid, 0);
  if (word === "end" || word === "press") voice?.cancel();
  const data = new URLSearchParams();
  if (submitter?.name) data.set(submitter.name, submitter.value);
  await fetch(form.action, { method: "POST", body: data, redirect: "manual" });
  await refresh();
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.quick")) return;
  event.preventDefault();
  act(event.target, event.submitter).catch(() => event.target.submit());
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches(".copy")) {
    navigator.clipboard.writeText(button.dataset.copy).then(() => { button.textContent = "Copied"; }, () => { button.textContent = button.dataset.copy; });
  } else if (button?.matches(".speak")) {
    hush();
    aloud.set(button.closest("article").dataset.sid, 0);
    speak();
  }
});

// The keys of a keyboard are those of the keypad while a call asks for one.
document.addEventListener("keydown", (event) => {
  const asked = document.querySelector(".keypad.asked");
  if (!asked || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  [...asked.querySelectorAll("button")].find((button) => button.value === event.key)?.click();
});

enliven(document);
const screen = document.getElementById("screen");
screen.scrollTop = screen.scrollHeight;
const mode = document.getElementById("answer");
if (mode) {
  mode.form.querySelector("button").hidden = true;
  mode.addEventListener("change", () => mode.form.submit());
}
setTimeout(loop, PERIOD);
