//! Roles, wishes and permissions of stores, and secrets that are encrypted.

use super::refused::{destination, refused};
use super::{BUCKET, SMALL, valid};
use crate::deliver::{Encryption, Store};

fn bucket(keys: &str) -> String {
    format!("{BUCKET}{keys}\n")
}

#[test]
fn a_role_with_a_typo_is_told_where_it_is() {
    let role = |arn: &str| bucket(&format!("role_arn = \"{arn}\""));
    let beside = |key: &str| bucket(&format!("role_arn = \"arn:aws:iam::111122223333:role/x\"\n{key}"));
    refused(&[
        (role("onrecord"), "role_arn: is not the ARN of a role"),
        (role("arm:aws:iam::111122223333:role/x"), "begins with `arn:aws:`"),
        (role("arn:aws:s3:::bucket"), "comes `iam::`"),
        (role("arn:aws:iam:eu-west-1:111122223333:role/x"), "comes `iam::`"),
        (role("arn:aws:iam::11112222333:role/x"), "by its 12 digits"),
        (role("arn:aws:iam::111122223333:user/x"), "comes `role/NAME`"),
        (role("arn:aws:iam::111122223333:role/"), "comes `role/NAME`"),
        (role("arn:aws:iam::111122223333:role/a b"), "comes `role/NAME`"),
        (role(" arn:aws:iam::111122223333:role/x"), "has white space"),
        (beside("external_id = \"a\""), "is not an external id: 2 to 1224"),
        (beside("external_id = \"a b\""), "is not an external id"),
        (beside("session_name = \"a/b\""), "is not a session's name"),
        (beside("sts_endpoint = \"sts\""), "is not a URL"),
        (bucket("external_id = \"org\""), "external_id: is given without role_arn"),
        (bucket("session_name = \"org\""), "session_name: is given without role_arn"),
        (destination("role_arn = \"x\""), "is a key of type \"s3\""),
    ]);
}

#[test]
fn what_is_asked_of_a_bucket_is_judged_key_by_key() {
    let many: Vec<String> = (0..11).map(|n| format!("t{n} = \"\"")).collect();
    refused(&[
        (bucket("encryption = \"aes\""), "must be one of s3, kms"),
        (bucket("kms_key = \"alias/a\""), "is given without encryption = \"kms\""),
        (bucket("encryption = \"s3\"\nkms_key = \"alias/a\""), "is given without encryption = \"kms\""),
        (bucket("tags = \"a=b\""), "must be names with values"),
        (bucket("tags = { a = 1 }"), "is no string in quotes"),
        (bucket("tags = { a = \"b&c\" }"), "letters, digits, spaces"),
        (bucket(&format!("tags = {{ a = \"{}\" }}", "b".repeat(257))), "above 256"),
        (bucket(&format!("tags = {{ {} }}", many.join(", "))), "more than 10"),
    ]);
    let Store::S3(options) = valid(&bucket("encryption = \"s3\"")).destinations.remove(0).store else {
        panic!("no bucket");
    };
    assert_eq!(options.encryption, Some(Encryption::Store));
}

#[test]
fn modes_are_octal_and_leave_the_gateway_in() {
    refused(&[
        (destination("file_mode = \"rw-r-----\""), "is no mode"),
        (destination("file_mode = \"0680\""), "is no mode"),
        (destination("file_mode = 640"), "must be a string"),
        (destination("file_mode = \"0440\""), "would keep the gateway itself out"),
        (destination("folder_mode = \"0640\""), "would keep the gateway itself out"),
        (bucket("file_mode = \"0640\""), "is a key of type \"dir\""),
    ]);
    let text = format!("{SMALL}file_mode = \"0640\"\nfolder_mode = \"2750\"\n");
    let Store::Dir(options) = valid(&text).destinations.remove(0).store else { panic!("no folder") };
    assert_eq!((options.file_mode, options.folder_mode), (Some(0o640), Some(0o2750)));
}
