/** A voice while it speaks: its level, and what is heard in it. */

import { clock, element, id, kindOf, strength, verdict } from "./common.js";
import { bars, told } from "./bars.js";

const SHOWN = 60; // judgements in the trail
const LOWEST = -60; // dB, where the meter begins

const trail = id("trail");

/** Show an empty meter, for a live voice (`judging`) or one that is only recorded. */
export const open = ({ judging }) => {
  id("listening").hidden = false;
  id("moment").hidden = !judging;
  id("moment-verdict").textContent = "Speak …";
  id("moment-bars").replaceChildren();
  trail.replaceChildren();
  level(LOWEST, 0);
  id("listening").scrollIntoView({ block: "nearest" });
};

export const close = () => (id("listening").hidden = true);

/** Show the level (dB of full scale) after so many seconds. */
export const level = (decibels, seconds) => {
  const share = Math.max(0, Math.min(1, 1 - decibels / LOWEST));
  const meter = id("level");
  meter.style.setProperty("--level", share.toFixed(3));
  meter.setAttribute("aria-valuenow", Math.max(LOWEST, Math.round(decibels)));
  id("decibels").textContent = `${Math.max(-99, Math.round(decibels))} dB`.replace("-", "−");
  id("elapsed").textContent = clock(seconds);
};

/** Show an answer of the service. */
export const show = (answer, threshold) => {
  if (!answer.judged) return;
  const { feeling } = answer;
  const [title, rest] = told(feeling ?? { emotion: null, probabilities: {} }, threshold);
  id("moment-verdict").replaceChildren(`${title} `, element("small", { text: feeling ? rest : "in the last seconds" }));
  if (feeling) {
    const look = { unsure: feeling.emotion === "unknown", threshold };
    id("moment-bars").replaceChildren(bars(feeling.probabilities, look));
  }
  const style = feeling ? { "--strength": `${100 * strength(feeling)}%` } : {};
  const tip = feeling ? `${clock(answer.time)}: ${verdict(feeling)}` : `${clock(answer.time)}: no speech`;
  trail.append(element("i", { class: `of-${kindOf(feeling)}`, title: tip, style }));
  if (trail.children.length > SHOWN) trail.firstChild.remove();
};
