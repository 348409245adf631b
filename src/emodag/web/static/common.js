/** What several modules need: elements, and numbers as people read them. */

/** An element with properties (`class` and attributes by name, `text`, `style` for custom properties) and children. */
export const element = (tag, { text, style = {}, ...attributes } = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(name, value);
  for (const [name, value] of Object.entries(style)) made.style.setProperty(name, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children.filter(Boolean));
  return made;
};

export const id = (name) => document.getElementById(name);

/** A share of 0 to 1 in whole per cent; what is neither nothing nor everything is not told as such. */
export const percent = (share) => {
  if (share > 0 && share < 0.01) return "<1%";
  if (share < 1 && share > 0.99) return ">99%";
  return `${Math.round(100 * share)}%`;
};

/** A probability in per cent: never quite nothing nor everything, whatever it was rounded to. */
export const probable = (share) => percent(Math.min(0.9999, Math.max(0.0001, share)));

/** Seconds as m:ss, from an hour on as h:mm:ss. */
export const clock = (seconds) => {
  const whole = Math.floor(seconds), minutes = Math.floor(whole / 60);
  const two = (number) => String(number % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${two(whole)}` : `${Math.floor(minutes / 60)}:${two(minutes)}:${two(whole)}`;
};

export const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

/** Emotions with their probabilities, the most probable first. */
export const likely = (probabilities) => Object.entries(probabilities).sort((one, other) => other[1] - one[1]);

export const confidence = (feeling) => Math.max(...Object.values(feeling.probabilities));

/** Which class of the stylesheet holds the colour of a feeling; null is a feeling that was not judged. */
export const kindOf = (feeling) => (feeling === null ? "unjudged" : feeling.emotion);

/** How strong a colour is shown, 0.3 to 1: 0.3 where it is no surer than chance, as in `emodag analyze --html`. */
export const strength = (feeling) => {
  const chance = 1 / Object.keys(feeling.probabilities).length;
  return chance === 1 ? 1 : 0.3 + 0.7 * Math.min(1, Math.max(0, (confidence(feeling) - chance) / (1 - chance)));
};

/** A feeling in a few words. */
export const verdict = (feeling) => {
  if (feeling === null) return "not judged";
  return feeling.emotion === "unknown" ? "not sure" : `${feeling.emotion} ${probable(confidence(feeling))}`;
};

/** A turn cut into what was heard when: windows, each up to half-way to the next, else the whole turn. */
export const stretches = (turn) => {
  const heard = turn.windows.length ? turn.windows : turn.feeling ? [turn.feeling] : [];
  const centres = heard.map((each) => (each.start + each.end) / 2);
  const bounds = [turn.start, ...centres.slice(1).map((centre, place) => (centres[place] + centre) / 2), turn.end];
  return heard.map((each, place) => ({ ...each, start: bounds[place], end: bounds[place + 1] }));
};

/** Emotions that occur in turns, in the model's order, then unknown and unjudged. */
export const kindsIn = (turns, emotions) => {
  const feelings = turns.flatMap((turn) => (turn.feeling ? [turn.feeling, ...stretches(turn)] : [null]));
  const heard = new Set(feelings.map(kindOf));
  return [...emotions, "unknown", "unjudged"].filter((kind) => heard.has(kind));
};

export const nameOf = (kind) => ({ unknown: "not sure", unjudged: "not judged" })[kind] ?? kind;

/** Values of arousal over time, as one line for each run of turns without a pause of more than `gap` seconds. */
export const courses = (turns, gap = 6) => {
  const runs = [];
  let end = -Infinity;
  for (const turn of turns) {
    for (const each of stretches(turn)) {
      if (each.start - end > gap) runs.push([]);
      // Flat within a stretch but for its ends, so that neighbours meet in a slope.
      const bend = Math.min(0.4, (each.end - each.start) / 4);
      runs.at(-1).push([each.start + bend, each.arousal], [each.end - bend, each.arousal]);
      end = each.end;
    }
  }
  return runs;
};

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // s, between which people count

/** The shortest step that is no shorter than `least` seconds. */
export const stepOf = (least) => STEPS.find((each) => each >= least) ?? STEPS.at(-1);
