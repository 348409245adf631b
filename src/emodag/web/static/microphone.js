/** The microphone: its samples while somebody speaks, and all of them as a WAV file at the end. */

import { Problem } from "./service.js";

/** Longer recordings in 16 bits may be larger than the service takes; s. */
export const LONGEST = 240;

const WHY = {
  NotAllowedError: ["The microphone may not be used", "your permission, in the browser's settings of this page"],
  NotFoundError: ["There is no microphone", "a recording as a file"],
  NotReadableError: ["The microphone cannot be read", "a microphone that no other program keeps to itself"],
};

/**
 * Begin to listen.
 * @param {function(Float32Array)} hear called with each block of samples
 * @returns {{rate: number, stop: function(): File}} the rate in Hz, and what ends it and gives the sound
 */
export const listen = async (hear) => {
  if (!navigator.mediaDevices) {
    throw new Problem("This page may not use the microphone", { accepted: "https, or a service on this machine" });
  }
  // What browsers do to a voice to make it clearer changes how it sounds.
  const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted }).catch((error) => {
    const other = [`The microphone cannot be used: ${error.message}`, "a recording as a file"];
    const [message, accepted] = WHY[error.name] ?? other;
    throw new Problem(message, { accepted });
  });
  const context = new AudioContext();
  const blocks = [];
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    context.close();
  };
  try {
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const channel = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
    const node = new AudioWorkletNode(context, "capture", channel);
    node.port.addEventListener("message", ({ data }) => {
      // Of an hour that is only listened to, the last minutes are kept.
      if (blocks.push(data) > 10 * LONGEST) blocks.shift();
      hear(data);
    });
    node.port.start();
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
  } catch (error) {
    release();
    throw new Problem(`The microphone cannot be used: ${error.message}`, { accepted: "a recording as a file" });
  }
  return {
    rate: context.sampleRate,
    stop: () => {
      release();
      const name = `recording ${new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", ".")}.wav`;
      return new File([wav(blocks, context.sampleRate)], name, { type: "audio/wav" });
    },
  };
};

/** The level of samples; dB of full scale. */
export const levelOf = (samples) =>
  10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 1e-12) / samples.length);

/** Blocks of samples as a WAV file of one channel and 16 bits. */
const wav = (blocks, rate) => {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const content = new DataView(new ArrayBuffer(44 + 2 * count));
  const text = (at, letters) =>
    [...letters].forEach((letter, place) => content.setUint8(at + place, letter.charCodeAt()));
  text(0, "RIFF");
  content.setUint32(4, 36 + 2 * count, true);
  text(8, "WAVEfmt ");
  content.setUint32(16, 16, true); // bytes of this part
  content.setUint16(20, 1, true); // integers
  content.setUint16(22, 1, true); // channel
  content.setUint32(24, rate, true);
  content.setUint32(28, 2 * rate, true); // bytes a second
  content.setUint16(32, 2, true); // bytes of a sample
  content.setUint16(34, 16, true); // bits
  text(36, "data");
  content.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      content.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  }
  return content.buffer;
};
