/** The model: what it was trained on, its scores with their intervals, its limits and what it is not for. */

import { element, percent } from "./common.js";

const rounded = (share) => `${Math.round(100 * share)}%`;

const synthetic = (card, corpus) => card.trained_on.some((each) => each.name === corpus && each.synthetic);

/** In a line, what no probability should be read without. */
export const basis = (card) => {
  const scores = card.scores.map((score) => {
    const interval = score.low === null ? "" : ` (${rounded(score.low)} to ${rounded(score.high)})`;
    const mind = [
      synthetic(card, score.corpus) && "a synthesiser speaks",
      score.leaky && "leaky: tested voices were trained on",
    ].filter(Boolean);
    const minded = mind.length ? ` (${mind.join("; ")})` : "";
    return `UAR ${rounded(score.uar)}${interval} on ${score.corpus}${minded}, chance ${rounded(score.chance)}`;
  });
  const known = scores.length ? scores : ["never scored: do not rely on it"];
  return [card.name, ...known, card.protocol, `not sure below ${percent(card.unknown_below)}`].join(" · ");
};

const at = (share) => ({ left: `${100 * share}%` });

const score = (card, { corpus, uar, low, high, chance, leaky, meaning }) => {
  const span = `${rounded(low)} to ${rounded(high)}, a ${rounded(card.confidence)} interval`;
  const interval = low === null ? "interval not measured" : span;
  const guessing = `Guessing gets ${rounded(chance)}, the mark on the left.`;
  return element("div", { class: "score" },
    element("p", { class: "corpus" }, corpus,
      synthetic(card, corpus) && element("span", { class: "chip", text: "a synthesiser speaks" }),
      leaky && element("span", { class: "chip leaky", text: "leaky" })),
    element("p", { class: "value" },
      element("span", { class: "number", text: rounded(uar) }),
      element("span", { text: interval })),
    element("div", { class: "scale", "aria-hidden": "true" },
      low !== null && element("span", { class: "interval", style: { ...at(low), width: `${100 * (high - low)}%` } }),
      element("span", { class: "chance", style: at(chance) }),
      element("span", { class: "mean", style: at(uar) })),
    element("p", {
      class: "caption", text: `Unweighted average recall: the mean of the emotions' recalls. ${guessing} ${meaning}`,
    }));
};

const listed = (title, lines) =>
  element("div", { class: "block" },
    element("h3", { text: title }),
    element("ul", { class: "listed" }, ...lines.map((text) => element("li", { text }))));

/** The card, as elements. */
export const drawn = (card) => {
  const corpora = card.trained_on.map((each) => `${each.title} (${each.languages.join(", ")}; ${each.licence})`);
  const facts = [
    ["Model", card.name],
    ["Trained on", `${corpora.join("; ")}, ${card.clips} clips with augmented copies`],
    ["Emotions", card.emotions.join(", ")],
    ["Protocol of the scores", card.protocol],
    ["Adaptation", card.adaptation],
    ["Encoder", card.encoder],
    ["Not sure below", percent(card.unknown_below)],
    ["Fingerprint of the training data", card.fingerprint.slice(0, 16)],
  ];
  return element("div", { class: "trusted" },
    element("div", { class: "block wide" },
      element("h3", { text: "How often it is right about voices that it does not know" }),
      card.scores.length ? element("div", { class: "scores" }, ...card.scores.map((each) => score(card, each))) :
        element("p", { text: "Nothing is known of this model's scores: do not rely on its probabilities." }),
      element("dl", { class: "facts" }, ...facts.map(([name, value]) =>
        element("div", {}, element("dt", { text: name }), element("dd", { text: value }))))),
    listed("Read it with this in mind", card.limits),
    listed("What it is not for", card.misuse));
};
