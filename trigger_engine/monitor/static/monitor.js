// Live pages, the search key, and links that open what is drawn. Every page works without this.
"use strict";

(() => {
  const root = document.body.dataset.root || "";
  const page = () => document.getElementById("live");
  let paused = false;
  let waiting = false;
  let stream = null;

  function refresh() {
    const live = page();
    if (!live || !live.dataset.live || document.hidden) {
      waiting = true;
      return;
    }
    if (paused) {
      waiting = true;
      mark();
      return;
    }
    waiting = false;
    htmx.trigger(live, "refresh");
  }

  function mark() {
    for (const button of document.querySelectorAll("[data-pause]")) {
      button.hidden = false;
      button.setAttribute("aria-pressed", String(paused));
      button.querySelector("[data-word]").textContent = paused ? (waiting ? "Paused, there is news" : "Paused") : "Live";
      button.classList.toggle("is-paused", paused);
    }
  }

  function listen() {
    const live = page();
    if (stream || !live || !live.dataset.live || document.hidden) return;
    stream = new EventSource(`${root}/live?after=${live.dataset.position}`);
    stream.addEventListener("changed", refresh);
    stream.addEventListener("beat", () => { if (page().dataset.live === "ages") refresh(); });
  }

  function stopListening() {
    if (stream) stream.close();
    stream = null;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pause]");
    if (!button) return;
    paused = !paused;
    mark();
    if (!paused && waiting) refresh();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      const search = document.querySelector(".search input");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    }
  });

  document.addEventListener("htmx:after:swap", mark);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stopListening();
    listen();
    if (waiting && !paused) refresh();
  });
  window.addEventListener("pagehide", stopListening);
  window.addEventListener("pageshow", listen);
  mark();
  listen();
})();
