//! The gateway's own records: `event.*`, `actor.*`, `onrecord.*` and what the event itself
//! says, never `http.*` or `url.*`.

use super::{Line, push_escaped};
use crate::format::Entry;
use crate::format::time::Writer;
use crate::record::{EventId, Field, OwnValue};

impl Line<'_, '_> {
    pub(super) fn own(&mut self, entry: &Entry<'_>, time: &mut Writer) {
        self.out.push(b'{');
        if let Some(event) = self.record.event_id() {
            self.string("\"event.id\":\"", EventId(event).encode(&mut [0; 36]).as_bytes());
        }
        // It has no length: it ends where it starts.
        for key in ["\"event.start\":\"", "\"event.end\":\""] {
            self.key(key);
            time.push(self.out, self.record.start());
            self.out.push(b'"');
        }
        self.texts(&[(Field::Action, "\"event.action\":\"")]);
        self.string("\"event.outcome\":\"", self.record.outcome().as_str().as_bytes());
        self.texts(&[
            (Field::Category, "\"event.category\":\""),
            (Field::ActorType, "\"actor.type\":\""),
            (Field::ActorId, "\"actor.id\":\""),
            (Field::ActorName, "\"actor.name\":\""),
        ]);
        self.attributes();
        self.capture(entry);
    }

    fn attributes(&mut self) {
        let mut list: Option<&[u8]> = None;
        for (name, value) in self.record.own() {
            if let OwnValue::Element(text) = value
                && list == Some(name)
            {
                self.out.extend_from_slice(b",\"");
                push_escaped(self.out, text);
                self.out.push(b'"');
                continue;
            }
            if list.take().is_some() {
                self.out.push(b']');
            }
            self.key("\"");
            push_escaped(self.out, name);
            self.out.extend_from_slice(b"\":");
            match value {
                OwnValue::Text(text) => {
                    self.out.push(b'"');
                    push_escaped(self.out, text);
                    self.out.push(b'"');
                }
                OwnValue::Number(number) => {
                    self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                }
                OwnValue::Flag(flag) => self.out.extend_from_slice(if flag { b"true" } else { b"false" }),
                OwnValue::Element(text) => {
                    list = Some(name);
                    self.out.extend_from_slice(b"[\"");
                    push_escaped(self.out, text);
                    self.out.push(b'"');
                }
            }
        }
        if list.is_some() {
            self.out.push(b']');
        }
    }
}
