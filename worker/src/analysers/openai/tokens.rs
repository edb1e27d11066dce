//! How many tokens a text is to a model.

use tiktoken::CoreBpe;

/// A token is about four bytes of English or markup.
const BYTES_PER_TOKEN: u64 = 4;
/// Bytes that are counted. One long run of blanks takes a microsecond a byte, so a longer text counts
/// as if it went on as it begins; no usual input is near this.
const MOST_COUNTED: usize = 256 * 1024;
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
        let bytes = text.len() as u64;
        let Some(encoding) = encoding else { return bytes.div_ceil(BYTES_PER_TOKEN) };
        if text.len() <= MOST_COUNTED {
            return encoding.count(text) as u64;
        }
        let begins = &text[..text.floor_char_boundary(MOST_COUNTED)];
        (encoding.count(begins) as u64 * bytes).div_ceil(begins.len() as u64)
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
            ("gpt-4o-mini", 19),
            ("gpt-4o-mini-2024-07-18", 19),
            ("ft:gpt-4o-mini:acme::1", 19),
            ("gpt-4.1", 19),
            ("o3-mini", 19),
            ("gpt-5-nano", 19),
            ("gpt-4-turbo", 25),
            ("llama3.2", 17),
            ("some-model", 17),
        ] {
            assert_eq!(Tokens::of_model(model).count(text), expected, "{model}");
        }
        assert_eq!(Tokens::of_model("gpt-4o").count(""), 0);
    }

    #[test]
    fn a_text_too_long_to_count_goes_on_as_it_begins() {
        let tokens = Tokens::of_model("gpt-4o");
        let words = "日本語 and more words, ".repeat(MOST_COUNTED / 4);
        let whole = tiktoken::encoding_for_model("gpt-4o").expect("a vocabulary").count(&words) as u64;
        assert!(tokens.count(&words).abs_diff(whole) <= whole / 1_000, "{whole}");
    }

    #[test]
    fn a_chat_has_tokens_around_its_messages() {
        let tokens = Tokens::of_model("gpt-4o");
        assert_eq!(tokens.count("system"), 1);
        assert_eq!(tokens.of_chat(&[("system", ""), ("user", "hello world")]), 3 + 1 + 3 + 1 + 2 + 3);
    }
}
