"""Speech whose words are known, and a Whisper model that is made on the spot."""

from __future__ import annotations

import numpy as np
import pytest

from emodag import audio
from emodag.espeak import Voice, speak, variant, voices_folder


@pytest.fixture(scope="session")
def counting(tmp_path_factory) -> np.ndarray:
    """A synthesiser counts: one two three four five; float32 [samples] at 16 kHz, a quarter of a second around."""
    voice = Voice("en-us", "gmw/en-US", "en_dict")
    with voices_folder(tmp_path_factory.mktemp("espeak") / "voices", voice) as folder:
        pcm = speak("one two three four five", voice, variant("m3"), folder, rate=130)
    return np.pad(audio.resample(pcm.astype(np.float32) / 32768, 22_050), 4000)


@pytest.fixture(scope="session")
def sphinx():
    from emodag.transcription.sphinx import SphinxTranscriber

    return SphinxTranscriber("en-US")


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory):
    """A folder with a CTranslate2 model in Whisper's form, of one random layer that spells bytes."""
    pytest.importorskip("faster_whisper", reason="faster-whisper is an option: make options")
    pytest.importorskip("transformers", reason="the model is made with transformers: make options")
    from emodag.pytorch import import_torchaudio

    import_torchaudio()
    import torch
    from ctranslate2.converters import TransformersConverter
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: number for number, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ("endoftext", "startoftranscript", "en", "translate", "transcribe", "startoflm", "startofprev", "nospeech")
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in (*names, "notimestamps")])
    end, start, english = (tokenizer.token_to_id(f"<|{name}|>") for name in names[:3])
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=tokenizer.get_vocab_size() + 1501,  # times of 0 to 30 s
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            d_model=16,
            decoder_start_token_id=start,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    model.generation_config.lang_to_id = {"<|en|>": english}
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = []
    folder = tmp_path_factory.mktemp("whisper")
    model.save_pretrained(folder / "transformers")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder / "transformers")
    made = TransformersConverter(str(folder / "transformers")).convert(str(folder / "model"))
    tokenizer.save(f"{made}/tokenizer.json")
    return folder / "model"
