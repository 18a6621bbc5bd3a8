// Live updates, the search key, and the keys and dragging of the timeline. Every page works without this script.
"use strict";

(() => {
  const root = document.body.dataset.root || "";
  const page = () => document.getElementById("live");
  let paused = false;
  let waiting = false;
  let lost = false;
  let stream = null;

  function refresh() {
    const live = page();
    if (!live || !live.dataset.live || document.hidden) {
      waiting = true;
      return;
    }
    if (paused) {
      waiting = true;
      updateButtons();
      return;
    }
    waiting = false;
    htmx.trigger(live, "refresh");
  }

  function updateButtons() {
    for (const button of document.querySelectorAll("[data-pause]")) {
      button.hidden = false;
      button.setAttribute("aria-pressed", String(paused));
      const label = paused ? (waiting ? "Paused, updates available" : "Paused") : (lost ? "Not connected" : "Live");
      button.querySelector("[data-word]").textContent = label;
      button.classList.toggle("is-paused", paused || lost);
    }
  }

  function listen() {
    const live = page();
    if (stream || !live || !live.dataset.live || document.hidden) return;
    stream = new EventSource(`${root}/live?after=${live.dataset.position}`);
    stream.addEventListener("changed", refresh);
    stream.addEventListener("open", () => connected(true));
    stream.addEventListener("lost", () => connected(false));
    stream.addEventListener("error", () => {
      connected(false);
      // A browser reconnects automatically unless the server has rejected the request.
      if (stream && stream.readyState === EventSource.CLOSED) {
        stopListening();
        setTimeout(listen, 5000);
      }
    });
    stream.addEventListener("beat", () => { if (page().dataset.live === "ages") refresh(); });
  }

  function connected(yes) {
    lost = !yes;
    updateButtons();
  }

  function stopListening() {
    if (stream) stream.close();
    stream = null;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pause]");
    if (!button) return;
    paused = !paused;
    updateButtons();
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

  // The timeline: keys follow its links; dragging zooms to the selected range.
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const link = document.querySelector(`[data-moves] [data-key="${CSS.escape(event.key === "=" ? "+" : event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
  });

  let brush = null;
  const place = (svg, event) => {
    const box = svg.getBoundingClientRect();
    return (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
  };
  document.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest("svg.timeline");
    if (!svg || event.button !== 0) return;
    brush = { svg, from: place(svg, event), rect: null };
  });
  document.addEventListener("pointermove", (event) => {
    if (!brush) return;
    const to = place(brush.svg, event);
    if (!brush.rect && Math.abs(to - brush.from) < 6) return;
    if (!brush.rect) {
      brush.rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      brush.rect.setAttribute("class", "brush");
      brush.rect.setAttribute("y", "18");
      brush.rect.setAttribute("height", brush.svg.viewBox.baseVal.height);
      brush.svg.append(brush.rect);
    }
    brush.rect.setAttribute("x", Math.min(brush.from, to));
    brush.rect.setAttribute("width", Math.abs(to - brush.from));
  });
  document.addEventListener("pointerup", (event) => {
    if (!brush) return;
    const { svg, from, rect } = brush;
    brush = null;
    if (!rect) return;
    const [left, right] = [170, svg.viewBox.baseVal.width - 12];
    const since = Date.parse(svg.dataset.since);
    const until = Date.parse(svg.dataset.until);
    const time = (x) => since + (Math.min(Math.max(x, left), right) - left) / (right - left) * (until - since);
    const ends = [time(from), time(place(svg, event))].sort((one, other) => one - other);
    if (ends[1] - ends[0] < 1) return rect.remove();
    const query = new URLSearchParams(location.search);
    query.set("since", new Date(ends[0]).toISOString());
    query.set("until", new Date(ends[1]).toISOString());
    location.search = query;
  });
  document.addEventListener("dragstart", (event) => {
    if (event.target.closest("svg.timeline")) event.preventDefault();
  });

  document.addEventListener("htmx:after:swap", updateButtons);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stopListening();
    listen();
    if (waiting && !paused) refresh();
  });
  window.addEventListener("pagehide", stopListening);
  window.addEventListener("pageshow", listen);
  updateButtons();
  listen();
})();
