//! One attempt at a store, beside its shipper: it touches nothing of it, and may be dropped.

use super::control::ShipperControl;
use super::destination::{
    Advice, Body, BoxFuture, Created, Destination, Object, ObjectKind, PutError, probe, publish_key,
};
use super::status::StatusCell;
use crate::clock::Clock;
use crate::evidence::merkle;
use crate::pack::Batch;
use futures_util::StreamExt as _;
use futures_util::stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// What is tried at a store. It is done by [`Work::attempt`], which touches nothing of the
/// shipper, and told to it by [`Shipper::finish`](super::Shipper::finish).
#[derive(Clone, Debug)]
pub enum Work {
    /// To find out whether the store takes objects, and keeps what is there.
    Probe,
    /// To let it hold a public key that manifests are checked with.
    Key(String),
    /// To create these objects of a batch.
    Objects(Arc<Batch>, Vec<usize>),
    /// To create a batch's manifest.
    Manifest(Arc<Batch>),
}

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// Of the probe: whether the store honours conditions.
    Probed(Result<bool, PutError>),
    /// Of a key.
    Published(Result<(), PutError>),
    /// Of objects: each that was tried, with its place in the batch. After a failure no more are begun.
    Objects(Arc<Batch>, Vec<(usize, Result<Created, PutError>)>),
    /// Of a manifest.
    Manifest(Arc<Batch>, Result<Created, PutError>),
}

/// What an attempt needs of its shipper, so that it can go on beside it.
#[derive(Clone)]
pub struct Errand {
    pub(super) store: Arc<dyn Destination>,
    pub(super) prefix: String,
    pub(super) boot: Uuid,
    pub(super) concurrency: usize,
    pub(super) status: Arc<StatusCell>,
    pub(super) control: ShipperControl,
    pub(super) clock: Clock,
}

impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errand").field("store", &self.store.place()).finish_non_exhaustive()
    }
}

impl Errand {
    /// Waits until so many bytes may leave.
    async fn pace(&self, bytes: u64) {
        self.control.pace().begin(|| self.control.limits(), &self.clock, bytes).await;
    }
}

impl Work {
    /// Does it. May be dropped at any moment: the store has then got some of it or not, and
    /// what is asked of it again is there already.
    pub fn attempt(self, errand: &Errand) -> BoxFuture<'static, Outcome> {
        let errand = errand.clone();
        Box::pin(async move {
            let Errand { store, prefix, boot, concurrency, status, .. } = &errand;
            match self {
                Self::Probe => {
                    let result = probe(&**store, prefix, *boot).await;
                    if result.is_err() {
                        count(status, &result);
                    }
                    Outcome::Probed(result.map(|report| report.honours_conditions))
                }
                Self::Key(key) => {
                    let result = publish_key(&**store, prefix, &key).await;
                    if result.is_err() {
                        count(status, &result);
                    }
                    Outcome::Published(result.map(|_| ()))
                }
                Self::Objects(batch, indexes) => {
                    let (errand, moving, refused) = (&errand, &batch, &AtomicBool::new(false));
                    // A store that refuses one is not asked for all the others: it may need its rest.
                    let put = |index: usize| async move {
                        if !refused.load(Ordering::Relaxed) {
                            errand.pace(moving.manifest.objects[index].bytes).await;
                        }
                        if refused.load(Ordering::Relaxed) {
                            return None;
                        }
                        let result = put_object(&*errand.store, moving, index, &errand.status).await;
                        if result.as_ref().is_err_and(|error| error.advice != Advice::GiveUp) {
                            refused.store(true, Ordering::Relaxed);
                        }
                        Some((index, result))
                    };
                    let sending = stream::iter(indexes).map(put).buffer_unordered(*concurrency);
                    let results = sending.filter_map(std::future::ready).collect::<Vec<_>>().await;
                    Outcome::Objects(batch, results)
                }
                Self::Manifest(batch) => {
                    let object = Object {
                        key: &batch.key,
                        body: Body::Bytes(&batch.note),
                        length: batch.note.len() as u64,
                        sha256: merkle::sha256(&batch.note),
                        kind: ObjectKind::Manifest,
                    };
                    errand.pace(object.length).await;
                    let result = store.create(object).await;
                    count(status, &result);
                    Outcome::Manifest(batch, result)
                }
            }
        })
    }
}

async fn put_object(
    store: &dyn Destination,
    batch: &Batch,
    index: usize,
    status: &StatusCell,
) -> Result<Created, PutError> {
    let entry = &batch.manifest.objects[index];
    let path = batch.object_path(index);
    let Some(sha256) = merkle::unhex(&entry.sha256) else {
        let words = "the manifest's hash of the object is none".to_owned();
        return Err(PutError { cause: super::Cause::ServerError, words, advice: Advice::GiveUp });
    };
    let body = Body::File(&path);
    let object = Object { key: &entry.key, body, length: entry.bytes, sha256, kind: ObjectKind::Records };
    let result = store.create(object).await;
    count(status, &result);
    if result.is_ok() {
        status.change(|status| {
            status.delivered_objects += 1;
            status.delivered_records += entry.records;
            status.delivered_bytes += entry.bytes;
        });
    }
    result
}

fn count<T>(status: &StatusCell, result: &Result<T, PutError>) {
    status.change(|status| {
        status.attempts += 1;
        if let Err(error) = result {
            status.failures += 1;
            *status.failures_by_cause.entry(error.cause.as_str()).or_default() += 1;
        }
    });
}
