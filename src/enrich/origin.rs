//! What kind of thing stands behind a request: `origin.type`, with what led to it.
//!
//! All of it is what a client says of itself, so it is evidence and not proof; only the
//! fingerprint of a credential is more. The rules, strongest first; the first that applies
//! gives the type, and every one that applies is named in `origin.evidence`:
//!
//! | type | evidence |
//! | --- | --- |
//! | `ai_action` | `invocation:text`: what is saved is what an AI Action made ([`super::ai_results`]) |
//! | `ai_action` `ai_bulk` | `route:ai`: the row calls an AI feature (`ai`, and an action that invokes; `bulk` too) |
//! | `ai_action` | `header:x-contentful-ai-actions-platform`, `header:x-contentful-async-ai-action` |
//! | `ai_agent` | `header:x-contentful-user-agent-tool` with an MCP server, `user_agent:` of a known agent or of MCP |
//! | `app` | `actor:app`, `product:integration` of a marketplace app |
//! | `human` | `product:web-app`, `header:x-contentful-ui-content-auto-save`, `user_agent:browser` |
//! | `script` | `product:sdk`, `product:feature`, `user_agent:library` |
//!
//! A request of which none applies has no origin: nobody guesses.

use super::ai_results;
use crate::record::{Field, RecordView};
use crate::routes::Route;

/// Words in a `User-Agent` that name an AI agent or its tools, in lower case.
const AGENTS: [&str; 12] = [
    "mcp",
    "claude",
    "anthropic",
    "chatgpt",
    "openai",
    "gptbot",
    "gemini",
    "langchain",
    "llamaindex",
    "crewai",
    "autogpt",
    "perplexity",
];

/// How the `User-Agent` of an HTTP library or a command-line client begins, in lower case.
const LIBRARIES: [&str; 22] = [
    "axios",
    "node",
    "undici",
    "got",
    "python",
    "aiohttp",
    "httpx",
    "http.rb",
    "ruby",
    "faraday",
    "go-http-client",
    "okhttp",
    "java",
    "apache-httpclient",
    "curl",
    "wget",
    "guzzlehttp",
    "php",
    "rust",
    "reqwest",
    "hyper",
    "postmanruntime",
];

/// The actions that let an AI feature work, beside reading and configuring it.
const INVOKING: [&[u8]; 4] = [b"invoke", b"resume", b"process", b"search"];

/// What stands behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A person at a screen.
    Human,
    /// A program.
    Script,
    /// An app of the platform.
    App,
    /// An AI feature of the platform.
    AiAction,
    /// An AI feature of the platform, for many entities.
    AiBulk,
    /// An AI agent by way of the API.
    AiAgent,
}

impl Origin {
    /// The value of `origin.type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Script => "script",
            Self::App => "app",
            Self::AiAction => "ai_action",
            Self::AiBulk => "ai_bulk",
            Self::AiAgent => "ai_agent",
        }
    }
}

/// Tells the origin of a record and pushes what led to it. `actor_type` is the actor as
/// resolved.
pub fn origin(
    record: &RecordView<'_>,
    actor_type: &[u8],
    evidence: &mut Vec<&'static str>,
) -> Option<Origin> {
    let mut found = None;
    let mut tell = |origin, what| {
        found = found.or(Some(origin));
        evidence.push(what);
    };
    let flags = record.integer(Field::RouteFlags).unwrap_or(0);
    let is = |flag: u8| flags & u64::from(flag) != 0;
    if record.all(Field::OriginEvidence).any(|evidence| evidence == ai_results::EVIDENCE.as_bytes()) {
        tell(Origin::AiAction, ai_results::EVIDENCE);
    }
    if is(Route::AI) && INVOKING.contains(&record.bytes(Field::Action).unwrap_or_default()) {
        tell(if is(Route::BULK) { Origin::AiBulk } else { Origin::AiAction }, "route:ai");
    }
    for hint in record.all(Field::OriginHint) {
        if hint.starts_with(b"x-contentful-ai-actions-platform:") {
            tell(Origin::AiAction, "header:x-contentful-ai-actions-platform");
        } else if hint.starts_with(b"x-contentful-async-ai-action:") {
            tell(Origin::AiAction, "header:x-contentful-async-ai-action");
        }
    }
    for hint in record.all(Field::OriginHint) {
        if hint.starts_with(b"x-contentful-user-agent-tool:") && contains(hint, b"mcp") {
            tell(Origin::AiAgent, "header:x-contentful-user-agent-tool");
        }
    }
    let agent = record.bytes(Field::UserAgent).unwrap_or_default();
    let product = record.bytes(Field::UserAgentProduct).unwrap_or_default();
    if AGENTS.iter().any(|word| contains(agent, word.as_bytes())) {
        tell(Origin::AiAgent, "user_agent:ai");
    }
    if actor_type == b"app" {
        tell(Origin::App, "actor:app");
    }
    if contains(product, b"app contentful.web-app") {
        tell(Origin::Human, "product:web-app");
    } else if contains(product, b"integration ") {
        tell(Origin::App, "product:integration");
    }
    if record.all(Field::OriginHint).any(|hint| hint.starts_with(b"x-contentful-ui-content-auto-save:")) {
        tell(Origin::Human, "header:x-contentful-ui-content-auto-save");
    }
    if contains(product, b"feature ") {
        tell(Origin::Script, "product:feature");
    } else if contains(product, b"sdk contentful") && !agent.starts_with(b"Mozilla/") {
        tell(Origin::Script, "product:sdk");
    }
    if agent.starts_with(b"Mozilla/") {
        tell(Origin::Human, "user_agent:browser");
    } else if LIBRARIES.iter().any(|name| begins(agent, name.as_bytes())) {
        tell(Origin::Script, "user_agent:library");
    }
    found
}

