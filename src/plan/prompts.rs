//! What is used of the prompts of a drag file.

use crate::drag_file::DragFile;
use crate::method::MethodSettings;
use crate::model::{Excess, POSITIONS, least_tokens};
use crate::warning::{Warning, WarningKind};

/// Returns a warning when the drag file has an `edit_prompt` that the method does not use.
pub fn unused_edit_prompt(drag: &DragFile, method: &MethodSettings) -> Option<Warning> {
    (drag.edit_prompt.is_some() && !method.needs().edit_prompt).then(|| Warning {
        kind: WarningKind::EditPromptUnused,
        message: format!(
            "the method {} does not use `edit_prompt`",
            method.method().name()
        ),
    })
}

/// Returns the warnings about prompts of which text encoders do not read the end, where no model counts their tokens: about those with more words
/// than a text encoder has positions.
pub fn long_prompts(drag: &DragFile, method: &MethodSettings) -> Vec<Warning> {
    let goal = drag
        .edit_prompt
        .as_deref()
        .filter(|_| method.needs().clip)
        .map(|goal| ("edit_prompt", goal));
    std::iter::once(("prompt", &*drag.prompt))
        .chain(goal)
        .map(|(key, prompt)| (key, least_tokens(prompt)))
        .filter(|(_, tokens)| *tokens > POSITIONS)
        .map(|(key, tokens)| Warning {
            kind: WarningKind::PromptCut,
            message: format!(
                "`{key}` has at least {tokens} tokens with its start and end mark, and the text encoder reads {POSITIONS}; the end is left out"
            ),
        })
        .collect()
}

/// Returns the warning about the word of an embedding that the prompt does not have.
pub fn absent_embedding(word: &str) -> Warning {
    let word = word.escape_debug();
    Warning {
        kind: WarningKind::EmbeddingUnused,
        message: format!(
            "`prompt` does not have the word `{word}` of an embedding, which changes nothing; write `{word}` in the prompt, or give the embedding another word as `--embedding FILE:WORD`"
        ),
    }
}

/// Most characters that a warning quotes.
const MAX_QUOTED: usize = 80;

/// Returns the warning about the part of a prompt that the text encoder does not read; `key` is that of the drag file.
///
/// Such a prompt is cut, as diffusers does it. The other practice, to encode it in several parts and to put their tokens side by side, gives every
/// method's network a context of a length that it was not trained with.
pub fn cut_prompt(key: &str, excess: &Excess) -> Warning {
    let Excess {
        tokens,
        limit,
        text,
    } = excess;
    let mut quoted: String = text.chars().take(MAX_QUOTED).collect();
    if quoted.len() < text.len() {
        quoted.push_str("...");
    }
    Warning {
        kind: WarningKind::PromptCut,
        message: format!(
            "`{key}` has {tokens} tokens with its start and end mark, and the text encoder reads {limit}; left out: `{}`",
            quoted.escape_debug()
        ),
    }
}
