//! `[[destination]]` of type `s3`: the role that is taken before the bucket is asked.

use super::bucket::endpoint;
use super::{Item, Table};
use crate::bucket::Role;
use crate::config::reference::{Absent, Key, Kind};

pub(super) const ROLE_ARN: Key = Key {
    name: "role_arn",
    kind: Kind::Text,
    absent: Absent::Unset("none"),
    doc: "`s3`: the ARN of a role that is taken (AssumeRole) with the credentials above, and that alone puts objects: how a bucket of another account is delivered to. It needs nothing but `s3:PutObject`.",
};
pub(super) const EXTERNAL_ID: Key = Key {
    name: "external_id",
    kind: Kind::Text,
    absent: Absent::Unset("none"),
    doc: "`s3`: the external id that the role's trust policy wants to be told, often the organization's id. It is no secret.",
};
pub(super) const SESSION_NAME: Key = Key {
    name: "session_name",
    kind: Kind::Text,
    absent: Absent::Unset("`onrecord`"),
    doc: "`s3`: the name of the role's sessions, as the bucket owner's logs show it.",
};
pub(super) const STS_ENDPOINT: Key = Key {
    name: "sts_endpoint",
    kind: Kind::Other("URL"),
    absent: Absent::Unset("`endpoint`, else Amazon's of the region"),
    doc: "`s3`: the URL of the token service that gives the role.",
};

/// Reads them all. `store` is the endpoint of the store itself, which often is the token service too.
pub(super) fn read(table: &Table<'_>, store: Option<&str>) -> Option<Role> {
    let beside = ["external_id", "session_name", "sts_endpoint"].map(|key| table.take(key));
    let Some(item) = table.take("role_arn") else {
        for item in beside.iter().flatten() {
            item.refuse::<()>(
                "is given without role_arn",
                Some("it says how a role is taken: give role_arn too"),
            );
        }
        return None;
    };
    let [id, session, sts] = beside;
    let external_id = id.and_then(|item| {
        named(&item, 2..=1224, "+=,.@:/-_", "an external id: 2 to 1224 letters, digits and +=,.@:/-_")
    });
    let session_name = session.and_then(|item| {
        named(&item, 2..=64, "+=,.@-_", "a session's name: 2 to 64 letters, digits and +=,.@-_")
    });
    let endpoint = sts.and_then(|item| endpoint(&item)).or_else(|| store.map(str::to_owned));
    Some(Role {
        arn: arn(&item)?,
        external_id,
        session_name: session_name.unwrap_or_else(|| Role::SESSION_NAME.to_owned()),
        endpoint,
    })
}

fn named(
    item: &Item<'_>,
    length: std::ops::RangeInclusive<usize>,
    marks: &str,
    what: &str,
) -> Option<String> {
    let text = item.text()?.value;
    let fits = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    if length.contains(&text.len()) && text.chars().all(fits) {
        return Some(text);
    }
    item.refuse(format!("is not {what}"), None)
}

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
fn arn(item: &Item<'_>) -> Option<String> {
    const HINT: &str = "write it like \"arn:aws:iam::111122223333:role/onrecord\"";
    let text = item.text()?.value;
    if text.trim() != text {
        return item.refuse("has white space before or after it", Some(HINT));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        return item.refuse("is not the ARN of a role", Some(HINT));
    };
    if *arn != "arn" || !partition.starts_with("aws") {
        return item.refuse("is not the ARN of a role: it begins with `arn:aws:`", Some(HINT));
    }
    if *service != "iam" || !region.is_empty() {
        return item.refuse("is not the ARN of a role: behind `arn:aws:` comes `iam::`", Some(HINT));
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return item.refuse("does not name an account by its 12 digits", Some(HINT));
    }
    let name = resource.strip_prefix("role/").filter(|name| !name.is_empty() && !name.ends_with('/'));
    let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c);
    if name.is_none_or(|name| !name.chars().all(fits)) {
        return item.refuse("does not name a role: behind the account comes `role/NAME`", Some(HINT));
    }
    Some(text)
}