/// Whether `text` has this in it, letter case aside. `part` is in lower case.
fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let Some(last) = text.len().checked_sub(part.len()) else { return false };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), &text[..=last])
        .any(|at| begins(&text[at..], part))
}

fn begins(text: &[u8], part: &[u8]) -> bool {
    text.get(..part.len()).is_some_and(|head| head.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordWriter;

    fn of(fields: &[(Field, &str)], flags: u8, actor: &str) -> (Option<&'static str>, Vec<&'static str>) {
        let mut record = Vec::new();
        let mut writer = RecordWriter::new(&mut record);
        fields.iter().for_each(|(field, text)| writer.text(*field, text));
        writer.integer(Field::RouteFlags, u64::from(flags));
        let mut evidence = Vec::new();
        let found = origin(&RecordView::parse(&record).unwrap(), actor.as_bytes(), &mut evidence);
        (found.map(Origin::as_str), evidence)
    }

    #[test]
    fn every_kind_is_told_by_what_it_sends() {
        use Field::{Action, OriginHint, UserAgent, UserAgentProduct};
        let sdk = "sdk contentful-management.js/11.0.0; platform node.js/v20.20.2; os Linux/v20.20.2;";
        let browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130 Safari/537.36";
        for (fields, flags, actor, kind, evidence) in [
            (
                vec![(UserAgent, "axios/1.21.1"), (UserAgentProduct, sdk)],
                0,
                "",
                "script",
                vec!["product:sdk", "user_agent:library"],
            ),
            (vec![(UserAgent, "node")], 0, "user", "script", vec!["user_agent:library"]),
            (
                vec![
                    (UserAgent, browser),
                    (UserAgentProduct, "app contentful.web-app; platform browser; sha 1a2b;"),
                ],
                0,
                "user",
                "human",
                vec!["product:web-app", "user_agent:browser"],
            ),
            (vec![(UserAgent, browser)], 0, "", "human", vec!["user_agent:browser"]),
            (
                vec![
                    (UserAgent, "axios/1"),
                    (OriginHint, "x-contentful-user-agent-tool: contentful-mcp/1.2.0"),
                ],
                0,
                "user",
                "ai_agent",
                vec!["header:x-contentful-user-agent-tool", "user_agent:library"],
            ),
            (vec![(UserAgent, "Claude-User/1.0")], 0, "", "ai_agent", vec!["user_agent:ai"]),
            (vec![(UserAgent, "axios/1")], 0, "app", "app", vec!["actor:app", "user_agent:library"]),
            (vec![(Action, "invoke")], Route::AI, "user", "ai_action", vec!["route:ai"]),
            (vec![(Action, "invoke")], Route::AI | Route::BULK, "user", "ai_bulk", vec!["route:ai"]),
            (
                vec![(OriginHint, "x-contentful-ai-actions-platform: 1")],
                0,
                "",
                "ai_action",
                vec!["header:x-contentful-ai-actions-platform"],
            ),
            (
                vec![
                    (UserAgent, "axios/1"),
                    (
                        UserAgentProduct,
                        "sdk contentful-management.js/1; app contentful.cli/3; feature migration-generate;",
                    ),
                ],
                0,
                "",
                "script",
                vec!["product:feature", "user_agent:library"],
            ),
        ] {
            assert_eq!(of(&fields, flags, actor), (Some(kind), evidence), "{fields:?}");
        }
    }

    #[test]
    fn who_only_configures_ai_is_no_ai_and_who_says_nothing_has_no_origin() {
        assert_eq!(
            of(&[(Field::Action, "update"), (Field::UserAgent, "curl/8")], Route::AI, "user").0,
            Some("script")
        );
        assert_eq!(of(&[], 0, "anonymous"), (None, vec![]));
        assert_eq!(of(&[(Field::UserAgent, "mystery")], 0, "user"), (None, vec![]));
    }
}
