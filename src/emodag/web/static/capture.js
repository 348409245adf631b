/** Runs beside the page's own thread: hands on the microphone's samples in blocks of a tenth of a second. */
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.round(sampleRate / 10));
    this.filled = 0;
  }

  process([channels]) {
    const [samples] = channels;
    for (let from = 0; samples && from < samples.length; ) {
      const piece = samples.subarray(from, from + this.block.length - this.filled);
      this.block.set(piece, this.filled);
      this.filled += piece.length;
      from += piece.length;
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block);
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("capture", Capture);
