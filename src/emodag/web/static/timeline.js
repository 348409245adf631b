/** Who sounded how, when: a lane for each speaker, turns that play, arousal below, and what each speaker comes to. */

import {
  clock, counted, courses, element, kindOf, kindsIn, likely, nameOf, percent, stepOf, strength, stretches,
  unjudged, verdict,
} from "./common.js";
import { SILENCE, bars } from "./bars.js";
import { follow, play } from "./player.js";

const HINT = "A turn plays when it is clicked. By keyboard: arrows go from turn to turn, Enter plays.";
const UNJUDGED = "No turn could be judged: all are too short, or others speak over them.";
const FARTHEST = 60; // pixels a second
const HEIGHT = 40; // of the drawing of a curve, in its own units

let moved = () => {};
follow((time) => moved(time));

/** The emotion that a speaker shows longest, with its share: "mostly" is more than half, as in the finding. */
const mood = (speaker) => {
  const [[emotion, share] = ["", 0]] = likely(speaker.shares);
  if (!share) return "";
  const name = emotion === "unknown" ? "unclear" : emotion;
  return share > 0.5 ? `mostly ${name} (${percent(share)})` : `${name} most often (${percent(share)})`;
};

/** What a conversation comes to, as a heading and a sentence. */
export const told = ({ duration, finding, speakers, turns, turning_points: points }) => {
  if (!turns.length) return SILENCE;
  const parts = [clock(duration), counted(speakers.length, "speaker"), counted(turns.length, "turn")];
  if (points.length) parts.push(counted(points.length, "turning point"));
  return [finding, `${parts.join(", ")}.`];
};

/** Runs of [time, value] as an SVG path, 1000 wide, from 0 (for 1) to HEIGHT (for -1). */
const path = (runs, duration) => {
  const point = ([time, value]) => `${((1000 * time) / duration).toFixed(2)} ${((HEIGHT / 2) * (1 - value)).toFixed(2)}`;
  return runs.map((run) => `M${run.map(point).join("L")}`).join("");
};

/** SVG cannot be made by `document.createElement`. */
const curve = (turns, duration) => {
  const drawn = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const box = { viewBox: `0 0 1000 ${HEIGHT}`, preserveAspectRatio: "none" };
  const svg = drawn("svg", { class: "curve", "aria-hidden": "true", ...box });
  svg.append(drawn("path", { class: "zero", d: `M0 ${HEIGHT / 2}H1000` }));
  svg.append(drawn("path", { d: path(courses(turns), duration) }));
  return svg;
};

/** Where a span lies on a strip that begins at a time and is so long, all in s. */
const across = ({ start, end }, from, length) =>
  ({ left: `${(100 * (start - from)) / length}%`, width: `${(100 * (end - start)) / length}%` });

const box = (turn, duration) => {
  const kind = kindOf(turn.feeling), length = turn.end - turn.start;
  const pieces = stretches(turn).map((each) => element("i", {
    class: `of-${each.emotion}`,
    style: { ...across(each, turn.start, length), "--strength": `${100 * strength(each)}%` },
  }));
  const gaps = turn.feeling ? unjudged(turn).map((each) => element("i", {
    class: "of-unjudged", style: across(each, turn.start, length),
  })) : [];
  const said = turn.text ? `. ${turn.text}` : "";
  const made = element("button", {
    type: "button", class: `turn of-${kind}`, tabindex: "-1",
    "aria-label": `${turn.speaker}, ${clock(turn.start)} to ${clock(turn.end)}: ${verdict(turn.feeling)}${said}`,
    title: `${turn.speaker}, ${clock(turn.start)}: ${verdict(turn.feeling)}`,
    style: across(turn, 0, duration),
  }, element("span", { class: "box" }, ...pieces, ...gaps), element("b", { text: turn.feeling ? nameOf(kind) : "" }));
  made.addEventListener("click", () => play(turn.start, turn.end));
  return made;
};

const flag = (point, duration) =>
  element("i", { class: "point", style: { left: `${(100 * point.time) / duration}%` } });

/** What the flags on the lanes stand for, each a line that plays from there. */
const turning = (points) => {
  const felt = (kind) => element("span", { class: `of-${kind}` }, element("i", { class: "dot" }), nameOf(kind));
  return element("ol", { class: "turning" }, ...points.map(({ time, speaker, before, after }) => {
    const line = element("button", { type: "button" },
      element("span", { class: "at", text: clock(time) }), element("span", { class: "by", text: speaker }),
      element("span", {}, felt(before), " → ", felt(after)));
    line.addEventListener("click", () => play(time));
    return element("li", {}, line);
  }));
};

