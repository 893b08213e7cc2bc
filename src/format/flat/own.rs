//! The gateway's own records: `event.*`, `actor.*`, `onrecord.*` and what the event itself
//! says, never `http.*` or `url.*`.

use super::{Line, push_escaped};
use crate::format::time::Writer;
use crate::record::{EventId, Field, OwnValue};

impl Line<'_, '_> {
    pub(super) fn own(&mut self, time: &mut Writer) {
        if let Some(event) = self.record.event_id() {
            self.string(quoted!("event.id"), EventId(event).encode(&mut [0; 36]).as_bytes());
        }
        // It has no length: it ends where it starts.
        for key in [quoted!("event.start"), quoted!("event.end")] {
            self.push(key);
            time.push(self.out, self.record.start());
            self.out.push(b'"');
        }
        self.text(Field::Action, quoted!("event.action"));
        self.string(quoted!("event.outcome"), self.record.outcome().as_str().as_bytes());
        self.text(Field::Category, quoted!("event.category"));
        self.text(Field::ActorType, quoted!("actor.type"));
        self.text(Field::ActorId, quoted!("actor.id"));
        self.text(Field::ActorName, quoted!("actor.name"));
        self.attributes();
    }

    fn attributes(&mut self) {
        let mut list: Option<&[u8]> = None;
        for (name, value) in self.record.own() {
            if let OwnValue::Element(text) = value
                && list == Some(name)
            {
                self.push(",\"");
                self.value(text);
                continue;
            }
            if list.take().is_some() {
                self.push("]");
            }
            self.push(",\"");
            push_escaped(self.out, name);
            self.push("\":");
            match value {
                OwnValue::Text(text) => {
                    self.push("\"");
                    self.value(text);
                }
                OwnValue::Number(number) => {
                    self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                }
                OwnValue::Flag(flag) => self.push(if flag { "true" } else { "false" }),
                OwnValue::Element(text) => {
                    list = Some(name);
                    self.push("[\"");
                    self.value(text);
                }
            }
        }
        if list.is_some() {
            self.push("]");
        }
    }
}
