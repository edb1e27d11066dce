//! How many tokens a text is to a model.

use tiktoken::CoreBpe;

/// A token is about four bytes of English or markup.
const BYTES_PER_TOKEN: u64 = 4;
/// What a chat puts around each message beside its role: where it begins, where its content does,
/// where it ends.
const AROUND_A_MESSAGE: u64 = 3;
/// The beginning of the answer, which is counted with the request.
const BEFORE_THE_ANSWER: u64 = 3;

/// Counts as one model does; roughly, if nobody knows how it counts.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    vocabulary: Option<&'static str>,
}

impl Tokens {
    /// Of a model by its name, fine-tuned ones included. The vocabulary is unpacked at the first count.
    pub(super) fn of_model(model: &str) -> Self {
        Self { vocabulary: tiktoken::model_to_encoding(model) }
    }

    /// Tokens of a text; of unknown models a quarter of its bytes, rounded up.
    pub(super) fn count(self, text: &str) -> u64 {
        // Of vocabularies that are not in the binary there is no encoding.
        let encoding: Option<&CoreBpe> = self.vocabulary.and_then(tiktoken::get_encoding);
        encoding.map_or_else(
            || (text.len() as u64).div_ceil(BYTES_PER_TOKEN),
            |encoding| encoding.count(text) as u64,
        )
    }

    /// Tokens of a chat of these messages, each a role and a content.
    pub(super) fn of_chat(self, messages: &[(&str, &str)]) -> u64 {
        let of_message =
            |(role, content): &(&str, &str)| AROUND_A_MESSAGE + self.count(role) + self.count(content);
        messages.iter().map(of_message).sum::<u64>() + BEFORE_THE_ANSWER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_models_count_exactly_and_others_by_bytes() {
        let text = "Fleetline bezahlt jeden Aufruf einmal: 日本語, naïve, 3.14159";
        for (model, expected) in [
            ("gpt-4o-mini", 21),
            ("gpt-4o-mini-2024-07-18", 21),
            ("ft:gpt-4o-mini:acme::1", 21),
            ("gpt-4.1", 21),
            ("o3-mini", 21),
            ("gpt-5-nano", 21),
            ("gpt-4-turbo", 23),
            ("llama3.2", 17),
            ("some-model", 17),
        ] {
            assert_eq!(Tokens::of_model(model).count(text), expected, "{model}");
        }
        assert_eq!(Tokens::of_model("gpt-4o").count(""), 0);
    }

    #[test]
    fn a_chat_has_tokens_around_its_messages() {
        let tokens = Tokens::of_model("gpt-4o");
        assert_eq!(tokens.count("system"), 1);
        assert_eq!(tokens.of_chat(&[("system", ""), ("user", "hello world")]), 3 + 1 + 3 + 1 + 2 + 3);
    }
}
