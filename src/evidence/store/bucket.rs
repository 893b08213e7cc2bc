//! A bucket as a source of evidence: listed folder by folder, read in streams.
//!
//! Needs the permission to list the bucket and to get its objects, nothing more. A
//! request that fails is made again some times; an object whose stream breaks off is
//! read on from there, if it is still the same one.

use super::{Entry, EvidenceSource, Listing, ReadError};
use crate::bucket::{Bucket, connect};
use crate::clock::Clock;
use crate::error_chain::Chain;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf as _, Bytes};
use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// Attempts of the library for each request, with back-off between them.
const ATTEMPTS: u32 = 6;
/// So often a stream that broke off without bringing a byte is begun again.
const RESUMES: u32 = 5;
/// The pause before the first of these; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// No answer, or nothing more of one, for so long is a failure.
const SILENCE: Duration = Duration::from_secs(30);
/// The protocol lists at most so many names at once.
const MOST_NAMES: usize = 1000;
/// A store answers late and takes many requests at once.
const THREADS: usize = 16;
/// Threads that move bytes.
const IO_THREADS: usize = 2;

/// A bucket, or what lies below a prefix in it.
#[derive(Debug)]
pub struct BucketSource {
    runtime: Runtime,
    client: Client,
    bucket: Bucket,
    /// Empty, or ends with `/`.
    prefix: String,
}

impl BucketSource {
    /// Makes the way to a bucket; nothing is asked of it yet. Not to be called by a
    /// thread that runs asynchronous tasks.
    ///
    /// # Errors
    /// [`ReadError`] when there are no credentials, no region or no threads.
    pub fn open(bucket: &Bucket, prefix: &str, clock: &Clock) -> Result<Self, ReadError> {
        let error = |source| ReadError { operation: "reach", place: bucket.place(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(error)?;
        let client = runtime
            .block_on(Box::pin(connect(bucket, clock, ATTEMPTS)))
            .map_err(|why| error(io::Error::other(why)))?;
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            inner => format!("{inner}/"),
        };
        Ok(Self { runtime, client, bucket: bucket.clone(), prefix })
    }
}

impl EvidenceSource for BucketSource {
    fn list<'a>(&'a self, folder: &str) -> Box<dyn Listing + 'a> {
        let prefix = format!("{}{folder}", self.prefix);
        Box::new(BucketListing { source: self, prefix, next: Next::First })
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, ReadError> {
        let mut reader = Stream {
            handle: self.runtime.handle().clone(),
            client: self.client.clone(),
            bucket: self.bucket.name.clone(),
            key: format!("{}{path}", self.prefix),
            tag: None,
            body: ByteStream::default(),
            chunk: Bytes::new(),
            offset: 0,
            length: None,
            failures: 0,
        };
        match reader.begin() {
            Ok(()) => Ok(Some(Box::new(reader))),
            Err(Refusal { is_gone: true, .. }) => Ok(None),
            Err(refusal) => {
                let place = format!("{}/{}", self.place(), path);
                Err(ReadError { operation: "open", place, source: refusal.into() })
            }
        }
    }

    fn place(&self) -> String {
        let place = self.bucket.place();
        if self.prefix.is_empty() {
            return place;
        }
        let name = format!("s3://{}", self.bucket.name);
        place.replacen(&name, &format!("{name}/{}", self.prefix.trim_end_matches('/')), 1)
    }

    fn threads(&self, processors: usize) -> usize {
        processors.max(THREADS)
    }
}

/// Where a listing goes on.
enum Next {
    First,
    After(String),
    End,
}

struct BucketListing<'a> {
    source: &'a BucketSource,
    prefix: String,
    next: Next,
}

impl Listing for BucketListing<'_> {
    fn page(&mut self, limit: usize) -> Result<Vec<Entry>, ReadError> {
        loop {
            let after = match &self.next {
                Next::First => None,
                Next::After(token) => Some(token.clone()),
                Next::End => return Ok(Vec::new()),
            };
            let source = self.source;
            let list = source
                .client
                .list_objects_v2()
                .bucket(&source.bucket.name)
                .prefix(&self.prefix)
                .delimiter("/")
                .max_keys(limit.min(MOST_NAMES) as i32)
                .set_continuation_token(after)
                .send();
            let error = |refusal: Refusal| ReadError {
                operation: "list",
                place: format!("{}/{}", source.bucket.place(), self.prefix),
                source: refusal.into(),
            };
            let listed = async { tokio::time::timeout(SILENCE * ATTEMPTS, list).await };
            let page = match source.runtime.block_on(listed) {
                Ok(page) => page.map_err(|why| error(Refusal::of(&why)))?,
                Err(_) => return Err(error(Refusal::silence())),
            };
            let token = page.next_continuation_token().filter(|token| !token.is_empty());
            self.next = match token.filter(|_| page.is_truncated() == Some(true)) {
                Some(token) => Next::After(token.to_owned()),
                None => Next::End,
            };
            let name = |key: &str| key.strip_prefix(&self.prefix).map(str::to_owned);
            let files = page.contents().iter().filter_map(|object| {
                let name = name(object.key()?)?;
                // An empty object of the folder's own name is how some tools make folders.
                (!name.is_empty() || object.size() != Some(0)).then_some(Entry { name, is_folder: false })
            });
            let folders = page.common_prefixes().iter().filter_map(|folder| {
                let name = name(folder.prefix()?)?;
                Some(Entry { name: name.strip_suffix('/')?.to_owned(), is_folder: true })
            });
            let mut entries: Vec<Entry> = files.chain(folders).collect();
            entries.sort_unstable();
            // A page may be empty and not the last one.
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }
}

