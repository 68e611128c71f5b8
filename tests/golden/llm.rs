//! Tokenizer, prompts, LLaMA and dialogues to train on.

use std::ops::ControlFlow;

use anomalygpt::{
    llm::{
        GenerateOptions, Llama, Llm, Segment,
        llama::{KeyValueCache, LlamaConfig},
    },
    prompt_learner::PromptEmbeddings,
    text::{
        Tokenizer,
        dialogue::{self, Exchange, Role, Turn},
    },
    weights::StateDict,
};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde_json::Value;

use crate::support::{assert_close, bytes, described, expected};

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(&bytes("llama_tokenizer.json")).unwrap()
}

fn llama() -> Llama {
    let config = LlamaConfig::from_hugging_face(&bytes("llama_config.json")).unwrap();
    let weights = StateDict::from_safetensors("llama.safetensors", &bytes("llama.safetensors")).unwrap();
    Llama::load(&config, &weights, tokenizer(), &Device::default()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}

fn case(described: &Value, name: &str) -> Value {
    described["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap().clone()
}

fn inputs(expected: &StateDict, name: &str) -> Tensor<3> {
    Tensor::from_data(expected.get(&format!("case.{name}.inputs")).unwrap().clone(), &Device::default())
}

/// The cases whose input embeddings are in the golden set.
const GIVEN: [&str; 2] = ["zero_shot", "history"];

/// Description, question and earlier turns of a case.
fn parts(name: &str) -> (&str, &str, Vec<Exchange>) {
    let exchange = |question: &str, answer: &str| Exchange { question: question.into(), answer: answer.into() };
    match name {
        "history" => {
            let history = vec![exchange(dialogue::QUESTION, "No, there is no anomaly in the image."), exchange("Why?", "It looks fine.")];
            ("This is a photo of a metal nut.", "Where is the defect?", history)
        }
        "zero_shot" => (
            "This is a photo of a bottle for anomaly detection, which should be without any damage, flaw, defect, scratch, hole or broken part.",
            dialogue::QUESTION,
            vec![],
        ),
        other => panic!("{other}"),
    }
}

#[test]
fn token_ids_and_texts_agree() {
    let tokenizer = tokenizer();
    for string in described()["llama_tokenizer"].as_array().unwrap() {
        let text = string["text"].as_str().unwrap();
        let found = tokenizer.encode(text).unwrap();
        assert_eq!(found, ids(&string["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&found).unwrap(), string["decoded"].as_str().unwrap());
    }
}

/// What SentencePiece itself gives, over its own file and the one that was converted from it.
#[test]
fn sentence_piece_ids_agree() {
    let tokenizers = [Tokenizer::from_sentence_piece(&bytes("llama_tokenizer.model")).unwrap(), tokenizer()];
    let cases: Value = serde_json::from_slice(&bytes("sentence_piece.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        for tokenizer in &tokenizers {
            assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{text:?}");
        }
    }
}

#[test]
fn the_frame_is_the_references() {
    let (tokenizer, described) = (tokenizer(), described());
    let framing = &described["framing"];
    assert_eq!(
        [dialogue::BEFORE, dialogue::MIDDLE, dialogue::ASK, dialogue::END].map(Value::from),
        ["before", "middle", "ask", "end"].map(|key| framing[key].clone())
    );
    assert_eq!(tokenizer.encode(dialogue::BEFORE).unwrap(), ids(&framing["before_ids"]));
    assert_eq!(tokenizer.encode(dialogue::MIDDLE).unwrap(), ids(&framing["middle_ids"]));
    assert_eq!(tokenizer.id("<s>").map(u64::from), framing["bos"].as_u64());
    assert_eq!(tokenizer.id("</s>").map(u64::from), framing["eos"].as_u64());
}

#[test]
fn requests_have_the_references_ids() {
    let (tokenizer, described) = (tokenizer(), described());
    for case in described["cases"].as_array().unwrap() {
        let prompt = case["prompt"].as_str().unwrap();
        let name = case["name"].as_str().unwrap();
        let request = match name {
            "history" | "zero_shot" => {
                let (description, question, history) = parts(name);
                dialogue::request(Some(description), question, &history)
            }
            _ => dialogue::request(None, prompt, &[]),
        };
        assert_eq!(tokenizer.encode(&request).unwrap(), ids(&case["prompt_token_ids"]), "{name}");
    }
}

#[test]
fn assembled_embeddings_are_the_references() {
    let (llama, expected) = (llama(), expected());
    for name in GIVEN {
        let inputs = inputs(&expected, name);
        // Image and prompt embeddings are the reference's own; what is checked is where they stand, and all text around them.
        let embeddings = PromptEmbeddings { image: inputs.clone().narrow(1, 7, 1), prompt: inputs.clone().narrow(1, 13, 18) };
        let (description, question, history) = parts(name);
        let found = llama.embed(&dialogue::segments(&embeddings, Some(description), question, &history)).unwrap();
        assert_eq!(found.into_data(), inputs.into_data(), "{name}");
    }
}

#[test]
fn logits_agree() {
    let (llama, expected, described) = (llama(), expected(), described());
    let tolerance = described["tolerances"]["given"]["logits"].as_f64().unwrap();
    for name in GIVEN {
        let found = llama.network().last(inputs(&expected, name), None).unwrap().squeeze_dim::<1>(0);
        assert_close(&found.into_data(), expected.get(&format!("case.{name}.logits")).unwrap(), tolerance);
    }
}

#[test]
fn greedy_ids_agree() {
    let (llama, expected, described) = (llama(), expected(), described());
    for name in GIVEN {
        let mut cache = KeyValueCache::default();
        let mut embeddings = inputs(&expected, name);
        for (index, id) in ids(&case(&described, name)["greedy_ids"]).into_iter().enumerate() {
            let best = llama.network().last(embeddings, Some(&mut cache)).unwrap().argmax(1).into_scalar::<i64>();
            assert_eq!(best, i64::from(id), "{name}, token {index}");
            embeddings = llama.network().embed(Tensor::<2, Int>::from_data(TensorData::new(vec![best], [1, 1]), &Device::default()));
        }
    }
}

#[test]
fn answers_agree() {
    let (llama, expected, described) = (llama(), expected(), described());
    for name in GIVEN {
        let case = case(&described, name);
        let mut inputs = inputs(&expected, name);
        // The beginning is the model's own matter.
        let positions = inputs.dims()[1];
        inputs = inputs.narrow(1, 1, positions - 1);
        let options = GenerateOptions::default().with_max_new_tokens(case["max_new_tokens"].as_u64().unwrap() as usize);
        let mut pieces = vec![];
        let answer = llama.generate(&[Segment::Embeddings(inputs)], &options, &mut |piece| {
            pieces.push(piece.to_owned());
            ControlFlow::Continue(())
        });
        let answer = answer.unwrap();
        assert_eq!(answer, tokenizer().decode(&ids(&case["greedy_ids"])).unwrap().trim(), "{name}");
        // The reference's text is without the last two tokens, whatever they are.
        assert!(answer.starts_with(case["greedy_text"].as_str().unwrap()), "{name}");
        assert_eq!(pieces.concat(), answer);
    }
}

#[test]
fn dialogues_to_train_on_agree() {
    let (tokenizer, expected, described) = (tokenizer(), expected(), described());
    let (targets, keep) = (expected.get("train.masks.targets").unwrap(), expected.get("train.masks.keep").unwrap());
    let [_, positions] = targets.shape().dims::<2>();
    let (targets, keep): (Vec<i64>, Vec<i64>) = (targets.iter().collect(), keep.iter().collect());
    // <s>, what is before the image, the image, what is behind it, the prompt embeddings.
    let lead = 1 + 6 + 1 + 5 + 18;
    for (row, chat) in described["train"]["runs"]["masks"]["chats"].as_array().unwrap().iter().enumerate() {
        let turn = |turn: &Value| Turn {
            role: if turn[0] == "gpt" { Role::Assistant } else { Role::Human },
            text: turn[1].as_str().unwrap().to_owned(),
        };
        let turns: Vec<Turn> = chat.as_array().unwrap().iter().map(turn).collect();
        let found = dialogue::supervised(&turns, &tokenizer).unwrap();
        let mut found_targets = vec![-100; lead];
        found_targets.extend(found.targets.iter().map(|target| target.map_or(-100, i64::from)));
        let mut found_keep = vec![1; found_targets.len()];
        found_targets.resize(positions, -100);
        found_keep.resize(positions, 0);
        assert_eq!(found_targets, targets[row * positions..][..positions], "dialogue {row}");
        assert_eq!(found_keep, keep[row * positions..][..positions], "dialogue {row}");
    }
}

#[test]
fn padded_batches_agree_with_single_prompts() {
    let (llama, expected, described) = (llama(), expected(), described());
    let tolerance = described["tolerances"]["given"]["logits"].as_f64().unwrap();
    let (short, long) = (inputs(&expected, "zero_shot"), inputs(&expected, "history"));
    let ([_, few, width], [_, many, _]) = (short.dims(), long.dims());
    let padded = Tensor::cat(vec![short, Tensor::ones([1, many - few, width], &Device::default())], 1);
    let keep: Vec<bool> = (0..2 * many).map(|index| index < few || index >= many).collect();
    let keep = Tensor::<2, Bool>::from_data(TensorData::new(keep, [2, many]), &Device::default());
    let logits = llama.network().forward(Tensor::cat(vec![padded, long], 0), None, Some(keep)).unwrap();
    for (row, (name, position)) in GIVEN.into_iter().zip([few - 1, many - 1]).enumerate() {
        let found = logits.clone().narrow(0, row, 1).narrow(1, position, 1).reshape([2400]);
        assert_close(&found.into_data(), expected.get(&format!("case.{name}.logits")).unwrap(), tolerance);
    }
}
