//! The closed lists that a route's meaning is told in.

use crate::record::field::closed_list;

closed_list! {
    /// What a request does (`event.action`).
    Action {
        /// Makes something new.
        Create = 1 => "create",
        /// Reads.
        Read = 2 => "read",
        /// Changes what is there.
        Update = 3 => "update",
        /// Removes.
        Delete = 4 => "delete",
        /// Makes a version public.
        Publish = 5 => "publish",
        /// Takes a version back from the public.
        Unpublish = 6 => "unpublish",
        /// Puts aside.
        Archive = 7 => "archive",
        /// Takes out of the archive.
        Unarchive = 8 => "unarchive",
        /// Checks without changing.
        Validate = 9 => "validate",
        /// Starts processing of an upload.
        Process = 10 => "process",
        /// Calls a function, an action or a model.
        Invoke = 11 => "invoke",
        /// Goes on with what was halted.
        Resume = 12 => "resume",
        /// Searches.
        Search = 13 => "search",
        /// Takes data out in bulk.
        Export = 14 => "export",
        /// Makes a credential invalid.
        Revoke = 15 => "revoke",
        /// Ends a task.
        Complete = 16 => "complete",
        /// Installs an app.
        Install = 17 => "install",
        /// Removes an app.
        Uninstall = 18 => "uninstall",
        /// Sets a time for a later action.
        Schedule = 19 => "schedule",
        /// Discards a draft.
        DeleteDraft = 20 => "delete_draft",
        /// A CORS preflight: the gateway's own word, never a catalogue's.
        Preflight = 21 => "preflight",
        /// The rules cannot tell: the gateway's own word, never a catalogue's.
        Ambiguous = 22 => "ambiguous",
    }
}

closed_list! {
    /// What a change here concerns (`event.category`).
    Category {
        /// The set-up of the API: models, locales, webhooks.
        Configuration = 1 => "configuration",
        /// Who may do what: tokens, roles, memberships.
        Access = 2 => "access",
        /// Content itself.
        Content = 3 => "content",
        /// Many entities by one call.
        Bulk = 4 => "bulk",
        /// Reading of published content.
        Delivery = 5 => "delivery",
    }
}

impl Action {
    /// The action that a catalogue names, as `DeleteDraft` or `delete_draft`.
    pub(super) fn from_catalogue(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|action| !matches!(action, Self::Preflight | Self::Ambiguous))
            .find(|action| name == action.as_str() || name == camel_case(action.as_str()))
    }
}

impl Category {
    /// The category of this name.
    pub(super) fn from_catalogue(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|category| category.as_str() == name)
    }
}

fn camel_case(snake: &str) -> String {
    let mut out = String::with_capacity(snake.len());
    for word in snake.split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        out.push_str(&first.to_ascii_uppercase());
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalogues_may_write_an_action_in_either_case_but_not_the_gateways_own_words() {
        assert_eq!(Action::from_catalogue("DeleteDraft"), Some(Action::DeleteDraft));
        assert_eq!(Action::from_catalogue("delete_draft"), Some(Action::DeleteDraft));
        assert_eq!(Action::from_catalogue("Publish"), Some(Action::Publish));
        for wrong in ["Preflight", "ambiguous", "PUBLISH", "Destroy", ""] {
            assert_eq!(Action::from_catalogue(wrong), None, "{wrong}");
        }
    }
}
