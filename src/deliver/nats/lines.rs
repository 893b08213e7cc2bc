//! An object, taken apart into its messages.

use super::subject::{SubjectTemplate, attribute};
use crate::deliver::destination::{Body, Cause, PutError};
use crate::evidence::merkle;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Messages that are handed over at once.
const BLOCK: usize = 64;
/// Blocks that wait to be sent; with the size of records it bounds the memory.
const BLOCKS: usize = 4;

/// One record, ready to be published.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) subject: String,
    /// What the broker knows it by.
    pub(super) id: String,
    /// Its number in the object, from 0.
    pub(super) number: u64,
    pub(super) payload: Bytes,
}

/// Reads the lines of an object of records beside the caller. Ends when the receiver is dropped.
pub(super) fn read(
    key: &str,
    body: Body<'_>,
    template: &SubjectTemplate,
) -> mpsc::Receiver<Result<Vec<Line>, PutError>> {
    let (sender, receiver) = mpsc::channel(BLOCKS);
    let (key, template) = (key.to_owned(), template.clone());
    let source = match body {
        Body::File(path) => Source::File(path.to_owned()),
        Body::Bytes(bytes) => Source::Bytes(bytes.to_vec()),
    };
    tokio::task::spawn_blocking(move || {
        let sent = source.open().and_then(|raw| {
            let bytes: Box<dyn Read> =
                if key.ends_with(".gz") { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
            split(&key, BufReader::new(bytes), &template, &sender)
        });
        if let Err(error) = sent {
            let words = format!("an object in the outbox cannot be read: {error}");
            let _ = sender.blocking_send(Err(PutError::new(Cause::ServerError, words)));
        }
    });
    receiver
}

enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Source {
    fn open(self) -> std::io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path)?),
            Self::Bytes(bytes) => Box::new(std::io::Cursor::new(bytes)),
        })
    }
}

fn split(
    key: &str,
    mut from: impl BufRead,
    template: &SubjectTemplate,
    to: &mpsc::Sender<Result<Vec<Line>, PutError>>,
) -> std::io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        let read = from.read_until(b'\n', &mut line)?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if !line.is_empty() {
            block.push(message(key, number, &line, template));
        }
        if block.len() == BLOCK || read == 0 && !block.is_empty() {
            let full = std::mem::replace(&mut block, Vec::with_capacity(BLOCK));
            // Nobody listens any more: the attempt was given up.
            if to.blocking_send(Ok(full)).is_err() {
                return Ok(());
            }
        }
        if read == 0 {
            break;
        }
    }
    Ok(())
}

fn message(key: &str, number: u64, line: &[u8], template: &SubjectTemplate) -> Line {
    let record: Value = serde_json::from_slice(line).unwrap_or_default();
    Line {
        subject: template.subject(key, &record),
        id: id(&record).unwrap_or_else(|| merkle::hex(&merkle::sha256(line))),
        number,
        payload: Bytes::copy_from_slice(line),
    }
}

/// The event's id, as each of the formats has it.
fn id(record: &Value) -> Option<String> {
    let known = ["event.id", "metadata.uid"].into_iter().find_map(|name| attribute(record, name)?.as_str());
    known.filter(|id| !id.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::nats::NatsOptions;

    #[test]
    fn each_line_is_a_message_with_the_events_id_in_every_format() {
        let template = SubjectTemplate::parse(NatsOptions::SUBJECT).unwrap();
        let key = "log_source=api/organization_id=o/x.jsonl";
        let text =
            "{\"event.id\":\"flat\"}\n{\"event\":{\"id\":\"ecs\"}}\n{\"metadata\":{\"uid\":\"ocsf\"}}\n{}\n";
        let (sender, mut receiver) = mpsc::channel(9);
        split(key, text.as_bytes(), &template, &sender).unwrap();
        let lines = receiver.try_recv().unwrap().unwrap();
        let ids: Vec<&str> = lines.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(ids, ["flat", "ecs", "ocsf", &merkle::hex(&merkle::sha256(b"{}"))]);
        assert_eq!((lines[3].number, &lines[3].subject[..]), (3, "onrecord.records.api"));
        assert_eq!(&lines[0].payload[..], b"{\"event.id\":\"flat\"}");
    }
}