/** The timeline of an analysis, put into `place`. */
export const show = (place, analysis, emotions) => {
  const { turns, speakers, turning_points: points } = analysis, duration = Math.max(analysis.duration, 0.001);
  const boxes = turns.map((turn) => box(turn, duration));
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" }), head = element("div", { class: "playhead" });
  const lanes = element("div", { class: "lanes" }, ticks, ...speakers.map((speaker) => {
    const own = turns.flatMap((turn, number) => (turn.speaker === speaker.name ? [number] : []));
    return element("div", { class: "lane", role: "group", "aria-label": `Turns of ${speaker.name}` },
      element("p", { class: "who" }, element("b", { text: speaker.name }), element("span", {
        text: `${clock(speaker.speech)} in ${counted(speaker.turns, "turn")}${mood(speaker) && ` · ${mood(speaker)}`}`,
      })),
      element("div", { class: "boxes" }, ...own.map((number) => boxes[number]),
        ...points.filter((point) => point.speaker === speaker.name).map((point) => flag(point, duration))),
      curve(own.map((number) => turns[number]), duration));
  }), head);
  const scroller = element("div", { class: "scroller" }, lanes);
  const key = element("ul", { class: "key" },
    ...kindsIn(turns, emotions).map((kind) => element("li", { class: `of-${kind}` }, element("i"), nameOf(kind))),
    element("li", { class: "ramp" }, element("i"), "the fainter, the less sure"),
    element("li", { class: "solid" }, element("i"), "arousal, from calm to excited"),
    points.length > 0 && element("li", { class: "flag" }, element("i"), "turning point"));
  const zooms = element("div", { class: "zoom", role: "group", "aria-label": "Zoom" });
  place.replaceChildren(
    element("div", { class: "heading" }, element("h3", { text: "Who sounded how, when" }), zooms),
    scroller, key, element("p", { class: "caption", text: HINT }),
    ...(points.length ? [element("h3", { text: "Turning points" }), turning(points)] : []));

  let zoom = 1;
  const wide = () => scroller.clientWidth * zoom;
  const look = () => {
    const step = stepOf((72 * duration) / Math.max(1, wide()));
    const times = Array.from({ length: Math.ceil(duration / step) }, (_, number) => number * step);
    // The last would make the lanes longer than the recording.
    ticks.replaceChildren(...times.filter((time) => ((duration - time) * wide()) / duration > 42).map((time) =>
      element("span", { text: clock(time), style: { left: `${(100 * time) / duration}%` } })));
  };
  const setZoom = (wanted) => {
    const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / wide();
    zoom = Math.max(1, Math.min(wanted, (FARTHEST * duration) / Math.max(1, scroller.clientWidth)));
    lanes.style.setProperty("--zoom", zoom);
    scroller.scrollLeft = middle * wide() - scroller.clientWidth / 2;
    look();
  };
  const changes = [
    ["−", "Show more time", () => zoom / 1.7],
    ["Whole", undefined, () => 1],
    ["+", "Show less time", () => zoom * 1.7],
  ];
  for (const [text, label, change] of changes) {
    const button = element("button", { type: "button", text, "aria-label": label });
    button.addEventListener("click", () => setZoom(change()));
    zooms.append(button);
  }
  new ResizeObserver(look).observe(scroller);

  moved = (time) => {
    head.style.left = `${(100 * time) / duration}%`;
    turns.forEach(({ start, end }, number) =>
      boxes[number].classList.toggle("sounding", time > 0 && start <= time && time < end));
    const at = (time / duration) * wide(), { scrollLeft, clientWidth } = scroller;
    if (at < scrollLeft || at > scrollLeft + clientWidth - 24) scroller.scrollLeft = at - 0.15 * clientWidth;
  };
  lanes.addEventListener("click", (event) => {
    if (event.target.closest(".turn")) return;
    play(((event.clientX - lanes.getBoundingClientRect().left) / lanes.clientWidth) * duration);
  });

  // One stop for the Tab key; arrows move within.
  let reached = 0;
  boxes[0]?.setAttribute("tabindex", "0");
  const moves = {
    ArrowLeft: () => reached - 1, ArrowRight: () => reached + 1, Home: () => 0, End: () => boxes.length - 1,
  };
  lanes.addEventListener("focusin", (event) => {
    const number = boxes.indexOf(event.target);
    if (number < 0) return;
    boxes[reached].setAttribute("tabindex", "-1");
    boxes[reached = number].setAttribute("tabindex", "0");
  });
  lanes.addEventListener("keydown", (event) => {
    const number = moves[event.key]?.();
    if (number === undefined) return;
    event.preventDefault();
    boxes[Math.max(0, Math.min(number, boxes.length - 1))].focus();
  });
  moved(0);
};

/** How much of each speaker's judged speech sounded how. */
export const people = (speakers) => speakers.map(({ name, speech, turns, arousal, valence, shares }) => {
  const part = `${clock(speech)} of speech in ${counted(turns, "turn")}`;
  const affect = arousal === null ? "" : ` · arousal ${signed(arousal)} · valence ${signed(valence)}`;
  return element("article", { class: "block" },
    element("h3", { text: name }),
    element("p", { class: "part", text: `${part}${affect}` }),
    Object.values(shares).some(Boolean) ? sharing(shares) : element("p", { class: "caption", text: UNJUDGED }));
});

const sharing = (shares) => {
  const heard = Object.fromEntries(Object.entries(shares).filter(([, share]) => share > 0));
  const list = bars(heard, { unsure: false, threshold: 0, number: percent }).firstChild;
  list.classList.add("shares");
  for (const name of list.querySelectorAll(".name")) name.textContent = nameOf(name.textContent);
  return list;
};

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
