use super::*;
use proptest::prelude::*;

const ANN: &str = "00112233445566778899aabbccddeeff";

fn csv(text: &str) -> Result<Directory, Vec<String>> {
    Directory::parse(text, DirectoryFormat::Csv).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn json(text: &str) -> Result<Directory, Vec<String>> {
    Directory::parse(text, DirectoryFormat::Json).map_err(|all| all.iter().map(ToString::to_string).collect())
}

#[test]
fn a_credential_and_an_id_lead_to_the_same_actor_from_either_format() {
    let from_csv = csv(&format!(
        "\u{feff}Fingerprint, id,type,name,email\r\n{},u1,user,\"Ann \"\"A\"\", \nBee\",ann@b.example\r\n\r\n,k1,api_key,Site,\r\n",
        ANN.to_uppercase()
    ))
    .unwrap();
    let from_json = json(&format!(
        r#"[{{"fingerprint":"{ANN}","id":"u1","name":"Ann \"A\", \nBee","email":"ann@b.example"}},{{"id":"k1","type":"api_key","name":"Site"}}]"#
    ))
    .unwrap();
    let fingerprint = parse_fingerprint(ANN).unwrap();
    assert_eq!(fingerprint[..3], [0, 0x11, 0x22]);
    for directory in [from_csv, from_json] {
        let ann = directory.by_fingerprint(&fingerprint).unwrap();
        assert_eq!(
            ann,
            &Actor {
                kind: "user",
                id: "u1".to_owned(),
                name: "Ann \"A\", \nBee".to_owned(),
                email: "ann@b.example".to_owned(),
            }
        );
        assert_eq!(directory.by_id("u1"), Some(ann));
        assert_eq!(directory.by_id("k1").unwrap().kind, "api_key");
        assert_eq!(directory.len(), 2);
        assert!(directory.by_id("").is_none() && directory.by_id("u2").is_none());
    }
}

#[test]
fn one_actor_may_have_several_credentials() {
    let other = "ff".repeat(16);
    let directory = csv(&format!("fingerprint,id,name\n{ANN},u1,Ann\n{other},u1,Ann\n")).unwrap();
    assert_eq!(directory.by_fingerprint(&[0xff; 16]), directory.by_id("u1"));
}

#[test]
fn every_mistake_of_a_csv_file_is_told_with_its_line() {
    let found = csv(&format!(
        "fingerprint,id,type,name,email\n{ANN},u1,user,Ann,\nxyz,,user,Bob,\n\n,,user,Carl,\n,u1,user,Other,\n{ANN},,,,\n,u2,robot,,\n,u3\n\"open,u4,,,\n"
    ))
    .unwrap_err();
    assert_eq!(
        found,
        [
            "line 3: a fingerprint has 32 hex digits, this has 3 characters or others",
            "line 5: neither fingerprint nor id",
            "line 6: the same id as in line 2, with another type, name or email",
            "line 7: the same fingerprint as in line 2",
            "line 8: `robot` is not a type: user, app, api_key, service",
            "line 9: 2 cells where the header line has 5",
            "line 10: a quoted cell must end with a quote right before the comma or the end of the line",
        ]
    );
    assert_eq!(
        csv("name,id,id,age\nx,y,z,1").unwrap_err(),
        [
            "line 1: unknown or repeated column `id`; known are fingerprint, id, type, name, email",
            "line 1: unknown or repeated column `age`; known are fingerprint, id, type, name, email",
        ]
    );
    assert_eq!(csv("name\nx").unwrap_err(), ["line 1: there must be a column `fingerprint` or `id`"]);
    assert!(csv("").unwrap().is_empty());
}

#[test]
fn every_mistake_of_a_json_file_is_told_with_its_line() {
    let found = json("[\n{\"id\":\"u1\"},\n{\"id\":\"u2\",\"age\":1},\n{\"name\":\"x\"},\n 7]").unwrap_err();
    assert_eq!(found.len(), 3);
    assert!(found[0].starts_with("line 3: unknown field `age`"), "{}", found[0]);
    assert_eq!(found[1], "line 4: neither fingerprint nor id");
    assert!(found[2].starts_with("line 5: invalid type: integer `7`"), "{}", found[2]);
    assert!(json("[\n{").unwrap_err()[0].starts_with("line 2: "));
    assert!(json("{}").is_err());
}

proptest! {
    #[test]
    fn csv_gives_back_what_was_quoted(rows in prop::collection::vec(prop::collection::vec("[a\",\r\n é]{0,5}", 1..4), 1..5)) {
        let quote = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let text: String =
            rows.iter().map(|row| row.iter().map(quote).collect::<Vec<_>>().join(",") + "\r\n").collect();
        let read: Vec<Vec<String>> = super::csv::rows(&text).map(|(_, row)| row.unwrap()).collect();
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "[a-z\",\r\n {}\\[\\]:]{0,60}") {
        let _ = Directory::parse(&text, DirectoryFormat::Csv);
        let _ = Directory::parse(&text, DirectoryFormat::Json);
        let _ = Directory::parse(&format!("id,name\n{text}"), DirectoryFormat::Csv);
    }
}
