//! `format`, `filter` and `schedule` of a destination.

use super::refused::{destination, refused};
use super::{SMALL, valid};
use crate::format::{Class, Compression, Dialect, OcsfOptions, Profiles, Version};
use crate::pack::{Filter, Schedule};
use crate::record::Outcome;

#[test]
fn a_format_is_judged_key_by_key() {
    refused(&[
        (
            destination("format = \"xml\""),
            "format: must be one of flat, ocsf, ecs, csv, contentful-legacy, parquet",
        ),
        (destination("format = 3"), "must be a format's name, or a table"),
        (destination("format = { type = \"flat\", version = \"1.3.0\" }"), "is a key of format \"ocsf\""),
        (destination("format = { type = \"ocsf\", version = \"1.4.0\" }"), "must be one of 1.3.0, 1.8.0"),
        (
            destination("format = { type = \"ocsf\", version = \"1.3.0\", profiles = [\"host\"] }"),
            "has the profile host",
        ),
        (
            destination("format = { type = \"ocsf\", profiles = [\"osint\"] }"),
            "is not a profile that is known",
        ),
        (destination("format = { type = \"flat\", leave_out = [\"url.pth\"] }"), "did you mean url.path?"),
        (destination("format = { type = \"flat\", extra = [\"url.x=1\"] }"), "has a name that the gateway"),
        (destination("format = { type = \"flat\", extra = [\"x\"] }"), "has no `=`"),
        (destination("format = { type = \"flat\", key = \"../{uuid}\" }"), "empty or begins with"),
        (destination("format = { type = \"flat\", rows = \"ocsf\" }"), "is a key of format \"parquet\""),
        (
            destination("format = { type = \"parquet\", compression = \"gzip\" }"),
            "has no meaning for parquet",
        ),
        (destination("format = { version = \"1.3.0\" }"), "type: is missing"),
    ]);
}

#[test]
fn own_records_are_left_out_where_a_format_has_no_place_for_them() {
    let own = |text: &str| valid(&format!("{SMALL}{text}\n")).destinations.remove(0).own_records;
    assert!(own("format = \"ecs\"") && own("format = \"csv\"\nown_records = true"));
    assert!(!own("format = { type = \"csv\", columns = [\"event.id\"] }"));
    assert!(!own("format = \"contentful-legacy\""));
    refused(&[
        (
            destination("format = { type = \"csv\", columns = [\"Event\"] }"),
            "is not the name of an attribute",
        ),
        (destination("format = { type = \"ecs\", columns = [\"event.id\"] }"), "is a key of format \"csv\""),
    ]);
}

#[test]
fn a_format_is_a_name_or_a_table() {
    let format = |text: &str| valid(&format!("{SMALL}{text}\n")).destinations.remove(0).format;
    assert_eq!(format(""), format("format = \"flat\""));
    assert_eq!(format("format = \"ocsf\"").dialect, Dialect::Ocsf(OcsfOptions::default()));
    let format = format(
        "[destination.format]\ntype = \"ocsf\"\nversion = \"1.3.0\"\nclass = \"web_resources_activity\"\n\
         profiles = [\"datetime\"]\nextra = [\"deployment=a=b\"]\nleave_out = [\"url.query\"]\n\
         key = \"{source}/{uuid}\"\ncompression = \"none\"",
    );
    let profiles = Profiles { datetime: true, ..Profiles::default() };
    let options = OcsfOptions { version: Version::V1_3, class: Class::WebResourcesActivity, profiles };
    assert_eq!(format.dialect, Dialect::Ocsf(options));
    assert_eq!(format.extra, [("deployment".to_owned(), "a=b".to_owned())]);
    assert_eq!(format.leave_out, [crate::record::Field::Query]);
    assert_eq!(format.compression(), Compression::None);
    assert!(format.key.is_some());
}

#[test]
fn a_filter_is_judged_key_by_key() {
    refused(&[
        (destination("filter = \"x\""), "must be a table like"),
        (destination("filter = { method = [\"GET\"] }"), "did you mean methods?"),
        (destination("filter = { methods = [] }"), "names nothing that could fit"),
        (destination("filter = { actions = [\"publsh\"] }"), "did you mean publish?"),
        (destination("filter = { categories = [\"x\"] }"), "known are configuration, access"),
        (destination("filter = { outcomes = [\"failed\"] }"), "is no value that records have"),
        (destination("filter = { statuses = [\"0xx\"] }"), "is no status and no class"),
        (destination("filter = { one_read_in = 0 }"), "must be from 1 to 1000000"),
        (destination("schedule = \"hourly\""), "must be one of interval, daily"),
    ]);
    let text = "filter = { methods = [\"PUT\"], actions = [\"publish\"], categories = [\"content\"], sensitive = false,\
                statuses = [\"4xx\", \"502\"], outcomes = [\"failure\"], organizations = [\"o\"], one_read_in = 10 }";
    let destination = valid(&format!("{SMALL}{text}\nschedule = \"daily\"\n")).destinations.remove(0);
    assert_eq!(destination.schedule, Schedule::Daily);
    let wanted = Filter {
        methods: vec!["PUT".to_owned()],
        actions: vec!["publish".to_owned()],
        categories: vec!["content".to_owned()],
        statuses: vec![(400, 499), (502, 502)],
        sensitive: Some(false),
        outcomes: vec![Outcome::Failure],
        organizations: vec!["o".to_owned()],
        one_read_in: 10,
    };
    assert_eq!(destination.filter, wanted);
}