/// An object as it comes.
struct Stream {
    handle: Handle,
    client: Client,
    bucket: String,
    key: String,
    /// The object's ETag, so that it is read on only if it is the same one.
    tag: Option<String>,
    body: ByteStream,
    chunk: Bytes,
    /// Bytes that have come.
    offset: u64,
    /// Bytes that it has, where the store said so.
    length: Option<u64>,
    /// Streams in a row that brought no byte.
    failures: u32,
}

impl Stream {
    /// Asks for the object from where it is read on.
    fn begin(&mut self) -> Result<(), Refusal> {
        let mut get = self.client.get_object().bucket(&self.bucket).key(&self.key);
        if self.offset > 0 {
            get = get.range(format!("bytes={}-", self.offset)).set_if_match(self.tag.clone());
        }
        let asked = async { tokio::time::timeout(SILENCE * ATTEMPTS, get.send()).await };
        let asked = self.handle.block_on(asked);
        let answer: GetObjectOutput =
            asked.map_err(|_| Refusal::silence())?.map_err(|error| Refusal::of(&error))?;
        if self.offset == 0 {
            self.tag = answer.e_tag().map(str::to_owned);
            self.length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        } else if answer.content_range().is_none() {
            let words = "the store does not read objects on from where they broke off".to_owned();
            return Err(Refusal { words, ..Refusal::silence() });
        }
        self.body = answer.body;
        Ok(())
    }

    /// What comes next; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, io::Error> {
        loop {
            let body = &mut self.body;
            let next = self.handle.block_on(async { tokio::time::timeout(SILENCE, body.next()).await });
            let why = match next {
                Ok(Some(Ok(bytes))) => return Ok(Some(bytes)),
                Ok(None) if self.length.is_none_or(|length| self.offset >= length) => return Ok(None),
                Ok(None) => "the stream ended before the object did".to_owned(),
                Ok(Some(Err(error))) => Chain(&error).to_string(),
                Err(_) => Refusal::silence().words,
            };
            if self.length.is_some_and(|length| self.offset >= length) {
                return Ok(None);
            }
            if self.failures == RESUMES {
                return Err(io::Error::other(why));
            }
            std::thread::sleep(PAUSE * 2u32.pow(self.failures));
            self.failures += 1;
            self.begin()?;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let Some(chunk) = self.next()? else { return Ok(0) };
            self.offset += chunk.len() as u64;
            self.failures = 0;
            self.chunk = chunk;
        }
        let length = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Why a store gave nothing.
struct Refusal {
    kind: io::ErrorKind,
    is_gone: bool,
    words: String,
}

impl Refusal {
    fn silence() -> Self {
        let words = format!("nothing came for {} s", SILENCE.as_secs());
        Self { kind: io::ErrorKind::TimedOut, is_gone: false, words }
    }

    fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let service = error.as_service_error();
        let code = service.and_then(ProvideErrorMetadata::code).unwrap_or_default();
        let message = service.and_then(ProvideErrorMetadata::message).unwrap_or_default();
        let said = match (code, message) {
            ("", "") => Chain(error).to_string(),
            (code, "") => format!("{code} (status {status})"),
            (code, message) => format!("{code}: {message}"),
        };
        let (kind, mend) = match (code, status) {
            ("NoSuchBucket", _) => (io::ErrorKind::NotFound, "; check the bucket's name"),
            ("NoSuchKey", _) | (_, 404) => (io::ErrorKind::NotFound, ""),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed", _) | (_, 301 | 307) => {
                (io::ErrorKind::Other, "; the bucket lies in another region: set --region")
            }
            ("InvalidObjectState", _) => {
                (io::ErrorKind::Other, "; the object is archived: restore it to read it")
            }
            (_, 403) => (
                io::ErrorKind::PermissionDenied,
                "; reading needs a key that may list the bucket and get its objects",
            ),
            (_, 412) => (io::ErrorKind::Other, "; the object was replaced while it was read"),
            _ => (io::ErrorKind::Other, ""),
        };
        let is_gone = kind == io::ErrorKind::NotFound && code != "NoSuchBucket";
        Self { kind, is_gone, words: format!("{said}{mend}") }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal.words)
    }
}
