//! The numbers that OCSF gives to what a request does, how it ended, and how much it matters.

use super::options::Class;
use crate::format::facts::Facts;
use crate::record::{ErrorType, Field, Outcome};

/// A number and its name.
pub(in crate::format) type Numbered<'a> = (u64, &'a [u8]);

const OTHER: u64 = 99;

/// `activity_id` and `activity_name`. Where OCSF has no name for an action, it is 99 and the
/// action's own name; without an action, the method says what can be said by it.
pub(in crate::format) fn activity<'a>(facts: &Facts<'a>, class: Class) -> Numbered<'a> {
    let action = facts.text(Field::Action);
    let web = class == Class::WebResourcesActivity;
    match action {
        b"create" | b"install" => (1, b"Create"),
        b"read" => (2, b"Read"),
        b"search" if web => (5, b"Search"),
        b"export" if web => (7, b"Export"),
        b"search" | b"export" => (2, b"Read"),
        b"update"
        | b"publish"
        | b"unpublish"
        | b"archive"
        | b"unarchive"
        | b"process"
        | b"resume"
        | b"complete"
        | b"schedule"
        | b"configuration_change" => (3, b"Update"),
        b"delete" | b"delete_draft" | b"revoke" | b"uninstall" => (4, b"Delete"),
        b"" => by_method(facts.text(Field::Method)),
        _ => (OTHER, action),
    }
}

fn by_method(method: &[u8]) -> Numbered<'_> {
    match method {
        b"" => (0, b"Unknown"),
        b"GET" | b"HEAD" => (2, b"Read"),
        b"PUT" | b"PATCH" => (3, b"Update"),
        b"DELETE" => (4, b"Delete"),
        // What a POST does is the resource's own affair.
        _ => (OTHER, method),
    }
}

/// What stands for an activity in `type_name`.
pub(super) fn caption<'a>((id, name): Numbered<'a>) -> &'a [u8] {
    if id == OTHER { b"Other" } else { name }
}

/// `status_id` and `status`.
pub(super) fn status(facts: &Facts<'_>) -> (u64, &'static str) {
    match facts.record.outcome() {
        Outcome::Success => (1, "Success"),
        Outcome::Failure => (2, "Failure"),
        Outcome::Aborted => (OTHER, "Aborted"),
        Outcome::Unknown => (0, "Unknown"),
    }
}

/// `severity_id` and `severity`: by what the request concerns, one step higher where it did not
/// succeed.
pub(super) fn severity(facts: &Facts<'_>) -> (u64, &'static str) {
    const SENSITIVE: u64 = 1;
    let sensitive = facts.record.integer(Field::RouteFlags).unwrap_or(0) & SENSITIVE != 0;
    let step = match facts.text(Field::Category) {
        _ if sensitive => 2,
        b"access" | b"integrity" => 1,
        b"configuration" | b"bulk" => 1,
        _ => 0,
    };
    let missed = usize::from(facts.record.outcome() != Outcome::Success);
    [(1, "Informational"), (2, "Low"), (3, "Medium"), (4, "High")][step + missed]
}

/// `action_id`, `action`, `disposition_id`, `disposition` of the profile `security_control`: did
/// the gateway let the request through?
pub(super) fn control(facts: &Facts<'_>) -> (u64, &'static str, u64, &'static str) {
    use ErrorType as E;
    let refused = matches!(
        facts.record.error_type(),
        Some(
            E::Malformed
                | E::TooLarge
                | E::Overload
                | E::NotRecordable
                | E::NoSource
                | E::Unsupported
                | E::OddPath
                | E::ClientLimit
        )
    );
    match facts.record.outcome() {
        _ if refused => (2, "Denied", 2, "Blocked"),
        Outcome::Unknown => (0, "Unknown", 0, "Unknown"),
        _ => (1, "Allowed", 1, "Allowed"),
    }
}
