use super::*;
use crate::capture::actor::Fingerprinter;
use crate::enrich::directory::DirectoryFormat;
use crate::enrich::privacy::Personal;
use crate::identity::Who;
use crate::record::RecordWriter;
use crate::secret::Secret;

const TOKEN: [u8; 16] = [7; 16];
const START: u64 = 1_000;

fn record(authentication: &str, id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::new(&mut bytes);
    writer.integer(Field::Start, START);
    writer.text(Field::Source, "api");
    writer.text(Field::ActorAuthentication, authentication);
    writer.bytes(Field::CredentialId, &TOKEN);
    writer.text(Field::ActorType, if id.is_empty() { "anonymous" } else { "user" });
    if !id.is_empty() {
        writer.text(Field::ActorId, id);
        writer.text(Field::ActorName, "said by the proxy");
        writer.text(Field::ActorProvenance, "claimed");
    }
    bytes
}

fn fact() -> Fact {
    let who = Who {
        kind: "user",
        id: "ann".to_owned(),
        email: "Ann@x.test".to_owned(),
        issuer: "idp".to_owned(),
        ..Who::default()
    };
    Fact { who: Some(who), not_after: 2_000, ..Fact::default() }
}

fn resolver(
    order: &[Identify],
    fact: Option<Fact>,
    directory: &str,
    names: Personal,
    emails: Personal,
) -> Resolver {
    let facts = Facts::default();
    if let Some(fact) = fact {
        facts.put(TOKEN, fact);
    }
    let directory = Directory::parse(directory, DirectoryFormat::Csv).unwrap();
    let source = SourceActors { order: order.to_vec(), facts: Some(Arc::new(facts)), patterns: None };
    let key = Fingerprinter::new(&Secret::new(vec![1; 32]), "k");
    Resolver::new(
        Arc::new(ArcSwapOption::from_pointee(directory)),
        Arc::new(ArcSwap::from_pointee(HashMap::from([(b"api".to_vec(), source)]))),
        Arc::new(Learned::new(1_000)),
        Privacy::new(names, emails, Arc::new(key)),
    )
}

/// Type, id, name, e-mail and provenance as they would be written.
fn resolved(resolver: &mut Resolver, record: &[u8]) -> [String; 5] {
    let view = RecordView::parse(record).unwrap();
    let mut out = Enrichment::default();
    resolver.resolve(&view, &mut out);
    let said = |part: Option<String>, field| {
        part.unwrap_or_else(|| String::from_utf8(view.bytes(field).unwrap_or_default().to_vec()).unwrap())
    };
    [
        said(out.actor_type, Field::ActorType),
        said(out.actor_id, Field::ActorId),
        said(out.actor_name, Field::ActorName),
        said(out.actor_email, Field::ActorEmail),
        said(out.actor_provenance, Field::ActorProvenance),
    ]
}

fn keep(order: &[Identify], fact: Option<Fact>, directory: &str) -> Resolver {
    resolver(order, fact, directory, Personal::Keep, Personal::Keep)
}

const NOBODY: &str = "fingerprint,id,type,name,email\n";
const ANN: &str = "id,type,name,email\nann,service,Ann B.,other@x.test\n";

#[test]
fn the_first_way_that_knows_the_actor_counts() {
    let mapped = format!("{NOBODY}{},bob,app,Bob,\n", "07".repeat(16));
    let of_header = record("header", "carol");
    let all = Identify::ALL;
    let by_directory = resolved(&mut keep(&all, Some(fact()), &mapped), &of_header);
    assert_eq!(by_directory[..3], ["app", "bob", "Bob"]);
    let header = [Identify::Header, Identify::Jwt];
    assert_eq!(resolved(&mut keep(&header, Some(fact()), &mapped), &of_header)[1], "carol");
    let jwt = [Identify::Jwt, Identify::Header];
    let by_token = resolved(&mut keep(&jwt, Some(fact()), &mapped), &of_header);
    assert_eq!(by_token, ["user", "ann", "", "Ann@x.test", "verified"], "no name of somebody else's");
    // Who is named in a way that is not listened to is nobody.
    let none = resolved(&mut keep(&[Identify::Basic], None, NOBODY), &of_header);
    assert_eq!(none, ["anonymous", "", "", "", ""]);
}

#[test]
fn a_token_proves_only_while_it_is_valid_and_a_worthless_one_names_nobody() {
    let mut expired = fact();
    expired.not_after = START - 1;
    let old = resolved(&mut keep(&Identify::ALL, Some(expired), NOBODY), &record("jwt", ""));
    assert_eq!((old[1].as_str(), old[4].as_str()), ("ann", "claimed"));
    let forged = Fact::worthless(Reason::Signature);
    let nobody = resolved(&mut keep(&Identify::ALL, Some(forged), NOBODY), &record("jwt", ""));
    assert_eq!(nobody, ["anonymous", "", "", "", ""]);
}

#[test]
fn the_directory_completes_by_id_and_takes_nothing_of_a_proof_away() {
    let verified = resolved(&mut keep(&Identify::ALL, Some(fact()), ANN), &record("jwt", ""));
    assert_eq!(verified, ["user", "ann", "Ann B.", "Ann@x.test", "verified"]);
    let claimed = resolved(&mut keep(&Identify::ALL, None, ANN), &record("header", "ann"));
    assert_eq!(claimed, ["service", "ann", "Ann B.", "other@x.test", "mapped"]);
}

#[test]
fn names_and_addresses_can_be_left_out_or_hashed_wherever_they_came_from() {
    let with = |names, emails| resolver(&Identify::ALL, Some(fact()), ANN, names, emails);
    let omitted = resolved(&mut with(Personal::Omit, Personal::Omit), &record("jwt", ""));
    assert_eq!(omitted, ["user", "ann", "", "", "verified"]);
    let own = resolved(&mut with(Personal::Omit, Personal::Keep), &record("header", "carol"));
    assert_eq!(own[2], "", "the record's own name, too");
    let hashed = resolved(&mut with(Personal::Pseudonym, Personal::Pseudonym), &record("jwt", ""));
    assert!(hashed[2].len() == 32 && hashed[3].len() == 32 && hashed[2] != hashed[3], "{hashed:?}");
    assert_eq!(hashed[1], "ann");
    // One person has one pseudonym, however the address is written, and as an id as well.
    let id = resolved(&mut with(Personal::Keep, Personal::Pseudonym), &record("header", "ann@X.test"));
    assert_eq!(id[1], hashed[3]);
}
