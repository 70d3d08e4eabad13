"use strict";
// Keeps the list and the phone fresh, shows local times, speaks calls. The page reads without it.
const PERIOD = 1000;
const here = document.body.dataset.here;
let tag = null;
let shown = "";

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

function speaking(root) {
  if (!("speechSynthesis" in window)) return;
  for (const button of root.querySelectorAll("button.speak")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const text = button.parentElement.querySelector(".speech").textContent;
      speechSynthesis.cancel();
      speechSynthesis.speak(new SpeechSynthesisUtterance(text));
    });
  }
}

function enliven(root) {
  localTimes(root);
  speaking(root);
}

function atEnd(screen) {
  return screen.scrollHeight - screen.scrollTop - screen.clientHeight < 40;
}

function show(page) {
  if (page.body.dataset.here !== here) {
    location.replace(page.body.dataset.here); // the first number has come
    return;
  }
  const screen = document.getElementById("screen");
  const follow = atEnd(screen);
  for (const id of ["numbers", "screen"]) {
    const fresh = page.getElementById(id);
    if (!fresh) return;
    const old = document.getElementById(id);
    old.replaceChildren(...fresh.childNodes);
    enliven(old);
  }
  if (follow) screen.scrollTop = screen.scrollHeight;
}

async function refresh() {
  if (document.hidden) return;
  const headers = tag ? { "If-None-Match": tag } : {};
  const answer = await fetch(here, { headers, credentials: "same-origin", cache: "no-store" });
  if (answer.status !== 200) return;
  tag = answer.headers.get("ETag");
  const text = await answer.text();
  if (text !== shown) show(new DOMParser().parseFromString(text, "text/html"));
  shown = text;
}

async function loop() {
  try {
    await refresh();
  } catch {
    // the next round tries again
  }
  setTimeout(loop, PERIOD);
}

enliven(document);
const screen = document.getElementById("screen");
screen.scrollTop = screen.scrollHeight;
const mode = document.getElementById("answer");
if (mode) {
  mode.form.querySelector("button").hidden = true;
  mode.addEventListener("change", () => mode.form.submit());
}
setTimeout(loop, PERIOD);
