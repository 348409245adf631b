/** What was said, and what emotions and words come to, each with where it comes from. */

import { clock, element, kindOf, verdict } from "./common.js";
import { follow, play } from "./player.js";

/** How often words were wrong, from bench/results/transcription.json. */
const WRONG = {
  sphinx:
    "Sphinx gets about every second word wrong: 46% of the words (37% to 55%) of RAVDESS's sentences, " +
    "55% (50% to 59%) of CREMA-D's, fewest where the voice is neutral. Do not quote what you did not hear.",
  whisper: "How often Whisper is wrong has not been measured here. Do not quote what you did not hear.",
};

const source = (...parts) => element("p", { class: "source" }, ...parts);

let marks = []; // [element, start, end]
follow((time) => {
  for (const [each, start, end] of marks) each.classList.toggle("sounding", start <= time && time < end && time > 0);
});

const nothingSaid = (backend, pending) => {
  if (pending) return "Being written down …";
  if (backend === "none") return "Nothing is written down: this service was started without transcription.";
  return "No words were understood.";
};

/** The words of a clip; `said` is null until they are there. */
export const ofClip = (said, backend) => {
  marks = [];
  const words = (said?.words ?? []).map(({ start, end, text }) => {
    const word = element("button", { type: "button", text, title: `Play from ${clock(start)}` });
    word.addEventListener("click", () => play(start, end + 0.15));
    marks.push([word, start, end]);
    return word;
  });
  if (!said?.text) return [element("p", { class: "pending", text: said?.note || nothingSaid(backend, !said) })];
  const text = words.length ? words.flatMap((word) => [word, " "]) : [said.text];
  const minded = [said.note, WRONG[backend]].filter(Boolean);
  return [element("p", { class: "said" }, ...text), ...minded.map((each) => source(each))];
};

/** The turns of a conversation, each a line that plays. */
export const ofTurns = (turns, { pending, backend }) => {
  marks = [];
  const lines = turns.map((turn) => {
    const kind = kindOf(turn.feeling);
    const line = element("button", { type: "button" },
      element("span", { class: "at", text: clock(turn.start) }),
      element("span", { class: "by", text: turn.speaker }),
      element("span", { class: `felt of-${kind}` }, element("i", { class: "dot" }), verdict(turn.feeling)),
      element("span", { class: "text", text: turn.text }));
    line.addEventListener("click", () => play(turn.start, turn.end));
    const item = element("li", {}, line);
    marks.push([item, turn.start, turn.end]);
    return item;
  });
  const spoken = turns.some((turn) => turn.text);
  return [
    lines.length > 0 && element("ol", { class: "lines" }, ...lines),
    !spoken && element("p", { class: lines.length ? "source" : "pending", text: nothingSaid(backend, pending) }),
    spoken && WRONG[backend] && source(WRONG[backend]),
  ].filter(Boolean);
};

/** The interpretation and who wrote it; null until it is there. */
export const meaning = (found) => {
  if (!found) return [element("p", { class: "pending", text: "Being written …" })];
  const by = {
    evidence: [
      element("b", { text: "Made from the evidence by rules." }),
      " No language model was asked; nothing left this service.",
    ],
    llm: [
      element("b", { text: `Written by the language model ${found.model}.` }),
      " It was given the evidence and the words, no sound. What it says was not checked.",
    ],
    none: ["Nothing was written."],
  }[found.source];
  // The default text is also what is answered where a language model fails: then something may have left.
  const failed = found.note && found.source === "evidence";
  const shown = failed ? [element("b", { text: "Made from the evidence by rules: " }), found.note, "."] : by;
  return [
    element("p", { class: "told", text: found.text || "—" }),
    source(...shown),
    found.note && found.source !== "evidence" && source(found.note),
  ].filter(Boolean);
};
