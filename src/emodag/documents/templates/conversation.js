"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const id = (name) => document.getElementById(name);
  const sound = id("sound"), scroller = id("scroller"), canvas = id("canvas"), overview = id("overview"), tip = id("tip");
  const duration = Math.max(data.duration, 0.001);
  const boxes = new Map([...document.querySelectorAll(".turn")].map((box) => [Number(box.dataset.turn), box]));
  const lines = new Map([...document.querySelectorAll(".line")].map((line) => [Number(line.id.slice(5)), line]));
  const heads = [...document.querySelectorAll(".playhead")];
  const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const NEAREST = 60; // pixels per second
  let until = Infinity; // where what was asked for ends; s
  let scale = 1; // pixels per second
  let sounding = new Set();

  const percent = (share) => `${Math.round(100 * share)}%`;
  const clock = (seconds) => {
    const whole = Math.floor(seconds), minutes = Math.floor(whole / 60);
    const rest = String(whole % 60).padStart(2, "0");
    return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
  };
  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // Playing ---------------------------------------------------------------------------------------------------------

  const play = (from, to = Infinity) => {
    until = to;
    sound.currentTime = Math.min(from, duration - 0.05);
    sound.play().catch(() => {});
    follow();
  };
  const playTurn = (number) => play(data.turns[number].start, data.turns[number].end);
  const toggle = () => {
    until = Infinity;
    if (sound.paused) sound.play().catch(() => {});
    else sound.pause();
  };

  const show = (time) => {
    for (const head of heads) head.style.left = `${(100 * time) / duration}%`;
    id("time").textContent = clock(time);
    id("position").value = time;
    const heard = data.turns.flatMap((turn, number) => (turn.start <= time && time < turn.end ? [number] : []));
    for (const number of sounding) if (!heard.includes(number)) mark(number, false);
    for (const number of heard) if (!sounding.has(number)) mark(number, true);
    sounding = new Set(heard);
    const told = heard.map((number) => `${data.turns[number].speaker}: ${verdict(now(number, time))}`).join(" · ");
    id("now").textContent = told;
    id("position").setAttribute("aria-valuetext", told ? `${clock(time)}, ${told}` : clock(time));
  };
  const mark = (number, on) => {
    boxes.get(number)?.classList.toggle("sounding", on);
    lines.get(number)?.classList.toggle("sounding", on);
  };
  const now = (number, time) => {
    const { windows, feeling } = data.turns[number];
    return windows.length ? windows.find((each) => each.start <= time && time < each.end) ?? null : feeling;
  };
  const verdict = (feeling) => {
    if (feeling === null) return "not judged";
    return feeling.emotion === "unknown" ? "unknown" : `${feeling.emotion} ${percent(Math.max(...feeling.probabilities))}`;
  };
  const halt = () => {
    if (sound.currentTime < until) return;
    sound.pause();
    until = Infinity;
  };
  const follow = () => {
    halt();
    const time = sound.currentTime;
    show(time);
    const place = time * scale;
    const outside = place < scroller.scrollLeft || place > scroller.scrollLeft + scroller.clientWidth - 24;
    if (outside && !sound.paused) scroller.scrollLeft = place - 0.15 * scroller.clientWidth;
    if (!sound.paused) requestAnimationFrame(follow);
  };

  // Time and zoom -----------------------------------------------------------------------------------------------------

  const whole = () => scroller.clientWidth / duration;
  const zoom = (wanted, centre = scroller.scrollLeft + scroller.clientWidth / 2) => {
    const time = centre / scale, beside = centre - scroller.scrollLeft;
    scale = Math.min(Math.max(wanted, whole()), Math.max(NEAREST, whole()));
    canvas.style.width = scale > whole() ? `${duration * scale}px` : "100%";
    scroller.scrollLeft = time * scale - beside;
    const fits = scale <= whole() * 1.001;
    overview.hidden = fits;
    id("out").disabled = id("fit").disabled = fits;
    id("in").disabled = scale >= NEAREST;
    look();
  };
  const look = () => {
    const first = scroller.scrollLeft / scale, span = scroller.clientWidth / scale;
    id("view").style.left = `${(100 * first) / duration}%`;
    id("view").style.width = `${(100 * Math.min(span, duration)) / duration}%`;
    const step = STEPS.find((each) => each * scale >= 72) ?? STEPS.at(-1);
    const ticks = [];
    for (let at = Math.max(0, Math.floor((first - span) / step)) * step; at <= Math.min(duration, first + 2 * span); at += step) {
      const tick = element("span", "", step < 1 && at % 1 ? `${clock(at)}.5` : clock(at));
      tick.style.left = `${(100 * at) / duration}%`;
      // The last would make the canvas longer than the recording.
      if ((duration - at) * scale > 42) ticks.push(tick);
    }
    id("ticks").replaceChildren(...ticks);
  };
  const start = () => {
    const lengths = data.turns.map((turn) => turn.end - turn.start).sort((one, other) => one - other);
    const typical = lengths[Math.floor(lengths.length / 2)] ?? duration;
    const readable = Math.min(16 / typical, 30);
    zoom(readable < 1.4 * whole() ? 0 : readable, 0);
  };

  // What a turn or a window is about ------------------------------------------------------------------------------------

  const explain = (number, x, y, time) => {
    const turn = data.turns[number];
    const feeling = (time !== undefined && now(number, time)) || turn.feeling;
    const part = feeling !== turn.feeling && feeling ? feeling : turn;
    tip.replaceChildren(
      element("p", "title", `${turn.speaker}: ${verdict(feeling)}`),
      element("p", "when-told", `${clock(part.start)} to ${clock(part.end)}${part === turn ? "" : ", within a longer turn"}`),
    );
    if (feeling) {
      const order = data.classes.map((_, place) => place).sort((one, other) => feeling.probabilities[other] - feeling.probabilities[one]);
      for (const place of order) {
        const row = element("div", "row");
        const bar = element("span", "");
        bar.style.setProperty("--colour", data.colours[data.classes[place]]);
        bar.style.setProperty("--share", percent(feeling.probabilities[place]));
        row.append(element("span", "", data.classes[place]), bar, element("span", "", percent(feeling.probabilities[place])));
        tip.append(row);
      }
      tip.append(element("p", "basis", `arousal ${feeling.arousal.toFixed(2)}, valence ${feeling.valence.toFixed(2)}`));
    }
    if (turn.text) tip.append(element("p", "said", `“${turn.text}”`));
    if (data.context) tip.append(element("p", "basis", data.context));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x - width / 2, innerWidth - width - 8))}px`;
    tip.style.top = `${y + height + 14 < innerHeight ? y + 14 : Math.max(8, y - height - 62)}px`;
  };
  const timeAt = (event) => (event.clientX - canvas.getBoundingClientRect().left) / scale;

  // From turn to turn by keyboard ---------------------------------------------------------------------------------------

  let reached = 0;
  const reach = (number) => {
    boxes.get(reached)?.setAttribute("tabindex", "-1");
    reached = number;
    const box = boxes.get(number);
    box.setAttribute("tabindex", "0");
    box.focus({ preventScroll: true });
    const left = box.offsetLeft, right = left + box.offsetWidth;
    if (left < scroller.scrollLeft || right > scroller.scrollLeft + scroller.clientWidth) {
      scroller.scrollLeft = left - 0.2 * scroller.clientWidth;
    }
    const place = box.getBoundingClientRect();
    explain(number, place.left + place.width / 2, place.bottom);
  };
  const lanes = [...document.querySelectorAll(".lane")];
  const laneOf = (number) => lanes.indexOf(boxes.get(number).closest(".lane"));
  const across = (number, by) => {
    const lane = lanes[laneOf(number) + by];
    if (!lane) return number;
    const middle = (data.turns[number].start + data.turns[number].end) / 2;
    const away = (other) => Math.max(data.turns[other].start - middle, middle - data.turns[other].end);
    const others = [...lane.querySelectorAll(".turn")].map((box) => Number(box.dataset.turn));
    return others.reduce((one, other) => (away(other) < away(one) ? other : one));
  };
  const last = data.turns.length - 1;
  const moves = {
    ArrowLeft: (number) => Math.max(0, number - 1),
    ArrowRight: (number) => Math.min(last, number + 1),
    ArrowUp: (number) => across(number, -1),
    ArrowDown: (number) => across(number, 1),
    Home: () => 0,
    End: () => last,
  };

  // What people do --------------------------------------------------------------------------------------------------------

  scroller.addEventListener("click", (event) => {
    const box = event.target.closest(".turn");
    if (box) {
      boxes.get(reached)?.setAttribute("tabindex", "-1");
      reached = Number(box.dataset.turn);
      box.setAttribute("tabindex", "0");
      // A mouse plays from the window under it, the keyboard (no detail) the whole turn.
      const window = event.detail ? data.turns[reached].windows.find((each) => each.start <= timeAt(event) && timeAt(event) < each.end) : undefined;
      play(window?.start ?? data.turns[reached].start, data.turns[reached].end);
      if (event.pointerType === "touch") explain(reached, event.clientX, box.getBoundingClientRect().bottom, timeAt(event));
    } else if (!event.target.closest("a")) play(timeAt(event));
  });
  scroller.addEventListener("pointermove", (event) => {
    const box = event.target.closest(".turn");
    if (event.pointerType === "touch") return;
    if (!box) tip.hidden = true;
    else explain(Number(box.dataset.turn), event.clientX, box.getBoundingClientRect().bottom, timeAt(event));
  });
  scroller.addEventListener("pointerleave", () => (tip.hidden = true));
  document.addEventListener("pointerdown", () => (tip.hidden = true));
  scroller.addEventListener("focusout", () => (tip.hidden = true));
  scroller.addEventListener("focusin", (event) => {
    if (event.target.matches(".turn:focus-visible")) reach(Number(event.target.dataset.turn));
  });
  scroller.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoom(scale * 1.5);
    else if (event.key === "-") zoom(scale / 1.5);
    else if (event.key === "0") zoom(0);
    else if (event.key === "Escape") tip.hidden = true;
    else if (event.target.matches(".turn") && moves[event.key]) reach(moves[event.key](Number(event.target.dataset.turn)));
    else return;
    event.preventDefault();
  });
  scroller.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - canvas.getBoundingClientRect().left);
  }, { passive: false });
  scroller.addEventListener("scroll", () => requestAnimationFrame(look), { passive: true });
  new ResizeObserver(() => zoom(scale)).observe(scroller);

  id("in").addEventListener("click", () => zoom(scale * 1.7));
  id("out").addEventListener("click", () => zoom(scale / 1.7));
  id("fit").addEventListener("click", () => zoom(0));
  const jump = (event) => {
    const place = overview.getBoundingClientRect();
    scroller.scrollLeft = ((event.clientX - place.left) / place.width) * duration * scale - scroller.clientWidth / 2;
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    jump(event);
  });
  overview.addEventListener("pointermove", (event) => event.buttons && jump(event));

  id("play").addEventListener("click", toggle);
  id("position").addEventListener("input", (event) => {
    until = Infinity;
    sound.currentTime = Number(event.target.value);
    show(sound.currentTime);
  });
  id("speed").addEventListener("change", (event) => (sound.playbackRate = Number(event.target.value)));
  sound.addEventListener("play", () => {
    document.body.classList.add("playing");
    id("play").setAttribute("aria-label", "Pause");
    follow();
  });
  sound.addEventListener("pause", () => {
    document.body.classList.remove("playing");
    id("play").setAttribute("aria-label", "Play");
  });
  sound.addEventListener("timeupdate", halt); // where the page is not seen, no frame is drawn
  sound.addEventListener("seeked", () => show(sound.currentTime));
  id("lines")?.addEventListener("click", (event) => {
    const button = event.target.closest(".when");
    if (button) playTurn(Number(button.dataset.turn));
  });
  for (const link of document.querySelectorAll("a[data-time]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const time = Number(link.dataset.time);
      if (time * scale < scroller.scrollLeft || time * scale > scroller.scrollLeft + scroller.clientWidth) {
        scroller.scrollLeft = time * scale - 0.3 * scroller.clientWidth;
      }
      play(time);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("button, a, input, select, audio")) return;
    event.preventDefault();
    toggle();
  });

  const pressed = new Set();
  for (const chip of document.querySelectorAll(".chip-kind")) {
    chip.addEventListener("click", () => {
      const { kind } = chip.dataset;
      if (!pressed.delete(kind)) pressed.add(kind);
      chip.setAttribute("aria-pressed", String(pressed.has(kind)));
      document.body.classList.toggle("chosen", pressed.size > 0);
      for (const [number, box] of boxes) {
        const match = pressed.has(lines.get(number).dataset.kind);
        box.classList.toggle("match", match);
        lines.get(number).classList.toggle("match", match);
      }
    });
  }

  sound.controls = false;
  sound.hidden = true;
  id("player").hidden = false;
  document.querySelector(".zoom").hidden = false;
  document.querySelector(".keys").hidden = false;
  overview.style.setProperty("--lanes", lanes.length);
  boxes.get(0)?.setAttribute("tabindex", "0");
  start();
  show(0);
  document.documentElement.dataset.ready = "yes";
})();
