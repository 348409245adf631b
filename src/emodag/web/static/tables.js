/** Answers as files: the same columns and lines as the commands write. */

import { confidence } from "./common.js";

const csv = (rows) => rows.map((row) => row.map((each) => {
  const cell = String(each ?? "");
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}).join(",") + "\n").join("");

/** As `emodag predict --csv`. */
export const ofClip = (answer, emotions) => {
  const values = emotions.map((name) => answer.probabilities[name]?.toFixed(4));
  return csv([
    ["file", "duration", "emotion", ...emotions, "notes"],
    [answer.file, answer.duration.toFixed(3), answer.emotion, ...values, answer.notes.join("; ")],
  ]);
};

/** As `emodag analyze --csv`: a row for each turn and, after it, for each of its windows. */
export const ofTurns = (analysis, emotions) => {
  const columns = ["kind", "start", "end", "speaker", "emotion", "confidence", "valence", "arousal", "overlap", "text"];
  const row = (kind, { start, end }, speaker, feeling, overlap, text) => [
    kind, start, end, speaker,
    ...(feeling ? [feeling.emotion, confidence(feeling), feeling.valence, feeling.arousal] : ["", "", "", ""]),
    overlap, text, ...emotions.map((name) => feeling?.probabilities[name]),
  ];
  return csv([[...columns, ...emotions], ...analysis.turns.flatMap((turn) => [
    row("turn", turn, turn.speaker, turn.feeling, turn.overlap, turn.text),
    ...turn.windows.map((each) => row("window", each, turn.speaker, each, "", "")),
  ])]);
};

/** As `emodag analyze --rttm`: fields end at a space, so all but a few signs are percent-encoded. */
export const rttm = (analysis) => {
  const code = (sign) => `%${sign.charCodeAt().toString(16).toUpperCase()}`;
  const encoded = (name) => encodeURIComponent(name).replace(/[!'()*]/g, code).replaceAll("%2F", "/");
  const uri = encoded(stem(analysis.recording));
  const turns = [...analysis.turns].sort((one, other) => one.start - other.start || one.end - other.end);
  return turns.map(({ start, end, speaker }) => {
    const times = `${start.toFixed(3)} ${(end - start).toFixed(3)}`;
    return `SPEAKER ${uri} 1 ${times} <NA> <NA> ${encoded(speaker)} <NA> <NA>\n`;
  }).join("");
};

/** A file's name without its suffix. */
export const stem = (name) => name.replace(/(?<=.)\.[^.]*$/, "");
