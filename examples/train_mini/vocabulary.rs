//! The tokenizer of text tower and language model: byte-level BPE over all that can be said, and some plain English.

use anomalygpt::text::Tokenizer;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Result, TokenizerBuilder,
    TokenizerImpl,
    models::bpe::{BPE, BpeTrainerBuilder},
    pre_tokenizers::byte_level::ByteLevel,
};

/// English that is not about anomalies, so that words of a free description have tokens too.
const PLAIN_ENGLISH: [&str; 2] = [include_str!("../../LICENSE"), OBJECTS];
/// Words of photographed things and of what may be said about them, one a line ("a bottle, the bottle, ..."), then some sentences.
pub const OBJECTS: &str = include_str!("data/objects.txt");

/// Tokens in all, the control tokens included.
const SIZE: usize = 2000;

/// The words of [`OBJECTS`] that have a line of their own: mostly things, some of them drawn, and a few states such as "flaw".
pub fn objects() -> impl Iterator<Item = &'static str> {
    OBJECTS.lines().filter_map(|line| line.split_once(", the ")?.1.split_once(',')).map(|(name, _)| name)
}

/// Trains the tokenizer on `sentences`; gives the bytes of its `tokenizer.json`.
pub fn train(sentences: impl Iterator<Item = String> + Send) -> Result<Vec<u8>> {
    let control = ["<unk>", "<s>", "</s>"].map(|piece| AddedToken::from(piece, true));
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(SIZE)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(control.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let bytes = ByteLevel::new(true, false, true);
    let mut tokenizer: TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper> =
        TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_pre_tokenizer(Some(bytes.into()))
            .with_decoder(Some(bytes.into()))
            .build()?;
    let plain = PLAIN_ENGLISH.iter().flat_map(|text| text.lines()).map(str::to_owned);
    tokenizer.train(&mut trainer, sentences.chain(plain))?;
    let (model, pre_tokenizer, decoder) =
        (tokenizer.get_model().clone(), tokenizer.get_pre_tokenizer().cloned(), tokenizer.get_decoder().cloned());
    let mut whole = tokenizers::Tokenizer::new(ModelWrapper::BPE(model));
    whole.with_pre_tokenizer(pre_tokenizer).with_decoder(decoder);
    whole.add_special_tokens(control)?;
    Ok(whole.to_string(false)?.into_bytes())
}

/// The tokenizer of the bytes that [`train`] gave.
pub fn load(bytes: &[u8]) -> anomalygpt::Result<Tokenizer> {
    Tokenizer::from_bytes(bytes)
}
