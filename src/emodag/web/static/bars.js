/** Bars of probabilities, the most probable first, beside the threshold below which the model is not sure. */

import { element, likely, percent, probable } from "./common.js";

/** The bars; `threshold` is the model's, 0 to 1, and `number` writes a share. */
export const bars = (probabilities, { unsure, threshold, number = probable }) => {
  const style = { "--threshold": percent(threshold) };
  return element("div", {},
    element("ul", { class: unsure ? "bars unsure" : "bars" }, ...likely(probabilities).map(([name, share]) =>
      element("li", { class: `of-${name}` },
        element("span", { class: "name", text: name }),
        element("span", { class: "track", "aria-hidden": "true", style },
          element("i", { style: { "--share": `${100 * share}%` } })),
        element("span", { class: "amount", text: number(share) })))),
    element("p", { class: "threshold" }, element("span", {},
      element("b", { text: `sure from ${percent(threshold)}`, style }))));
};

/** What is told where nobody speaks. */
export const SILENCE = ["No speech", "There is nothing to judge, so no probabilities are told."];

/** What bars come to, as a heading and a sentence. */
export const told = ({ emotion, probabilities }, threshold) => {
  if (emotion === null) return SILENCE;
  const [[first, share], [second, other] = []] = likely(probabilities);
  if (emotion === "unknown") {
    const guess = second ? `${first} ${probable(share)}, ${second} ${probable(other)}` : `${first} ${probable(share)}`;
    const why = `No emotion reaches ${percent(threshold)}, from which the model counts as sure.`;
    return ["Not sure", `${why} Its best guesses: ${guess}.`];
  }
  return [`Sounds ${emotion}`, `${probable(share)} sure${second ? `; next, ${second} with ${probable(other)}` : ""}.`];
};
